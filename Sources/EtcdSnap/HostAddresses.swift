import HostIO
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Where an endpoint is: the addresses that its host has, in the order in which they are to be tried.
///
/// gRPC is only ever given addresses. Its own resolver asks DNS first where nsswitch.conf names a module that it does not
/// know, waits for every kind of record, and fails where DNS is down and `/etc/hosts` has the name.
struct HostAddresses: Sendable, Equatable {
    /// IPv4 or IPv6 addresses as text.
    var addresses: [String]
    var port: UInt16
    /// The path of a socket of this host, which has no address.
    var socketPath: String?

    /// The addresses in gRPC's syntax (gRPC's `doc/naming.md`), which has one family in a target: IPv4 addresses among IPv6
    /// ones are mapped (RFC 4291, section 2.5.5.2).
    var target: String {
        if let socketPath { return "unix:\(socketPath)" }
        guard addresses.contains(where: { $0.contains(":") }) else {
            return "ipv4:" + addresses.map { "\($0):\(port)" }.joined(separator: ",")
        }
        return "ipv6:"
            + addresses.map { $0.contains(":") ? "[\($0)]:\(port)" : "[::ffff:\($0)]:\(port)" }.joined(separator: ",")
    }

    /// Each address by itself, families in turns: where one family does not work, the second attempt is of the other
    /// (RFC 8305, section 4).
    var interleaved: [HostAddresses] {
        guard let first = addresses.first else { return socketPath == nil ? [] : [self] }
        let isSixFirst = first.contains(":")
        var leading = addresses.filter { $0.contains(":") == isSixFirst }[...]
        var others = addresses.filter { $0.contains(":") != isSixFirst }[...]
        var result: [HostAddresses] = []
        while !leading.isEmpty || !others.isEmpty {
            result += [leading.popFirst(), others.popFirst()].compactMap(\.self)
                .map { HostAddresses(addresses: [$0], port: port) }
        }
        return result
    }

    /// What several DNS servers may take, the first of which are gone.
    private static let leastTimeout = Duration.seconds(20)

    /// Looks the host up; a name by the hosts file and DNS.
    ///
    /// - Parameter timeout: how long a connection may take; a lookup gets as much, and no less than 20 seconds.
    /// - Throws: ``EtcdError`` if the name has no address or that can't be told in time, `CancellationError`.
    static func find(_ endpoint: Endpoint, timeout: Duration) async throws -> HostAddresses {
        if endpoint.transport == .socket { return HostAddresses(addresses: [], port: 0, socketPath: endpoint.host) }
        if endpoint.isAddress { return HostAddresses(addresses: [endpoint.host], port: endpoint.port) }
        let lookup = Lookup()
        // Neither can the system be told to stop looking, nor may it hold up a thread that others need.
        runBeside("etcd-snap.names") { lookup.finish(with: resolve(endpoint.host)) }
        let timer = Task {
            try? await Task.sleep(for: max(timeout, leastTimeout))
            lookup.finish(with: .late)
        }
        defer { timer.cancel() }
        let answer = await withTaskCancellationHandler {
            await lookup.answer()
        } onCancel: {
            lookup.finish(with: .late)
        }
        try Task.checkCancellation()
        switch answer {
        case .addresses(let addresses): return HostAddresses(addresses: addresses, port: endpoint.port)
        case .none(let why):
            throw EtcdError(
                .unresolvable, endpoint: endpoint,
                message: "the name \(quoted(endpoint.host)) has no address: \(why)")
        case .late:
            throw EtcdError(
                .unresolvable, endpoint: endpoint,
                message: "no answer within \(max(timeout, leastTimeout)) to which address the name "
                    + "\(quoted(endpoint.host)) has")
        }
    }

    private enum Answer: Sendable {
        case addresses([String])
        case none(String)
        case late
    }

    /// One answer, of which the first counts, for one who waits for it.
    private final class Lookup: Sendable {
        private struct State: Sendable {
            var answer: Answer?
            var waiting: CheckedContinuation<Answer, Never>?
        }
        private let state = Mutex(State())

        func finish(with answer: Answer) {
            let waiting = state.withLock { state in
                guard state.answer == nil else { return nil as CheckedContinuation<Answer, Never>? }
                state.answer = answer
                defer { state.waiting = nil }
                return state.waiting
            }
            waiting?.resume(returning: answer)
        }

        func answer() async -> Answer {
            await withCheckedContinuation { continuation in
                let answer = state.withLock { state in
                    if state.answer == nil { state.waiting = continuation }
                    return state.answer
                }
                if let answer { continuation.resume(returning: answer) }
            }
        }
    }

    /// The addresses of a name; a dot at its end, which says that it is complete, is not in the hosts file.
    private static func resolve(_ host: String) -> Answer {
        let complete = lookUp(host)
        guard case .none = complete, host.hasSuffix("."), host.count > 1 else { return complete }
        let plain = lookUp(String(host.dropLast()))
        if case .addresses = plain { return plain }
        return complete
    }

    private static func lookUp(_ host: String) -> Answer {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, nil, &hints, &list)
        guard code == 0 else {
            // RFC 6761, section 6.3: no hosts file is needed for these.
            if ".\(host.lowercased())".hasSuffix(".localhost") { return .addresses(["127.0.0.1", "::1"]) }
            return .none("\(String(cString: gai_strerror(code))) (looked up in /etc/hosts and in DNS)")
        }
        defer { freeaddrinfo(list) }
        var addresses: [String] = []
        var next = list
        while let entry = next?.pointee {
            if let text = text(of: entry), !addresses.contains(text) { addresses.append(text) }
            next = entry.ai_next
        }
        return addresses.isEmpty ? .none("the answer is empty") : .addresses(addresses)
    }

    private static func text(of entry: addrinfo) -> String? {
        var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        guard entry.ai_family == AF_INET || entry.ai_family == AF_INET6,
            getnameinfo(
                entry.ai_addr, entry.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST) == 0
        else { return nil }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
