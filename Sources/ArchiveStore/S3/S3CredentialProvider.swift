import FoundationEssentials
import HTTP
import HostIO
import S3
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Where credentials for a bucket come from, and those that are valid now.
///
/// What is in files is read again when a server refuses it, for files are rotated; what has an end is fetched again before it.
final class S3CredentialProvider: Sendable {
    /// Credentials are got somewhere, each time anew.
    typealias Source = @Sendable () throws -> S3Credentials

    private let source: Source
    private let current = Mutex<S3Credentials?>(nil)

    init(_ source: @escaping Source) { self.source = source }

    /// Credentials that are valid at the time.
    ///
    /// - Parameter refused: those that a server refused; others are got, unless that was done meanwhile.
    func credentials(at now: Date = Date(), insteadOf refused: S3Credentials? = nil) throws -> S3Credentials {
        try current.withLock { current in
            let isRefused = refused.map { current?.isSame(as: $0) == true } ?? false
            if let current, !isRefused, !current.needRenewal(at: now) { return current }
            do {
                let fetched = try source()
                current = fetched
                return fetched
            } catch {
                guard let current else { throw error }
                // They are renewed some minutes before their end.
                if !isRefused, current.expiration.map({ $0 > now }) != false { return current }
                throw CredentialRenewalError(cause: error)
            }
        }
    }
}

/// Credentials that were there can't be got again: their file is being written, say, or who lends them is away for a moment.
struct CredentialRenewalError: Error, FailureConvertible {
    let cause: any Error
    var failure: Failure { Failure(wrapping: cause) }
}

extension S3Credentials {
    fileprivate func isSame(as other: S3Credentials) -> Bool {
        accessKeyID == other.accessKeyID && secretAccessKey === other.secretAccessKey
    }
}

/// Finds where the credentials of a store are.
struct S3CredentialSearch {
    let settings: S3Settings
    let variables: [String: String]
    /// The profile that was read for the address already.
    let profile: S3Profile?
    let region: String
    let http: HTTPConfiguration

    /// The name of the credential that a unit may load: `LoadCredential=s3:/etc/…`.
    static let systemdCredentialName = "s3"

    /// The file of keys that systemd has given this unit; nil without one.
    static func systemdCredential(_ variables: [String: String]) -> String? {
        guard let directory = variables["CREDENTIALS_DIRECTORY"], !directory.isEmpty else { return nil }
        let path = joinPath(directory, systemdCredentialName)
        return access(path, F_OK) == 0 ? path : nil
    }

    /// The profile that settings or a systemd credential name, with keys, region or endpoint; nil without either.
    static func profile(_ settings: S3Settings, _ variables: [String: String]) throws -> S3Profile? {
        let wanted = settings.credentials
        if let path = wanted.file {
            let file = try S3CredentialFile(path: path)
            if let name = wanted.profile { return try S3Profile(named: name, credentials: file) }
            return try S3Profile(alone: file)
        }
        if let name = wanted.profile {
            let home = variables["HOME"] ?? "/root"
            let credentials = variables["AWS_SHARED_CREDENTIALS_FILE"] ?? joinPath(home, ".aws/credentials")
            let config = variables["AWS_CONFIG_FILE"] ?? joinPath(home, ".aws/config")
            return try S3Profile(
                named: name, credentials: Self.optional(credentials), config: Self.optional(config))
        }
        guard !wanted.usesEnvironment, let path = systemdCredential(variables) else { return nil }
        return try S3Profile(alone: S3CredentialFile(path: path))
    }

    private static func optional(_ path: String) throws -> S3CredentialFile? {
        access(path, F_OK) == 0 ? try S3CredentialFile(path: path) : nil
    }

    /// Where they are.
    ///
    /// - Throws: ``Failure`` with the code `usage` if nothing tells.
    func provider() throws -> S3CredentialProvider {
        if settings.credentials.usesEnvironment {
            guard let found = try S3Credentials.environment(variables) else {
                throw Failure(
                    .usage, "the environment has no access key, and was to be asked for one",
                    hint: "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a file of keys",
                    settings: [.s3Credentials])
            }
            return S3CredentialProvider { found }
        }
        if let profile { return try provider(of: profile) }
        if let role = variables["AWS_ROLE_ARN"], let path = variables["AWS_WEB_IDENTITY_TOKEN_FILE"] {
            let name = variables["AWS_ROLE_SESSION_NAME"] ?? WebIdentity.defaultSessionName
            return S3CredentialProvider(
                webIdentity(WebIdentity(roleARN: role, tokenPath: path, sessionName: name)))
        }
        if let container = try containerCredentials() { return S3CredentialProvider(container) }
        return S3CredentialProvider(instanceMetadata())
    }

    private func provider(of profile: S3Profile) throws -> S3CredentialProvider {
        switch profile.source {
        case .keys:
            let (settings, variables) = (settings, variables)
            return S3CredentialProvider {
                guard case .keys(let keys) = try Self.profile(settings, variables)?.source else {
                    throw Failure(.failed, "the file of access keys has none any more", settings: [.s3Credentials])
                }
                return keys
            }
        case .webIdentity(let identity): return S3CredentialProvider(webIdentity(identity))
        case nil:
            throw Failure(
                .usage, "the profile \(quoted(profile.name)) names no credentials",
                hint: "write aws_access_key_id and aws_secret_access_key into it, or name another one",
                settings: [.s3Credentials, .s3Profile])
        }
    }

    private func webIdentity(_ identity: WebIdentity) -> S3CredentialProvider.Source {
        let (region, http, endpoint) = (region, http, variables["AWS_ENDPOINT_URL_STS"])
        return {
            let token = try S3CredentialFile(path: identity.tokenPath)
            let request = try identity.request(token: token, region: region, endpoint: endpoint)
            return try identity.credentials(from: Self.send(request, http))
        }
    }

    private func containerCredentials() throws -> S3CredentialProvider.Source? {
        let container: ContainerCredentials
        if let path = variables["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] {
            container = try ContainerCredentials(relativeURI: path)
        } else if let url = variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] {
            container = try ContainerCredentials(fullURI: url)
        } else {
            return nil
        }
        let (http, tokenPath) = (http, variables["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"])
        return {
            let token = try tokenPath.map { try S3CredentialFile(path: $0) }
            return try container.credentials(from: Self.send(container.request(token: token), http))
        }
    }

    private func instanceMetadata() -> S3CredentialProvider.Source {
        let (http, isDisabled) = (http, variables["AWS_EC2_METADATA_DISABLED"]?.lowercased() == "true")
        let usesIPv6 = variables["AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"]?.lowercased() == "ipv6"
        return {
            let metadata = InstanceMetadata(usesIPv6: usesIPv6)
            do {
                guard !isDisabled else { throw Failure(.usage, "the metadata of the instance is switched off") }
                let token = try metadata.token(from: Self.send(metadata.tokenRequest, http))
                let role = try metadata.role(from: Self.send(metadata.roleRequest(token: token), http))
                return try metadata.credentials(
                    from: Self.send(metadata.credentialsRequest(role: role, token: token), http))
            } catch {
                throw Failure(
                    .untrusted, "there are no credentials for the bucket: \(Failure(wrapping: error).message)",
                    hint: "name a file of access keys, or give the unit the credential "
                        + "\(Self.systemdCredentialName) (LoadCredential=\(Self.systemdCredentialName):FILE)",
                    settings: [.s3Credentials])
            }
        }
    }

    /// Sends a request to who gives credentials, which is not signed.
    private static func send(_ request: CredentialRequest, _ http: HTTPConfiguration) throws -> S3Response {
        var configuration = http
        let timeout = Duration.milliseconds(Int(request.timeoutSeconds * 1000))
        if !request.mayUseProxy { configuration.proxies = .none }
        configuration.connectTimeout = timeout
        // A file of authorities is that of the bucket's server.
        if !request.mayUseProxy { configuration.authorities = .system }
        let response = try HTTPClient(configuration).perform(
            HTTPRequest(
                request.method.rawValue, request.url,
                fields: request.headers.fields.map { HTTPField($0.name, $0.value) },
                body: request.body.isEmpty ? nil : .bytes(request.body), deadline: timeout))
        return S3Response(response)
    }
}

extension S3Response {
    /// A response as the operations of S3 read it.
    init(_ response: HTTPResponse) {
        self.init(
            status: response.status,
            headers: S3Headers(response.fields.map { S3Headers.Field($0.name, $0.value) }), body: response.body)
    }
}
