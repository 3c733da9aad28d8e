internal import CCurl
import HostIO

#if canImport(Glibc)
    import Glibc
#endif

/// A request with everything that libcurl is told about it, checked.
struct PreparedRequest {
    let url: HTTPURL
    let proxy: HTTPProxy?
    let body: HTTPRequest.Body?
    let stallTimeout: Duration
    let deadline: Duration?
    private let request: HTTPRequest
    private let configuration: HTTPConfiguration
    private let authorities: [UInt8]?

    /// - Parameter authorities: is asked for the PEM of the authorities if a connection is encrypted.
    init(
        _ request: HTTPRequest, _ configuration: HTTPConfiguration, authorities: () throws(HTTPError) -> [UInt8]
    ) throws(HTTPError) {
        if let problem = request.problem { throw HTTPError(.invalidRequest(problem)) }
        url = try HTTPURL(request.url)
        proxy = configuration.proxies.proxy(for: url)
        body = request.effectiveBody
        stallTimeout = request.stallTimeout ?? configuration.stallTimeout
        deadline = request.deadline ?? configuration.deadline
        self.authorities = url.isEncrypted || proxy?.scheme == "https" ? try authorities() : nil
        self.request = request
        self.configuration = configuration
    }

    /// Lends the request in the form that the shim takes.
    func withUnsafePointer<Result>(
        mayUseKeptConnection: Bool, _ perform: (UnsafePointer<ccurl_request>) throws -> Result
    ) throws -> Result {
        let strings = CStrings()
        let method = try strings.copy(request.method)
        // A list has an address only if it is not empty.
        let fields = try request.lines.map { try strings.copy($0) } + [method]
        let url = try strings.copy(request.url)
        let proxyURL = try strings.copy(proxy?.url ?? "")
        let user = try proxy?.user.map { try strings.copy($0) }
        let password = try proxy?.password.map { try strings.copy($0) }
        let place = try configuration.place.map { try strings.copy("::" + HostAndPort.text($0.host, $0.port)) }
        let agent = try (request.fields["User-Agent"] ?? configuration.userAgent).map { try strings.copy($0) }
        defer { withExtendedLifetime(strings) {} }
        return try fields.withUnsafeBufferPointer { fields in
            guard let list = fields.baseAddress else { throw HTTPError(.outOfMemory) }
            return try withBytes { body, authorities, identity in
                let plain = ccurl_request(
                    method: method, url: url, fields: list, field_count: fields.count - 1, body: body?.baseAddress,
                    body_count: body?.count ?? 0, authorities: authorities?.baseAddress,
                    authorities_count: authorities?.count ?? 0, certificate: identity?.certificate.baseAddress,
                    certificate_count: identity?.certificate.count ?? 0, key: identity?.key.baseAddress,
                    key_count: identity?.key.count ?? 0, connect_to: place, proxy: proxyURL, proxy_user: user,
                    proxy_password: password, user_agent: agent,
                    connect_timeout: configuration.connectTimeout.milliseconds,
                    total_timeout: deadline?.milliseconds ?? 0, stall_rate: configuration.stallByteRate,
                    stall_seconds: stallTimeout.wholeSeconds, max_head_count: configuration.maxHeadByteCount,
                    may_use_kept_connection: mayUseKeptConnection)
                return try Swift.withUnsafePointer(to: plain, perform)
            }
        }
    }

    private typealias Bytes = UnsafeBufferPointer<UInt8>
    private typealias Identity = (certificate: Bytes, key: Bytes)

    private func withBytes<Result>(_ perform: (Bytes?, Bytes?, Identity?) throws -> Result) throws -> Result {
        func withIdentity(_ body: Bytes?, _ authorities: Bytes?) throws -> Result {
            guard url.isEncrypted, let identity = configuration.clientCertificate else {
                return try perform(body, authorities, nil)
            }
            return try identity.certificate.withUnsafeBufferPointer { certificate in
                try identity.key.withUnsafeBytes { key in
                    try perform(body, authorities, (certificate, key.assumingMemoryBound(to: UInt8.self)))
                }
            }
        }
        func withAuthorities(_ body: Bytes?) throws -> Result {
            guard let authorities else { return try withIdentity(body, nil) }
            return try authorities.withUnsafeBufferPointer { try withIdentity(body, $0) }
        }
        guard let body else { return try withAuthorities(nil) }
        return try body.withUnsafeBytes { bytes in
            // An empty body is one, and has an address.
            try withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 1) { place in
                let empty = Bytes(UnsafeMutableBufferPointer(rebasing: place[..<0]))
                return try withAuthorities(bytes.isEmpty ? empty : bytes.assumingMemoryBound(to: UInt8.self))
            }
        }
    }
}

/// Copies of texts for C, freed together.
private final class CStrings {
    private var copies: [UnsafeMutablePointer<CChar>] = []

    deinit {
        for copy in copies { free(copy) }
    }

    func copy(_ text: String) throws(HTTPError) -> UnsafePointer<CChar> {
        guard let copy = strdup(text) else { throw HTTPError(.outOfMemory) }
        copies.append(copy)
        return UnsafePointer(copy)
    }
}
