import Synchronization

/// Handles that are used again, so that their connections are.
final class HandlePool: Sendable {
    /// How many idle ones are kept.
    private static let maxIdleCount = 32

    private let idle = Mutex<[Handle]>([])

    /// A handle for one request, if possible one that has a connection to the server.
    func take(for server: String) throws(HTTPError) -> Handle {
        let kept = idle.withLock { idle -> Handle? in
            guard let index = idle.lastIndex(where: { $0.lastServer == server }) ?? idle.indices.last else {
                return nil
            }
            return idle.remove(at: index)
        }
        let handle = if let kept { kept } else { try Handle() }
        handle.lastServer = server
        return handle
    }

    func giveBack(_ handle: Handle) {
        idle.withLock { idle in
            if idle.count < Self.maxIdleCount { idle.append(handle) }
        }
    }
}
