public import HostIO

/// The credentials that a container has: by the agent of ECS, or the pod identity of EKS.
public struct ContainerCredentials: Sendable {
    private static let service = CredentialService(name: "the agent of this container")
    private static let agent = "http://169.254.170.2"
    private let url: String
    private let mayUseProxy: Bool

    /// The credentials below the agent's own address.
    ///
    /// - Parameter relativeURI: what `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` has.
    /// - Throws: ``Failure`` with the code `usage` for what is no path.
    public init(relativeURI: String) throws(Failure) {
        guard relativeURI.hasPrefix("/"), isVisible(relativeURI) else {
            throw Failure(.usage, "\(quoted(relativeURI)) is no path of a container's credentials")
        }
        url = Self.agent + relativeURI
        mayUseProxy = false
    }

    /// The credentials at a URL.
    ///
    /// - Parameter fullURI: what `AWS_CONTAINER_CREDENTIALS_FULL_URI` has; a token is sent there, so that without encryption
    ///   it has to be an address of this host or of an agent.
    /// - Throws: ``Failure`` with the code `usage`, `untrusted` for another address without encryption.
    public init(fullURI: String) throws(Failure) {
        let schemeEnd = fullURI.firstRange(of: "://")?.upperBound ?? fullURI.startIndex
        let originEnd = fullURI[schemeEnd...].firstIndex { "/?#".contains($0) } ?? fullURI.endIndex
        let server = try EndpointText(String(fullURI[..<originEnd])).server()
        let rest = fullURI[originEnd...]
        guard isVisible(String(rest)) else {
            throw Failure(.usage, "\(quoted(fullURI)) is no URL of a container's credentials")
        }
        guard server.isEncrypted || Self.isNear(server.host) else {
            throw Failure(
                .untrusted, "the token of this container would go to \(quoted(server.host)) without encryption",
                hint: "use https; without it only addresses of this host and of the agents of ECS and EKS are asked")
        }
        url = server.url + (rest.isEmpty ? "/" : rest)
        mayUseProxy = server.isEncrypted
    }

    /// This host, and the agents of ECS and EKS.
    private static func isNear(_ host: String) -> Bool {
        if host == "localhost" { return true }
        guard let address = IPAddress(host.filter { $0 != "[" && $0 != "]" }) else { return false }
        let agents = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23", "::1"]
        return address.bytes.count == 4 && address.bytes[0] == 127 || agents.contains(address.text)
    }

    /// The request.
    ///
    /// - Parameter token: the content of the file that `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE` names, read anew each time;
    ///   nil without one.
    /// - Throws: ``Failure`` with the code `usage` for a token that can't be a field.
    public func request(token: S3CredentialFile?) throws(Failure) -> CredentialRequest {
        var headers: S3Headers = [:]
        if let token {
            let text = token.firstLine
            guard !text.isEmpty, text.utf8.allSatisfy({ (0x20...0x7E).contains($0) }) else {
                throw Failure(.usage, "\(token) has no token in its first line")
            }
            headers["Authorization"] = text
        }
        return CredentialRequest(
            method: .get, url: url, headers: headers, body: [], timeoutSeconds: 2, mayUseProxy: mayUseProxy)
    }

    /// The credentials.
    public func credentials(from response: S3Response) throws(S3Error) -> S3Credentials {
        try Self.service.credentials(response)
    }
}

private func isVisible(_ text: String) -> Bool { text.utf8.allSatisfy { (0x21...0x7E).contains($0) } }
