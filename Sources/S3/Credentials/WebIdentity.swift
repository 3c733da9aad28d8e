public import HostIO

/// Credentials of a role for a token that somebody else issued, such as a Kubernetes cluster for a service account
/// (AssumeRoleWithWebIdentity of the Security Token Service).
public struct WebIdentity: Sendable, Equatable {
    /// The role.
    public var roleARN: String
    /// The file of the token, which is written again from time to time: read it for each request.
    public var tokenPath: String
    /// What the log of the service calls the session.
    public var sessionName: String

    /// The name of a session that was given none.
    public static let defaultSessionName = "etcd-snap"

    /// An identity from its parts.
    public init(roleARN: String, tokenPath: String, sessionName: String = defaultSessionName) {
        self.roleARN = roleARN
        self.tokenPath = tokenPath
        self.sessionName = sessionName
    }

    /// The service of a region.
    ///
    /// - Throws: ``Failure`` with the code `usage`.
    public static func endpoint(region: String) throws(Failure) -> String {
        let s3 = try S3Endpoint.amazon(region: region).server.host
        return "https://sts" + s3.dropFirst("s3".count)
    }

    /// The request, which is not signed: the token says who asks.
    ///
    /// - Parameter endpoint: the URL of the service; nil is Amazon's of the region.
    /// - Throws: ``Failure`` with the code `usage` for a file without a token, or another endpoint than one of https.
    public func request(
        token: S3CredentialFile, region: String, endpoint: String? = nil
    ) throws(Failure) -> CredentialRequest {
        let text = token.firstLine.trimmed
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw Failure(
                .usage, "\(token) has no token in its first line", hint: "name the file that the cluster writes")
        }
        let usual = try Self.endpoint(region: region)
        let server = try EndpointText(endpoint ?? usual).server()
        guard server.isEncrypted || server.host == "localhost" || server.hasAddress else {
            throw Failure(
                .untrusted, "the token of \(token) would go to \(quoted(server.host)) without encryption",
                hint: "use https")
        }
        let items = [
            ("Action", "AssumeRoleWithWebIdentity"), ("Version", "2011-06-15"), ("RoleArn", roleARN),
            ("RoleSessionName", sessionName), ("WebIdentityToken", text),
        ]
        let body = items.map { "\($0.0)=\(PercentEncoding.encode($0.1))" }.joined(separator: "&")
        return CredentialRequest(
            method: .post, url: server.url + "/",
            headers: ["Content-Type": "application/x-www-form-urlencoded", "Accept": "application/xml"],
            body: Array(body.utf8), timeoutSeconds: 30, mayUseProxy: true)
    }

    /// The credentials.
    public func credentials(from response: S3Response) throws(S3Error) -> S3Credentials {
        guard response.status == 200 else { throw failed(S3Error(response, to: Self.unsigned)) }
        do {
            let document = try XMLTree.read(response.body)
            guard let element = document.first("AssumeRoleWithWebIdentityResult")?.first("Credentials") else {
                throw XMLProblem.missing("\(document.name) has no Credentials")
            }
            let end = try element.required("Expiration").trimmed
            guard let expiration = S3Time.parseExtended(end) else {
                throw XMLProblem.missing("its Expiration is \(quoted(beginning(of: end)))")
            }
            return try S3Credentials(
                accessKeyID: try element.required("AccessKeyId").trimmed,
                secretAccessKey: SecretBytes(try element.required("SecretAccessKey").trimmed),
                sessionToken: SecretBytes(try element.required("SessionToken").trimmed), expiration: expiration,
                origin: "role \(quoted(roleARN))")
        } catch {
            // No part of the answer is repeated: it may be a secret.
            var unread = S3Error(
                kind: .unreadable(isCut: Self.isCut(error)), response: response, action: Self.action, subject: subject)
            unread.message = (error as? XMLProblem)?.text ?? Failure(wrapping: error).message
            throw unread
        }
    }

    private static let action = "assume"
    private static let unsigned = S3Request(.post, .bucket, action: action)

    private var subject: String { "role \(quoted(roleARN))" }

    private static func isCut(_ error: any Error) -> Bool {
        if case .cut? = error as? XMLProblem { return true }
        return false
    }

    private func failed(_ error: S3Error) -> S3Error {
        var error = error
        error.subject = subject
        return error
    }
}
