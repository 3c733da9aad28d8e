import FoundationEssentials
import HostIO

/// Why an RPC to an endpoint failed.
public struct EtcdError: Error, Sendable, CustomStringConvertible, FailureConvertible {
    /// What is wrong, told apart as far as the transport lets on.
    public enum Reason: Sendable, Equatable {
        /// No connection: nothing listens, no route.
        case unreachable
        /// The host's name has no address, or that can't be told.
        case unresolvable
        /// The connection or the handshake took too long.
        case connectTimedOut
        /// The endpoint says `http` and the server speaks TLS.
        case serverSpeaksTLS
        /// The endpoint says `https` and the server doesn't speak TLS.
        case serverSpeaksPlaintext
        /// Something answers that isn't etcd.
        case notEtcd
        /// Connections are taken and ended without a word.
        case connectionClosed
        /// The TLS handshake fails, and not for the sake of a certificate.
        case handshakeFailed
        /// None of the trusted authorities has signed the server's certificate; its issuer, if that is known.
        case serverUntrusted(issuer: String?)
        /// The server's certificate isn't valid now.
        case serverCertificateOutdated(notBefore: Date, notAfter: Date)
        /// The server's certificate is for other names; which ones, if that is known.
        case serverNameMismatch(expected: String, names: [String])
        /// The server wants a client certificate and none is configured.
        case clientCertificateRequired
        /// The server doesn't accept the client's certificate.
        case clientCertificateRejected
        /// User name or password are wrong.
        case wrongPassword
        /// Authentication is enabled, and there is no valid user.
        case notAuthenticated
        /// Authentication is enabled, and the client's certificate names no user.
        case unknownUser
        /// The user lacks the role.
        case permissionDenied
        /// The server didn't answer within the time-out.
        case deadlineExceeded
        /// The server's answer isn't what etcd sends.
        case malformedResponse
        /// The server doesn't know the RPC.
        case unimplemented
        /// The revision is older than the last compaction.
        case compacted
        /// Any other gRPC status.
        case status(code: Int32)
    }

    /// The endpoint that was asked.
    public var endpoint: Endpoint
    /// What is wrong.
    public var reason: Reason
    /// The words of the server or of gRPC.
    public var message: String

    /// Creates an error from its parts.
    public init(_ reason: Reason, endpoint: Endpoint, message: String) {
        self.endpoint = endpoint
        self.reason = reason
        self.message = message
    }

    /// Whether another endpoint of the same cluster might answer where this one failed.
    public var isRetryableElsewhere: Bool {
        switch reason {
        case .wrongPassword, .notAuthenticated, .unknownUser, .permissionDenied, .unimplemented, .compacted: false
        default: true
        }
    }

    /// One sentence.
    public var description: String { failure.message }

    /// The error as it is shown to a person.
    public var failure: Failure {
        switch reason {
        case .unreachable, .unresolvable, .connectTimedOut, .notEtcd, .connectionClosed, .handshakeFailed,
            .deadlineExceeded:
            connectionFailure
        case .serverSpeaksTLS, .serverSpeaksPlaintext, .serverUntrusted, .serverCertificateOutdated,
            .serverNameMismatch, .clientCertificateRequired, .clientCertificateRejected:
            trustFailure
        default: callFailure
        }
    }

    private var connectionFailure: Failure {
        switch reason {
        case .connectTimedOut:
            Failure(
                .failed, "no connection to \(endpoint) in time", hint: "check that etcd is running there and not paused"
            )
        case .unresolvable:
            Failure(
                .failed, "no connection to \(endpoint): \(message)",
                hint: "check the name, /etc/hosts and the DNS servers of /etc/resolv.conf, or give the address",
                settings: [.endpoints])
        case .notEtcd:
            Failure(
                .failed, "\(endpoint) answers, but not as etcd does: \(message)",
                hint: "check the endpoint: etcd's client port is usually 2379", settings: [.endpoints])
        case .connectionClosed:
            Failure(
                .failed, "\(endpoint) takes connections and closes them without a word",
                hint: "check that etcd runs there: a proxy or a balancer in front may have no backend",
                settings: [.endpoints])
        case .handshakeFailed:
            Failure(
                .failed, "the TLS handshake with \(endpoint) failed: \(message)",
                hint: "check that it is etcd which listens there", settings: [.endpoints])
        case .deadlineExceeded:
            Failure(
                .failed, "etcd at \(endpoint) did not answer in time",
                hint: "check the member's health and disk, or try again when the member is less busy")
        default:
            Failure(
                .failed, "no connection to \(endpoint): \(message)",
                hint: "check the endpoint, and that etcd is running there", settings: [.endpoints])
        }
    }

    private var trustFailure: Failure {
        switch reason {
        case .serverSpeaksTLS:
            Failure(
                .untrusted, "the server at \(endpoint) speaks TLS",
                hint: "write the endpoint with https://, and name etcd's authority and a client's certificate and key",
                settings: [.endpoints] + .tls)
        case .serverSpeaksPlaintext:
            Failure(
                .untrusted, "the server at \(endpoint) does not speak TLS",
                hint: "check the endpoint: write http://", settings: [.endpoints])
        case .serverUntrusted(let issuer):
            Failure(
                .untrusted,
                "the certificate of \(endpoint) is not signed by a trusted authority"
                    + (issuer.map { "; its issuer is \(quoted($0))" } ?? ""),
                hint: "name etcd's own CA, often /etc/kubernetes/pki/etcd/ca.crt", settings: [.authority])
        case .serverCertificateOutdated(let notBefore, let notAfter):
            Failure(
                .untrusted, "the certificate of \(endpoint) is valid from \(day(notBefore)) to \(day(notAfter)) only",
                hint: "renew the member's server certificate, or check this host's clock")
        case .serverNameMismatch(let expected, let names):
            Failure(
                .untrusted,
                "the certificate of \(endpoint) is not for \(quoted(expected))"
                    + (names.isEmpty ? "" : " but for \(names.map(quoted).joined(separator: ", "))"),
                hint: "use a name of the certificate in the endpoint, or say which one to expect",
                settings: [.endpoints, .serverName])
        case .clientCertificateRequired:
            Failure(
                .untrusted, "the server at \(endpoint) asks for a client certificate",
                hint: "name one with its key", settings: .clientPair)
        default:
            Failure(
                .untrusted, "the server at \(endpoint) rejected the client certificate",
                hint: "name a certificate that etcd's --trusted-ca-file has signed, with its key",
                settings: .clientPair)
        }
    }

    private var callFailure: Failure {
        switch reason {
        case .wrongPassword:
            Failure(
                .untrusted, "etcd at \(endpoint) does not accept the user name or password",
                hint: "check the user and the first line of the password's file", settings: [.user, .passwordFile])
        case .notAuthenticated:
            Failure(
                .untrusted, "etcd at \(endpoint) demands authentication: \(message)",
                hint: "name a user with the root role, or a client certificate whose common name is one",
                settings: [.user] + .clientPair)
        case .unknownUser:
            Failure(
                .untrusted, "etcd at \(endpoint) demands authentication, and knows no such user: \(message)",
                hint:
                    "the common name of the client's certificate must be a user with the root role, or name one with its "
                    + "password", settings: [.user, .passwordFile] + .clientPair)
        case .permissionDenied:
            Failure(
                .untrusted, "etcd at \(endpoint) denies permission: \(message)",
                hint: "a snapshot needs a user with the root role; without a password the common name of the client's "
                    + "certificate is the user", settings: [.user] + .clientPair)
        case .malformedResponse:
            Failure(
                .failed, "the answer of \(endpoint) is not etcd's: \(message)", hint: "check the endpoint",
                settings: [.endpoints])
        case .unimplemented: Failure(.failed, "etcd at \(endpoint) does not know this request: \(message)")
        case .compacted:
            Failure(.notFound, "the revision is compacted at \(endpoint)", hint: "ask for a later revision")
        default: Failure(.failed, "etcd at \(endpoint) failed: \(message)")
        }
    }
}
