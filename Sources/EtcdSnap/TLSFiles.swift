import FoundationEssentials
import HostIO

/// The PEM files of a TLS connection to etcd.
public struct TLSFiles: Sendable, Equatable {
    /// The certificate authorities to trust; nil for the system's.
    public var caPath: String?
    /// The client's certificate chain, leaf first; together with ``keyPath``.
    public var certificatePath: String?
    /// The client's private key.
    public var keyPath: String?
    /// The name that the server's certificate has to carry, where that isn't the endpoint's host.
    public var serverName: String?

    /// Creates a set of paths.
    public init(
        caPath: String? = nil, certificatePath: String? = nil, keyPath: String? = nil, serverName: String? = nil
    ) {
        self.caPath = caPath
        self.certificatePath = certificatePath
        self.keyPath = keyPath
        self.serverName = serverName
    }

    /// Reads the files and checks everything that gRPC would only report as an unreachable server: that each is PEM of
    /// the right kind, that the certificates are valid now, that the client's is meant for clients and fits the key.
    ///
    /// - Throws: ``TLSFileError``, or ``SystemCallError`` for a file that can't be read.
    public func validate(now: Date = Date()) throws { _ = try TLSMaterial(self, now: now) }
}

/// A TLS file that can't be used.
public enum TLSFileError: Error, Sendable, Equatable, FailureConvertible {
    /// Only one of certificate and key is given.
    case incompletePair(present: String)
    /// The file is larger than any PEM file should be.
    case tooLarge(path: String, byteCount: Int)
    /// The file has no PEM block of the kind.
    case nothingFound(path: String, kind: String)
    /// A PEM block can't be parsed.
    case malformed(path: String, kind: String, why: String)
    /// The key needs a passphrase.
    case encryptedKey(path: String)
    /// The certificate's time is over.
    case expired(path: String, subject: String, notAfter: Date)
    /// The certificate's time hasn't begun.
    case notYetValid(path: String, subject: String, notBefore: Date)
    /// The certificate's extended key usage doesn't include client authentication.
    case notForClients(path: String, subject: String)
    /// No authority is named, and this host has none.
    case noAuthorities(searched: [String])
    /// The key isn't the one in the certificate.
    case keyMismatch(certificatePath: String, keyPath: String)

    /// The error as it is shown to a person.
    public var failure: Failure {
        switch self {
        case .incompletePair(let present):
            Failure(
                .usage, "\(quoted(present)) is given without its counterpart",
                hint: "a client needs both certificate and key", settings: .clientPair)
        case .tooLarge(let path, let byteCount):
            Failure(.untrusted, "\(quoted(path)) has \(byteCount) bytes, too many for a PEM file", hint: Self.pathHint)
        case .nothingFound(let path, let kind):
            Failure(.untrusted, "\(quoted(path)) has no PEM \(kind)", hint: Self.pathHint)
        case .malformed(let path, let kind, let why):
            Failure(.untrusted, "the \(kind) in \(quoted(path)) can't be read: \(why)", hint: Self.pathHint)
        case .encryptedKey(let path):
            Failure(
                .untrusted, "the private key in \(quoted(path)) is encrypted",
                hint: "name a key without a passphrase, as etcd itself uses")
        case .expired(let path, let subject, let notAfter):
            Failure(
                .untrusted, "the certificate of \(quoted(subject)) in \(quoted(path)) expired on \(day(notAfter))",
                hint: "renew it, for instance with kubeadm certs renew, or name a valid one")
        case .notYetValid(let path, let subject, let notBefore):
            Failure(
                .untrusted,
                "the certificate of \(quoted(subject)) in \(quoted(path)) is not valid before \(day(notBefore))",
                hint: "check this host's clock")
        case .notForClients(let path, let subject):
            Failure(
                .untrusted, "the certificate of \(quoted(subject)) in \(quoted(path)) is not for client authentication",
                hint: "name a certificate whose extended key usage has clientAuth, such as etcd's healthcheck-client")
        case .noAuthorities(let searched):
            Failure(
                .untrusted,
                "this host has no certificates of authorities: none are in \(searched.joined(separator: ", "))",
                hint: "name etcd's own CA, often /etc/kubernetes/pki/etcd/ca.crt", settings: [.authority])
        case .keyMismatch(let certificatePath, let keyPath):
            Failure(
                .untrusted,
                "the private key in \(quoted(keyPath)) is not that of the certificate in \(quoted(certificatePath))",
                hint: "name the two files that belong together")
        }
    }

    private static let pathHint = "check the paths of the CA, certificate and key files"
}

/// A time as a person reads it, to the second and in UTC.
func day(_ date: Date) -> String { date.formatted(.iso8601) }
