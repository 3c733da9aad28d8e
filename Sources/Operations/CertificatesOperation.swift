import Age
import Certificates
import HostIO
import PKIBackup
import SealedArchive

/// Lists certificates, the first to expire first.
public enum CertificatesOperation {
    /// The certificates of a node.
    public static func certificates(of plan: NodePlan) -> [CertificateRecord] {
        CertificateInventory.build(layout: plan.wholeLayout, files: plan.root).certificates
    }

    /// The certificates that an archive was made with.
    ///
    /// - Throws: ``Failure`` with the code `notFound` for an archive without such a list.
    public static func certificates(
        of archive: OpenedArchive, identities: [any Identity]
    ) throws -> [CertificateRecord] {
        let reader = try archive.reader(identities)
        guard let document = try reader.document(CertificateDocument.self, at: CertificateDocument.path) else {
            throw Failure(
                .notFound, "\(quoted(archive.reference)) has no list of certificates",
                hint: "restore it and ask `etcd-snap certs` for the root DIRECTORY/files", settings: [.root])
        }
        return document.certificates
    }
}
