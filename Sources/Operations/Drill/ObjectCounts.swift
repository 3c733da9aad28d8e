import EncryptionAtRest
import EtcdSnap
import KubernetesAPI
import Synchronization

/// How many objects etcd has of each type, by the places of their keys.
final class ObjectCounts: Sendable {
    private let prefix: [UInt8]
    private let counts = Mutex<[String: Int]>([:])

    /// - Parameter prefix: what an API server's keys begin with.
    init(prefix: String) { self.prefix = Array((prefix.hasSuffix("/") ? prefix : prefix + "/").utf8) }

    /// Counts a key that etcd has returned.
    func count(_ row: RangeRow) {
        guard row.key.starts(with: prefix),
            let place = StoredResource.path(in: UnsafeRawBufferPointer(rebasing: row.key[prefix.count...]))
        else { return }
        let name = String(decoding: place, as: UTF8.self)
        counts.withLock { $0[name, default: 0] += 1 }
    }

    /// Those of a type.
    func count(of type: ResourcePath) -> Int {
        let place = StoredResource.path(of: type.name)
        return counts.withLock { $0[place] ?? 0 }
    }

    /// Whether it is the etcd that an API server keeps everything in, or at least what is needed first.
    var hasNamespaces: Bool { counts.withLock { $0["namespaces"] != nil } }

    /// How many are of none of these types.
    func countBeside(_ types: [ResourcePath]) -> Int {
        let places = Set(types.map { StoredResource.path(of: $0.name) })
        return counts.withLock { $0.reduce(0) { $0 + (places.contains($1.key) ? 0 : $1.value) } }
    }
}
