import HostIO

/// The server that buckets are on, and the region that requests to it are signed for.
public struct S3Endpoint: Sendable, Equatable, CustomStringConvertible {
    /// Where a request says which bucket it means.
    public enum Style: String, Sendable, Equatable, CaseIterable {
        /// In the host: `bucket.s3.eu-west-1.amazonaws.com/key`.
        case virtualHost = "virtual-host"
        /// In the path: `s3.example.com/bucket/key`.
        case path
    }

    /// A server that somebody named.
    struct Server: Sendable, Equatable {
        var isEncrypted: Bool
        /// As in a URL, in lower case: an IPv6 address has its brackets.
        var host: String
        /// Nil for the scheme's own.
        var port: Int?
    }

    enum Place: Sendable, Equatable {
        /// Amazon's own servers, whose names follow from the region.
        case amazon(isDualStack: Bool, isFIPS: Bool)
        case server(Server)
    }

    let place: Place
    /// The region that requests are signed for.
    public let region: String
    /// The style that was asked for; nil follows ``style(of:)``.
    public let givenStyle: Style?

    init(place: Place, region: String, style: Style?) {
        self.place = place
        self.region = region
        givenStyle = style
    }

    /// Amazon's endpoint of a region.
    ///
    /// - Parameters:
    ///   - region: such as `eu-west-1`; a bucket elsewhere is found by what the server answers.
    ///   - isDualStack: the servers that have IPv6 addresses too.
    ///   - isFIPS: the servers with validated cryptography.
    /// - Throws: ``Failure`` with the code `usage`.
    public static func amazon(
        region: String = defaultRegion, isDualStack: Bool = false, isFIPS: Bool = false, style: Style? = nil
    ) throws(Failure) -> S3Endpoint {
        try checkRegion(region)
        guard isHostLabel(region) else {
            throw Failure(
                .usage, "Amazon has no region \(quoted(region))",
                hint: "regions are named as in eu-west-1; name the endpoint if the server is not Amazon's")
        }
        if isFIPS, region.hasPrefix("cn-") {
            throw Failure(
                .usage, "region \(quoted(region)) has no FIPS endpoint", hint: "use the usual one of that region")
        }
        return S3Endpoint(
            place: .amazon(isDualStack: isDualStack, isFIPS: isFIPS), region: region, style: style)
    }

    /// The endpoint at a URL, such as `https://s3.example.com:8333`.
    ///
    /// - Parameters:
    ///   - region: the region; nil takes that of Amazon's name, `auto` on Cloudflare R2 and ``defaultRegion`` elsewhere.
    ///   - style: nil is the path on all servers but Amazon's.
    /// - Throws: ``Failure`` with the code `usage` that says what is wrong.
    public init(url: String, region: String? = nil, style: Style? = nil) throws(Failure) {
        let server = try EndpointText(url).server()
        if let region { try Self.checkRegion(region) }
        if style == .virtualHost, server.hasAddress {
            throw Failure(
                .usage, "the endpoint \(quoted(url)) is an address, before which no bucket can be named",
                hint: "name the bucket in the path, or the server by its name")
        }
        let named = AmazonName(server)
        if let named, server.isEncrypted, server.port == nil {
            // A server of a region takes no signature for another.
            self.init(
                place: .amazon(isDualStack: named.isDualStack, isFIPS: named.isFIPS),
                region: named.region ?? region ?? Self.defaultRegion, style: style)
        } else {
            self.init(place: .server(server), region: named?.region ?? region ?? server.usualRegion, style: style)
        }
    }

    /// The region of a bucket that nothing is known of.
    public static let defaultRegion = "us-east-1"

    /// The same endpoint for a bucket in another region; only Amazon's has another name then.
    ///
    /// - Returns: nil if no region is called that.
    public func inRegion(_ region: String) -> S3Endpoint? {
        guard Self.isRegion(region) else { return nil }
        if case .amazon = place, !S3.isHostLabel(region) { return nil }
        return S3Endpoint(place: place, region: region, style: givenStyle)
    }

    /// Whether the connection is encrypted.
    public var isEncrypted: Bool { server.isEncrypted }

    /// Whether the server is one of Amazon's.
    public var isAmazons: Bool {
        if case .amazon = place { return true }
        return server.host.hasSuffix(".amazonaws.com") || server.host.hasSuffix(".amazonaws.com.cn")
            || server.host.hasSuffix(".amazonaws.eu")
    }

    /// How a bucket is named: by Amazon in the host, unless its dots would break the certificate or its name is none of
    /// DNS, elsewhere in the path; the style that was asked for comes first.
    public func style(of bucket: String) -> Style {
        if let givenStyle { return givenStyle }
        return isAmazons && isHostLabel(bucket) ? .virtualHost : .path
    }

    /// Where the servers are.
    var server: Server {
        switch place {
        case .server(let server): return server
        case .amazon(let isDualStack, let isFIPS):
            let name = (isFIPS ? "s3-fips" : "s3") + (isDualStack ? ".dualstack" : "")
            return Server(isEncrypted: true, host: "\(name).\(region).\(Self.amazonDomain(of: region))", port: nil)
        }
    }

    /// The domains of Amazon's partitions.
    private static func amazonDomain(of region: String) -> String {
        if region.hasPrefix("cn-") { return "amazonaws.com.cn" }
        return region.hasPrefix("eusc-") ? "amazonaws.eu" : "amazonaws.com"
    }

    /// The URL, without a slash at its end.
    public var description: String { server.url }

    /// Whether a text may stand as the region in the scope of a signature; a server's hint is checked by it too.
    static func isRegion(_ text: String) -> Bool {
        (1...63).contains(text.utf8.count)
            && text.utf8.allSatisfy { isLetterOrDigit($0) || "-_.".utf8.contains($0) }
    }

    private static func checkRegion(_ region: String) throws(Failure) {
        guard isRegion(region) else {
            throw Failure(
                .usage, "\(quoted(region)) is no region", hint: "name it as the server does, as in eu-west-1")
        }
    }

}

/// Whether a text can be one label of a host (RFC 1123, section 2.1), in lower case.
func isHostLabel(_ text: String) -> Bool {
    let bytes = text.utf8
    let isInner = { (byte: UInt8) in isLetterOrDigit(byte) && !(0x41...0x5A).contains(byte) || byte == 0x2D }
    return (1...63).contains(bytes.count) && bytes.allSatisfy(isInner) && bytes.first != 0x2D && bytes.last != 0x2D
}

func isLetterOrDigit(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
}

extension S3Endpoint.Server {
    /// The host, with the port if it is not the scheme's own: what `Host` says and what is signed.
    var authority: String { host + (port.map { ":\($0)" } ?? "") }

    var url: String { (isEncrypted ? "https://" : "http://") + authority }

    var hasAddress: Bool { host.hasPrefix("[") || IPAddress(host) != nil }

    /// Cloudflare R2 has but one region, and servers that are nobody's cloud mostly have the oldest of Amazon's.
    var usualRegion: String {
        host.hasSuffix(".r2.cloudflarestorage.com") ? "auto" : S3Endpoint.defaultRegion
    }
}

/// What a name of Amazon's servers tells: `s3`, `s3-fips`, each with `.dualstack`, and the region.
private struct AmazonName {
    var region: String?
    var isDualStack = false
    var isFIPS = false

    init?(_ server: S3Endpoint.Server) {
        let domains = [".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu"]
        guard let domain = domains.first(where: server.host.hasSuffix) else { return nil }
        var labels = server.host.dropLast(domain.count).split(separator: ".").map(String.init)
        guard let service = labels.first, service == "s3" || service == "s3-fips" else { return nil }
        labels.removeFirst()
        isFIPS = service == "s3-fips"
        if labels.first == "dualstack" {
            isDualStack = true
            labels.removeFirst()
        }
        guard labels.count <= 1, !labels.isEmpty || !isDualStack && !isFIPS else { return nil }
        region = labels.first
    }
}
