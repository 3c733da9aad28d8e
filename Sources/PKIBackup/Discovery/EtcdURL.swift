/// A client URL of an etcd, as flags and configuration files write it.
enum EtcdURL {
    /// The URLs of a list by commas, without those that no client can use; addresses that stand for all of the host's are
    /// replaced by the loopback one.
    static func list(_ value: String) -> [String] {
        value.split(separator: ",").compactMap { usable($0.drop { $0 == " " }) }
    }

    /// A URL that a client can connect to; nil for sockets and what is no URL.
    static func usable(_ url: some StringProtocol) -> String? {
        var url = String(url)
        while url.hasSuffix("/") || url.hasSuffix(" ") { url.removeLast() }
        guard url.hasPrefix("http://") || url.hasPrefix("https://") else { return nil }
        for wildcard in ["://0.0.0.0", "://[::]"] { url = url.replacing(wildcard, with: "://127.0.0.1") }
        return url
    }

    /// Whether the URL leads to this node whatever becomes of its addresses.
    static func isLoopback(_ url: String) -> Bool {
        ["://127.", "://localhost", "://[::1]"].contains { url.contains($0) }
    }

    /// URLs of which no two lead to the same place, in their order; the secure one is kept of those that differ in the scheme.
    static func unique(_ urls: [String]) -> [String] {
        let secure = Set(urls.filter(isSecure).map(identity))
        var seen: Set<String> = []
        return urls.filter { (isSecure($0) || !secure.contains(identity($0))) && seen.insert(identity($0)).inserted }
    }

    private static func isSecure(_ url: String) -> Bool { url.hasPrefix("https://") }

    /// Host and port, by which two URLs are the same; all names of the loopback interface count as one.
    static func identity(_ url: String) -> String {
        let rest = url.split(separator: "/", omittingEmptySubsequences: true).dropFirst().first.map(String.init) ?? url
        return rest.replacing("localhost:", with: "127.0.0.1:").replacing("[::1]:", with: "127.0.0.1:").lowercased()
    }
}

/// An etcd as one source tells of it, before those that are the same are put together.
struct EtcdCandidate {
    var name: String
    /// Client URLs in the source's order.
    var endpoints: [String]
    /// Further URLs that it is the same by, to which this node would not connect first.
    var aliases: [String] = []
    var caPath: String?
    var certificatePath: String?
    var keyPath: String?
    /// The pair of the server itself, taken when there is no client's.
    var serverCertificatePath: String?
    var serverKeyPath: String?
    var serverCAPath: String?
    var dataDirectory: String?
    var source: String
    /// Whether it is a member on this node, not what a client was told.
    var isMember = false

    var identities: Set<String> { Set((endpoints + aliases).map(EtcdURL.identity)) }

    /// Whether both are the same etcd: they have an address in common.
    func isSame(as other: EtcdCandidate) -> Bool { !identities.isDisjoint(with: other.identities) }

    /// Takes over what the other knows and this one doesn't.
    mutating func merge(_ other: EtcdCandidate) {
        // A member's own addresses before those that clients were told.
        let all = other.isMember && !isMember ? other.endpoints + endpoints : endpoints + other.endpoints
        endpoints = all
        aliases += other.aliases
        caPath = caPath ?? other.caPath
        if certificatePath == nil || keyPath == nil {
            certificatePath = other.certificatePath
            keyPath = other.keyPath
        }
        serverCertificatePath = serverCertificatePath ?? other.serverCertificatePath
        serverKeyPath = serverKeyPath ?? other.serverKeyPath
        serverCAPath = serverCAPath ?? other.serverCAPath
        dataDirectory = dataDirectory ?? other.dataDirectory
        if other.isMember && !isMember { source = "\(source), \(other.source)" }
        isMember = isMember || other.isMember
    }
}
