import FoundationEssentials
import HTTP
import HostIO

#if canImport(Glibc)
    import Glibc
#endif

/// A client of one API server with one set of credentials, safe to use from many threads; its calls block.
///
/// Paths, fields and statuses as in the API conventions of Kubernetes. Where the server is overloaded, or not ready, and says
/// when to come back (`Retry-After`), a request is sent again, as client-go does.
public final class KubernetesClient: Sendable {
    /// How the server is reached.
    public let access: APIServerAccess
    private let client: HTTPClient
    private let url: String

    private static let maxTryCount = 6
    private static let maxPause = 5.0
    /// The most bytes of an answer: a page of objects of a megabyte each, which is the most that etcd takes by default.
    private static let maxBodyByteCount = 1 << 30

    /// A client without connections.
    ///
    /// - Throws: ``Failure`` for an address that is none.
    public init(_ access: APIServerAccess) throws {
        self.access = access
        var configuration = HTTPConfiguration(authorities: .pem(access.authorities), stallTimeout: .seconds(90))
        configuration.maxBodyByteCount = Self.maxBodyByteCount
        if case .certificate(let certificate, let key) = access.credentials {
            configuration.clientCertificate = HTTPConfiguration.ClientCertificate(certificate: certificate, key: key)
        }
        (url, configuration.place) = try access.target()
        client = try HTTPClient(configuration)
    }

    // MARK: Requests

    /// Sends a request and returns the body of its answer.
    ///
    /// - Throws: ``APIStatus`` where the server refuses, ``APIConnectionError`` where it does not answer.
    func send(
        _ method: String, _ path: String, query: [(String, String)] = [], accept: String = "application/json",
        contentType: String = "application/json", body: JSONValue? = nil
    ) throws -> [UInt8] {
        let parameters = query.map { "\($0.0)=\(ResourcePath.encoded($0.1))" }.joined(separator: "&")
        let target = url + path + (parameters.isEmpty ? "" : "?" + parameters)
        var fields = [HTTPField("Accept", accept)]
        if body != nil { fields.append(HTTPField("Content-Type", contentType)) }
        if case .token(let token) = access.credentials { fields.append(HTTPField("Authorization", Self.bearer(token))) }
        let request = HTTPRequest(method, target, fields: fields, body: try body.map { .bytes(try $0.bytes) })
        for number in 1... {
            let response = try perform(request)
            if response.isSuccess { return response.body }
            let pause = response["Retry-After"].flatMap { Double($0) }
            guard number < Self.maxTryCount, let pause, response.status == 429 || response.status >= 500 else {
                throw status(response, "\(method) \(path)")
            }
            usleep(UInt32(min(max(pause, 0.1), Self.maxPause) * 1e6))
        }
        throw Failure(.failed, "\(method) \(path) was not answered")
    }

    /// Sends a request and reads its answer.
    func send<Answer: Decodable>(
        _ method: String, _ path: String, query: [(String, String)] = [], accept: String = "application/json",
        contentType: String = "application/json", body: JSONValue? = nil, as type: Answer.Type
    ) throws -> Answer {
        let bytes = try send(method, path, query: query, accept: accept, contentType: contentType, body: body)
        do {
            return try JSONDecoder().decode(type, from: Data(bytes))
        } catch {
            throw Failure(
                .failed, "the answer to \(method) \(path), \(bytes.count) bytes, is not what an API server says",
                hint: "check that \(access.server) is an API server")
        }
    }

    private func perform(_ request: HTTPRequest) throws -> HTTPResponse {
        do {
            return try client.perform(request)
        } catch let error as HTTPError {
            throw APIConnectionError(error)
        }
    }

    private static func bearer(_ token: SecretBytes) -> String {
        token.withUnsafeBytes { bytes in
            let isBlank = { (byte: UInt8) in byte <= 0x20 }
            let end = bytes.lastIndex { !isBlank($0) }.map { $0 + 1 } ?? 0
            return "Bearer " + String(decoding: bytes[..<end].drop(while: isBlank), as: UTF8.self)
        }
    }

    private func status(_ response: HTTPResponse, _ request: String) -> APIStatus {
        struct Answer: Decodable {
            var kind: String
            var reason: String?
            var message: String?
        }
        let answer = try? JSONDecoder().decode(Answer.self, from: Data(response.body))
        let text = String(decoding: response.body.prefix(500), as: UTF8.self)
        return APIStatus(
            code: response.status, reason: answer?.reason ?? "",
            message: answer.flatMap { $0.kind == "Status" ? $0.message : nil } ?? text, request: request,
            origin: access.origin)
    }

    // MARK: The server

    /// Whether the server is ready to serve; what is not yet is in the error.
    ///
    /// - Throws: ``APIStatus`` or ``APIConnectionError`` while it is not.
    public func checkReady() throws { _ = try send("GET", "/readyz", accept: "*/*") }

    /// The server's version, such as `v1.36.3`.
    public func version() throws -> String {
        struct Answer: Decodable { var gitVersion: String }
        return try send("GET", "/version", as: Answer.self).gitVersion
    }

    /// Whom the server takes the client for.
    ///
    /// - Throws: ``APIStatus`` that is not found for a server before Kubernetes 1.28, which has no such type.
    public func whoAmI() throws -> String {
        struct Answer: Decodable {
            struct Status: Decodable { var userInfo: User }
            struct User: Decodable { var username: String }
            var status: Status
        }
        let type = ResourcePath(group: "authentication.k8s.io", resource: "selfsubjectreviews")
        return try send(
            "POST", type.path(),
            body: ["apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"], as: Answer.self
        ).status.userInfo.username
    }
}
