import HostIO

/// Reads the URL of an endpoint.
struct EndpointText {
    private let text: String

    init(_ text: String) { self.text = text }

    /// The server that is named.
    ///
    /// - Throws: ``Failure`` with the code `usage` that says what is wrong; a password is not repeated.
    func server() throws(Failure) -> S3Endpoint.Server {
        guard let separator = text.firstRange(of: "://") else {
            throw failure("it has no scheme", hint: "write it as in https://s3.example.com or http://127.0.0.1:8333")
        }
        let scheme = text[..<separator.lowerBound].lowercased()
        guard scheme == "https" || scheme == "http" else {
            throw failure(
                "\(quoted(scheme)) is no scheme of S3", hint: "it is https, or http on a network that is trusted")
        }
        var authority = text[separator.upperBound...]
        if authority.contains("?") || authority.contains("#") {
            throw failure("it has a query or a fragment", hint: "name scheme, host and port only")
        }
        if let slash = authority.firstIndex(of: "/") {
            guard authority[slash...].allSatisfy({ $0 == "/" }) else {
                throw failure(
                    "it has a path", hint: "name scheme, host and port only; the bucket is named in the location")
            }
            authority = authority[..<slash]
        }
        guard !authority.contains("@") else {
            throw failure("it has a user", hint: "credentials are read from a file, which is named instead")
        }
        let (host, port) = try split(authority)
        let usualPort = scheme == "https" ? 443 : 80
        return S3Endpoint.Server(
            isEncrypted: scheme == "https", host: host, port: port == usualPort ? nil : port)
    }

    private func split(_ authority: Substring) throws(Failure) -> (host: String, port: Int?) {
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else {
                throw failure("the bracket of its address is not closed", hint: "write it as in http://[::1]:8333")
            }
            let inner = authority[authority.index(after: authority.startIndex)..<end]
            guard let address = IPAddress(inner), address.bytes.count == 16 else {
                throw failure(
                    "\(quoted(String(inner))) is no IPv6 address",
                    hint: "write it as in http://[::1]:8333, without a zone")
            }
            return ("[\(address.text)]", try port(authority[authority.index(after: end)...]))
        }
        if authority.count(where: { $0 == ":" }) > 1 {
            throw failure(
                "an IPv6 address in it has no brackets", hint: "write it as in http://[::1]:8333")
        }
        let hostText = authority.prefix { $0 != ":" }
        let host = hostText.lowercased()
        guard !host.isEmpty else { throw failure("it has no host", hint: "write it as in https://s3.example.com") }
        // Names within a cluster or a container network may have underscores.
        let labels = host.split(separator: ".", omittingEmptySubsequences: false)
        let isName = labels.allSatisfy { label in
            (1...63).contains(label.utf8.count)
                && label.utf8.allSatisfy { isLetterOrDigit($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_") }
        }
        guard isName, host.utf8.count <= 253 else {
            throw failure(
                "\(quoted(String(hostText))) is no name of a host",
                hint: "names have letters, digits, hyphens and dots; others are written in their ASCII form (xn--…)")
        }
        if host.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == 0x2E }), IPAddress(host) == nil {
            throw failure("\(quoted(host)) is no IPv4 address", hint: "write it as in http://127.0.0.1:8333")
        }
        return (host, try port(authority[hostText.endIndex...]))
    }

    private func port(_ text: Substring) throws(Failure) -> Int? {
        guard !text.isEmpty else { return nil }
        let digits = text.dropFirst()
        guard text.first == ":", !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let port = Int(digits), (1...65_535).contains(port)
        else {
            throw failure("\(quoted(String(text))) is no port", hint: "ports are numbers from 1 to 65535, as in :8333")
        }
        return port
    }

    private func failure(_ problem: String, hint: String) -> Failure {
        Failure(.usage, "\(quoted(shown)) can't be the endpoint of S3: \(problem)", hint: hint)
    }

    /// The text without what may be a user and a password.
    private var shown: String {
        guard let at = text.lastIndex(of: "@") else { return text }
        let start = text.firstRange(of: "://")?.upperBound ?? text.startIndex
        return start <= at ? text[..<start] + "…" + text[at...] : text
    }
}
