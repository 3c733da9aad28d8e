import Certificates
import FoundationEssentials
import HostIO
import KubernetesObjects
import PKIBackup
import SealedArchive

/// What a backup says of certificates, as the member ``path`` of the archive.
public struct CertificateDocument: Codable, Sendable {
    /// Where it is in the archive.
    public static let path = "host/certificates.json"
    /// The certificates, the first to expire first.
    public var certificates: [CertificateRecord]
}

/// What a backup says of volumes, as the member ``path`` of the archive.
public struct VolumeDocument: Codable, Sendable {
    /// Where it is in the archive.
    public static let path = "host/volumes.json"
    /// The volumes by the name of the etcd that holds them.
    public var clusters: [String: VolumeInventory]
}

/// The largest document of an archive that is read into memory as a whole.
private let maximumDocumentSize = 64 << 20

extension ArchiveReader {
    /// Reads a document of an archive, and nothing else but the manifest.
    ///
    /// - Returns: nil if the archive has none.
    func document<Document: Decodable>(_ type: Document.Type, at path: String) throws -> Document? {
        guard let entry = try readManifest().entries.first(where: { $0.path == path }) else { return nil }
        guard entry.size <= maximumDocumentSize else {
            throw Failure(
                .integrity, "\(quoted(path)) in \(quoted(name)) has \(entry.size) bytes, too many for a document",
                hint: "use another backup, or restore it and look yourself")
        }
        let bytes = try bytes(of: entry)
        return try DocumentCoding.decode(type, from: bytes.bytes(at: 0, count: bytes.byteCount), name: bytes.name)
    }
}

extension ArchiveWriter {
    /// Adds a document as a member.
    func add(_ document: some Encodable, at path: String) throws {
        let bytes = try DocumentCoding.encode(document)
        try add(
            EntryMetadata(path: path, byteCount: bytes.count, time: header.createdAt), role: CaptureClass.host.rawValue,
            bytes: bytes)
    }
}
