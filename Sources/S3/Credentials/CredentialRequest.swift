import FoundationEssentials
import HostIO

/// A request for credentials to a service beside S3; it is not signed.
public struct CredentialRequest: Sendable {
    /// What is asked for.
    public var method: S3Request.Method
    /// The URL, to be sent as it is.
    public var url: String
    /// The fields of the header; they may hold a token.
    public var headers: S3Headers
    /// The body, which may hold a token: wipe it after use.
    public var body: [UInt8]
    /// How long to wait for the whole answer.
    public var timeoutSeconds: Double
    /// Whether it may go through a proxy: addresses that only this host can reach may not.
    public var mayUseProxy: Bool
}

extension CredentialRequest: CustomStringConvertible, CustomReflectable {
    /// Method and URL.
    public var description: String { "\(method.rawValue) \(url)" }
    /// Shows neither header nor body.
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// Who gives credentials, as messages call it.
struct CredentialService {
    /// Such as `the metadata of the instance`.
    let name: String

    func error(_ response: S3Response) -> S3Error {
        var error = S3Error(kind: .refused, response: response, action: "get credentials from", subject: name)
        if let answer = try? JSONDecoder().decode(ErrorAnswer.self, from: Data(response.body)) {
            error.code = answer.code.map { printable(beginning(of: $0)) }
            error.message = answer.message.map { printable(beginning(of: $0, count: 300)) }
        } else if !response.body.isEmpty {
            error.message = "the answer begins \(quoted(response.beginning))"
        }
        return error
    }

    func unreadable(_ response: S3Response, _ problem: String) -> S3Error {
        var error = S3Error(
            kind: .unreadable(isCut: false), response: response, action: "get credentials from", subject: name)
        error.message = problem
        return error
    }

    /// The credentials of an answer in JSON.
    func credentials(_ response: S3Response) throws(S3Error) -> S3Credentials {
        guard response.status == 200 else { throw error(response) }
        // No part of the answer is repeated: it may be a secret.
        guard let answer = try? JSONDecoder().decode(Answer.self, from: Data(response.body)) else {
            throw unreadable(response, "it is no JSON of credentials")
        }
        if let code = answer.code, code != "Success" { throw error(response) }
        guard let key = answer.accessKeyID, let secret = answer.secretAccessKey else {
            throw unreadable(response, "it has no \(answer.accessKeyID == nil ? "AccessKeyId" : "SecretAccessKey")")
        }
        var expiration: Date?
        if let text = answer.expiration {
            guard let date = S3Time.parseExtended(text) else {
                throw unreadable(response, "its Expiration is \(quoted(beginning(of: text)))")
            }
            expiration = date
        }
        do {
            return try S3Credentials(
                accessKeyID: key, secretAccessKey: SecretBytes(secret),
                sessionToken: answer.token.map { SecretBytes($0) },
                expiration: expiration, origin: name)
        } catch {
            throw unreadable(response, error.message)
        }
    }

    private struct Answer: Decodable {
        var code: String?
        var accessKeyID: String?
        var secretAccessKey: String?
        var token: String?
        var expiration: String?

        enum CodingKeys: String, CodingKey {
            case code = "Code"
            case accessKeyID = "AccessKeyId"
            case secretAccessKey = "SecretAccessKey"
            case token = "Token"
            case expiration = "Expiration"
        }
    }

    /// The metadata of instances writes names in upper case, the agents of containers in lower case.
    private struct ErrorAnswer: Decodable {
        var code: String?
        var message: String?

        enum CodingKeys: String, CodingKey {
            case code
            case message
            case upperCode = "Code"
            case upperMessage = "Message"
        }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            code =
                try container.decodeIfPresent(String.self, forKey: .code)
                ?? container.decodeIfPresent(String.self, forKey: .upperCode)
            message =
                try container.decodeIfPresent(String.self, forKey: .message)
                ?? container.decodeIfPresent(String.self, forKey: .upperMessage)
        }
    }
}
