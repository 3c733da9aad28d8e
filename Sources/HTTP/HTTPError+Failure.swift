public import HostIO

extension HTTPError: FailureConvertible, CustomStringConvertible {
    /// One sentence.
    public var description: String { failure.message }

    /// The error as it is shown to a person.
    public var failure: Failure {
        switch reason {
        case .invalidRequest(let problem): Failure(.failed, "the request can't be sent: \(problem)")
        case .invalidProxy(let problem):
            Failure(
                .usage, "the proxy can't be used: \(problem)",
                hint: "write it as http://host:port, with user:password@ before the host if it asks for them")
        case .cannotResolve: resolutionFailure
        case .cannotConnect: connectionFailure
        case .connectionLost:
            Failure(
                .failed, "the connection to \(peer)\(route) was lost\(progress): \(words)",
                hint:
                    "try again; if it goes on, look at the server and at what is between, such as a firewall or a proxy"
            )
        case .timedOut(let phase): timeFailure(phase)
        case .tls(let problem): trustFailure(problem)
        case .proxy(let status): proxyFailure(status)
        case .notHTTP:
            Failure(
                .failed, "\(peer)\(route) answers, but not as an HTTP server does: \(words)",
                hint: "check the port, and whether the address begins with http:// or https://")
        case .tooLarge(let limit):
            Failure(.failed, "the response of \(peer) has more than the \(limit) bytes that were expected")
        case .cancelled: Failure(.failed, "the request to \(peer) was cancelled\(progress)")
        case .outOfMemory: Failure(.failed, "there is no memory for a request to \(peer)")
        case .other(let code):
            Failure(.failed, "the request to \(peer)\(route) failed: \(words) (libcurl's code \(code))")
        }
    }

    private var resolutionFailure: Failure {
        Failure(
            .failed, "the name of \(culprit) has no address, or nobody could say which: \(words)",
            hint: "check the name, /etc/hosts and the DNS servers of /etc/resolv.conf")
    }

    private var connectionFailure: Failure {
        let place = address.map { host == $0 || isAtProxy && proxy?.hasPrefix($0) == true ? "" : " (\($0))" } ?? ""
        return Failure(
            .failed, "no connection to \(culprit)\(place): \(words)",
            hint: isAtProxy
                ? "check the proxy's address and port"
                : "check the address and the port, and whether a firewall is between")
    }

    private func timeFailure(_ phase: Phase) -> Failure {
        switch phase {
        case .lookup(let time):
            Failure(
                .failed, "no answer within \(seconds(time)) to which address the name of \(peer)\(route) has",
                hint: "check the DNS servers of /etc/resolv.conf")
        case .connection(let time):
            Failure(
                .failed, "no connection to \(peer)\(route) within \(seconds(time))",
                hint: "check the address and the port, and whether a firewall is between")
        case .stall(let time):
            Failure(
                .failed, "\(peer)\(route) stopped answering for \(seconds(time))\(progress)",
                hint: "try again when the server or the network is less busy")
        case .deadline(let time):
            Failure(
                .failed, "the request to \(peer)\(route) was not done within \(seconds(time))\(progress)",
                hint: "try again when the server or the network is less busy")
        }
    }

    private func trustFailure(_ problem: TLSProblem) -> Failure {
        switch problem {
        case .noAuthorities(let searched):
            Failure(
                .untrusted,
                "no certificate of an authority is known"
                    + (searched.isEmpty ? "" : ": there is none in \(searched.joined(separator: ", "))"),
                hint:
                    "install the package ca-certificates, or name a file with the certificate of the server's authority"
            )
        case .unknownAuthority:
            Failure(
                .untrusted, "the certificate of \(culprit) is not signed by a trusted authority: \(words)",
                hint: "name a file with the certificate of the authority that signed it")
        case .expired:
            Failure(
                .untrusted, "the certificate of \(culprit), or of an authority above it, has expired",
                hint: "renew the server's certificate, or check this host's clock")
        case .notYetValid:
            Failure(
                .untrusted, "the certificate of \(culprit), or of an authority above it, is not valid yet",
                hint: "check this host's clock")
        case .wrongName(let names):
            Failure(
                .untrusted,
                "the certificate of \(culprit) is for other names"
                    + (names.isEmpty ? "" : ": \(names.prefix(8).map(quoted).joined(separator: ", "))"),
                hint: "use one of its names in the address, or have a certificate issued that has this one")
        case .certificate: Failure(.untrusted, "the certificate of \(culprit) is refused: \(words)")
        case .notTLS:
            Failure(
                .untrusted, "\(culprit) does not speak TLS",
                hint: "check the port; write http:// only if nothing on the way may read or change what is sent")
        case .tooOld:
            Failure(
                .untrusted, "\(culprit) offers no TLS version from 1.2 on: \(words)",
                hint: "bring the server up to date")
        case .handshake: Failure(.untrusted, "the TLS handshake with \(culprit) failed: \(words)")
        }
    }

    private func proxyFailure(_ status: Int?) -> Failure {
        let name = proxy ?? "?"
        switch status {
        case nil: return Failure(.failed, "the proxy \(name) did not connect to \(peer): \(words)")
        case 407:
            return Failure(
                .failed, "the proxy \(name) wants a user and a password, or others (status 407)",
                hint: "write the proxy with user:password@ before its host")
        case let status?:
            return Failure(
                .failed, "the proxy \(name) did not connect to \(peer): it answers with status \(status)",
                hint: status < 500
                    ? "have the proxy allow that host and port, or except the host from the proxy"
                    : "check that the proxy can reach that host, or except the host from the proxy")
        }
    }

    /// Whom it is about.
    private var culprit: String { isAtProxy ? "the proxy \(proxy ?? "?")" : peer }

    private var peer: String { server ?? "a server" }

    private var route: String { isAtProxy ? "" : proxy.map { " by the proxy \($0)" } ?? "" }

    /// libcurl's and a server's words as they may be shown.
    private var words: String { details.isEmpty ? "no reason was given" : withoutSecrets(printable(details)) }

    private var progress: String {
        var parts: [String] = []
        if let bodyByteCount, bodyByteCount > 0 {
            parts.append("\(sentByteCount) of \(bodyByteCount) bytes were sent")
        }
        if receivedByteCount > 0 { parts.append("\(receivedByteCount) bytes came") }
        return parts.isEmpty ? "" : " after \(parts.joined(separator: " and "))"
    }

    private func seconds(_ duration: Duration) -> String {
        let milliseconds = duration.milliseconds
        guard milliseconds % 1000 != 0 else {
            return milliseconds == 1000 ? "1 second" : "\(milliseconds / 1000) seconds"
        }
        return "\(milliseconds / 1000).\((milliseconds % 1000) / 100) seconds"
    }
}
