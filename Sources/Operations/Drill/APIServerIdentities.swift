import Certificates
import FoundationEssentials
import HostIO
import KubernetesAPI

/// What a drilled API server and its client prove themselves with: what the archive has, and where that is not valid any more,
/// or not for this, what the restored authority issues for the drill.
struct APIServerIdentities {
    /// The name by which the server is asked: kubeadm's certificates have it, and none of 127.0.0.1.
    static let serverName = "kubernetes"

    /// The files of the server's certificate and its key.
    let serverFiles: (certificate: String, key: String)
    /// How the server is reached, but for its port.
    let access: APIServerAccess
    /// Where both are from, in words.
    let origin: String

    private static let lifetimeSeconds = 3600
    /// A certificate that ends during the drill would be no proof.
    private static let leastSeconds = 900.0

    /// - Parameter directory: where what is issued is written.
    /// - Throws: ``Failure`` with the code `notFound` if the archive has neither what is valid nor the authority's key.
    init(_ settings: APIServerSettings, in directory: OpenDirectory, now: Date) throws {
        guard let authorityPath = settings.file("client-ca-file") else {
            throw Failure(.notFound, "the archive has no authority of its API server's clients")
        }
        let authority = try settings.authority()
        var authorities = try RandomAccessFile(regular: authorityPath).all()
        let serverOrigin: String
        if let files = Self.restoredServer(settings, now) {
            (serverFiles, serverOrigin) = (files, "the restored certificate")
        } else {
            let issued = try Self.required(authority, "a certificate of an API server that is valid").issue(
                .server(
                    commonName: "kube-apiserver", hosts: [CertificateHost.dns(Self.serverName)],
                    lifetimeSeconds: Self.lifetimeSeconds), now: now)
            try directory.write(issued.pem, to: "apiserver.crt")
            try issued.key.pem.withBytes { try directory.write(copy $0, to: "apiserver.key") }
            serverFiles = (directory.path(of: "apiserver.crt"), directory.path(of: "apiserver.key"))
            serverOrigin = "a certificate that the restored authority has issued for the drill"
        }
        let credentials: APIServerAccess.Credentials
        let clientOrigin: String
        if let restored = Self.restoredClient(settings, now) {
            (credentials, clientOrigin) = (restored.access.credentials, restored.name)
            authorities += [0x0A] + restored.access.authorities
        } else {
            let issued = try Self.required(authority, "a kubeconfig of an administrator that is valid").issue(
                .client(
                    organizations: ["system:masters"], commonName: "etcd-snap-drill",
                    lifetimeSeconds: Self.lifetimeSeconds), now: now)
            credentials = .certificate(issued.pem, key: issued.key.pem)
            clientOrigin = "a certificate that the restored authority has issued for the drill"
        }
        access = APIServerAccess(
            server: "https://127.0.0.1", authorities: authorities, serverName: Self.serverName,
            credentials: credentials, origin: clientOrigin)
        origin = "the server has \(serverOrigin), its client \(clientOrigin)"
    }

    private static func required(
        _ authority: CertificateAuthority?, _ what: String
    ) throws(Failure)
        -> CertificateAuthority
    {
        guard let authority else {
            throw Failure(.notFound, "the archive has neither \(what) nor the key of its authority")
        }
        return authority
    }

    private static func restoredServer(
        _ settings: APIServerSettings, _ now: Date
    ) -> (certificate: String, key: String)? {
        guard let certificate = settings.file("tls-cert-file"), let key = settings.file("tls-private-key-file"),
            (try? RandomAccessFile(regular: key)) != nil,
            let bytes = try? RandomAccessFile(regular: certificate).all(), let record = record(bytes, now),
            record.dnsNames.contains(serverName)
        else { return nil }
        return (certificate, key)
    }

    private static func restoredClient(
        _ settings: APIServerSettings, _ now: Date
    ) -> (name: String, access: APIServerAccess)? {
        for (name, path) in settings.kubeconfigs {
            guard let access = try? APIServerAccess(kubeconfig: path),
                case .certificate(let certificate, _) = access.credentials, record(certificate, now) != nil
            else { continue }
            return (name, access)
        }
        return nil
    }

    /// The certificate of a file if it is valid for long enough.
    private static func record(_ bytes: [UInt8], _ now: Date) -> CertificateRecord? {
        let record = PEMContents(bytes, path: "").certificates.first?.record
        guard let record, record.notBefore <= now, record.notAfter > now + leastSeconds else { return nil }
        return record
    }
}

extension OpenDirectory {
    fileprivate func write(_ bytes: [UInt8], to name: String) throws {
        let file = try PendingFile(in: self, name: name)
        try bytes.withUnsafeBytes { try file.write($0) }
        try file.publish()
    }
}
