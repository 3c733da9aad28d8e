/// A client URL of an etcd, as flags and configuration files write it.
enum EtcdURL {
    /// The URLs of a list by commas, without those that no client can use; an address that stands for all of the host's is
    /// replaced by the loopback one, that of IPv6 by both, for it may stand for IPv4 as well.
    static func list(_ value: String) -> [String] {
        value.split(separator: ",").flatMap { url -> [String] in
            guard let url = cleaned(url.drop { $0 == " " }) else { return [] }
            return url.contains("://[::]")
                ? ["[::1]", "127.0.0.1"].map { url.replacing("://[::]", with: "://" + $0) }
                : [url.replacing("://0.0.0.0", with: "://127.0.0.1")]
        }
    }

    /// A URL that a client can connect to; nil for sockets and what is no URL.
    static func usable(_ url: some StringProtocol) -> String? { list(String(url)).first }

    /// A URL without what no client needs: a slash at its end, and a user with a password, which etcd's URLs don't have.
    private static func cleaned(_ text: Substring) -> String? {
        var url = text
        while url.hasSuffix("/") || url.hasSuffix(" ") { url.removeLast() }
        guard let scheme = ["http://", "https://"].first(where: url.hasPrefix) else { return nil }
        let rest = url.dropFirst(scheme.count)
        let authority = rest.prefix { $0 != "/" }
        guard let at = authority.lastIndex(of: "@") else { return String(url) }
        return scheme + rest[rest.index(after: at)...]
    }

    /// Whether the URL leads to this node whatever becomes of its addresses.
    static func isLoopback(_ url: String) -> Bool {
        ["://127.", "://localhost", "://[::1]"].contains { url.contains($0) }
    }

    /// URLs of which no two lead to the same place, in their order; the secure one is kept of those that differ in the scheme.
    static func unique(_ urls: [String]) -> [String] {
        let secure = Set(urls.filter(isSecure).map(identity))
        var seen: Set<String> = []
        return urls.filter { (isSecure($0) || !secure.contains(identity($0))) && seen.insert(place($0)).inserted }
    }

    /// Host and port; a name of the loopback interface is that of IPv4.
    private static func place(_ url: String) -> String {
        let rest = url.split(separator: "/", omittingEmptySubsequences: true).dropFirst().first.map(String.init) ?? url
        return rest.replacing("localhost:", with: "127.0.0.1:").lowercased()
    }

    private static func isSecure(_ url: String) -> Bool { url.hasPrefix("https://") }

    /// Host and port, by which two URLs are the same; all names of the loopback interface count as one.
    static func identity(_ url: String) -> String {
        place(url).replacing("[::1]:", with: "127.0.0.1:")
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
