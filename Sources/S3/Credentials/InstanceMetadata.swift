import HostIO

/// The credentials that an instance of EC2 has, by its metadata (IMDSv2): a token, the name of the role, its credentials.
public struct InstanceMetadata: Sendable {
    /// The address as in a URL.
    private let host: String
    private static let service = CredentialService(name: "the metadata of this instance")
    private static let credentialsPath = "/latest/meta-data/iam/security-credentials/"
    /// How long a token is to hold: a run's.
    private static let tokenSeconds = 21_600

    /// The metadata at its usual address, `169.254.169.254` or `fd00:ec2::254`.
    public init(usesIPv6: Bool = false) { host = usesIPv6 ? "[fd00:ec2::254]" : "169.254.169.254" }

    /// The request for a token; a pod does not get its answer where the instance allows one hop only.
    public var tokenRequest: CredentialRequest {
        request(.put, "/latest/api/token", ["X-aws-ec2-metadata-token-ttl-seconds": String(Self.tokenSeconds)])
    }

    /// The token.
    public func token(from response: S3Response) throws(S3Error) -> SecretBytes { SecretBytes(try line(of: response)) }

    /// The request for the name of the role.
    public func roleRequest(token: SecretBytes) -> CredentialRequest { request(Self.credentialsPath, token) }

    /// The name of the role; an instance without one answers with 404, or with nothing.
    public func role(from response: S3Response) throws(S3Error) -> String {
        let name = try line(of: response)
        // What names of roles consist of (IAM's limits); it becomes part of a path.
        guard name.utf8.allSatisfy({ isLetterOrDigit($0) || "+=,.@_-".utf8.contains($0) }) else {
            throw Self.service.unreadable(response, "it has no name of a role; it begins \(quoted(response.beginning))")
        }
        return name
    }

    /// The request for the credentials of the role.
    public func credentialsRequest(role: String, token: SecretBytes) -> CredentialRequest {
        request(Self.credentialsPath + PercentEncoding.encode(role), token)
    }

    /// The credentials.
    public func credentials(from response: S3Response) throws(S3Error) -> S3Credentials {
        try Self.service.credentials(response)
    }

    /// The request for the region that the instance is in.
    public func regionRequest(token: SecretBytes) -> CredentialRequest {
        request("/latest/meta-data/placement/region", token)
    }

    /// The region.
    public func region(from response: S3Response) throws(S3Error) -> String {
        let region = try line(of: response)
        guard S3Endpoint.isRegion(region) else {
            throw Self.service.unreadable(response, "it has no region; it begins \(quoted(response.beginning))")
        }
        return region
    }

    private func request(_ path: String, _ token: SecretBytes) -> CredentialRequest {
        request(.get, path, ["X-aws-ec2-metadata-token": token.text])
    }

    private func request(_ method: S3Request.Method, _ path: String, _ headers: S3Headers) -> CredentialRequest {
        CredentialRequest(
            method: method, url: "http://\(host)\(path)", headers: headers, body: [], timeoutSeconds: 1,
            mayUseProxy: false)
    }

    /// The first line of an answer.
    private func line(of response: S3Response) throws(S3Error) -> String {
        guard response.status == 200 else { throw Self.service.error(response) }
        let line = response.body.prefix { $0 != 0x0A && $0 != 0x0D }
        guard !line.isEmpty, line.count <= 4096, line.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw Self.service.unreadable(response, "its first line is empty, or no plain text")
        }
        return String(decoding: line, as: UTF8.self)
    }
}
