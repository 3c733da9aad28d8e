import ArgumentParser
import Certificates
import FoundationEssentials
import HostIO
import Operations
import PKIBackup

/// The command `etcd-snap certs`.
struct Certs: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List the certificates of this node or of a backup, the first to expire first.",
        discussion: """
            Certificates in kubeconfigs are among them. Without a backup this node is looked at; what an interrupted restore of
            files has staged on it is removed.

            Example: etcd-snap certs --expiring-within 60
            Example: etcd-snap certs latest -i key.txt -o json
            """)

    @OptionGroup var common: CommonOptions
    @OptionGroup var output: FormatOptions
    @OptionGroup(title: "Node") var capture: CaptureOptions
    @OptionGroup(title: "Store") var place: StoreOptions
    @OptionGroup(title: "Keys") var keys: IdentityOptions

    @Option(help: "Only those that expire within this many days, or have.")
    var expiringWithin: Int?

    @Argument(help: "An ID, the beginning of one, cluster/node/ID, latest, or the path of an archive.")
    var backup: String?

    func validate() throws {
        if backup == nil, place.store != nil || !keys.identityFiles.isEmpty {
            throw ValidationError(
                "--store and --identity are for the certificates of a backup: name it too, such as latest")
        }
    }

    func run() throws {
        let configuration = try common.start(output.format)
        var certificates = try find(configuration)
        let now = Date()
        if let expiringWithin { certificates.removeAll { $0.daysLeft(at: now) > expiringWithin } }
        try render(certificates, as: output.format) {
            table(
                ["EXPIRES", "LEFT", "SUBJECT", "ISSUER", "KEY", "NAMES", "FILE"],
                certificates.map { row($0, at: now) })
        }
    }

    private func find(_ configuration: Configuration) throws -> [CertificateRecord] {
        guard let backup else { return CertificatesOperation.certificates(of: try capture.plan(configuration)) }
        return try CertificatesOperation.certificates(
            of: try place.open(backup, configuration), identities: try keys.required())
    }

    private func row(_ certificate: CertificateRecord, at now: Date) -> [String] {
        let names = certificate.dnsNames + certificate.ipAddresses + certificate.uris + certificate.emailAddresses
        return [
            time(certificate.notAfter), "\(certificate.daysLeft(at: now))d",
            certificate.subject + (certificate.isCA ? " (CA)" : ""),
            certificate.issuer == certificate.subject ? "itself" : certificate.issuer,
            key(certificate.publicKey), abbreviated(names),
            certificate.path + (certificate.embeddedIn.map { " (\($0))" } ?? ""),
        ]
    }

    private func key(_ key: PublicKey) -> String {
        key.curve.map { "\(key.algorithm) \($0)" }
            ?? (key.bitCount > 0 ? "\(key.algorithm) \(key.bitCount)" : key.algorithm)
    }

    private func abbreviated(_ names: [String]) -> String {
        names.count <= 3 ? names.joined(separator: ",") : names.prefix(3).joined(separator: ",") + ",… (\(names.count))"
    }
}
