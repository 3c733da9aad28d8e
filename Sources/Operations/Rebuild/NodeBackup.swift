import Age
import Crypto
import FoundationEssentials
import HostIO
import NodeFiles
import PKIBackup
import SealedArchive

/// A file, link or directory of a node's backup.
struct BackedUpFile {
    let metadata: EntryMetadata
    let entry: ManifestEntry
    /// The bytes; nil for what is no file, or too large to be held.
    let content: SecretBytes?

    /// The absolute path on the node.
    var path: String { String(entry.path.dropFirst(ArchiveFormat.filesPrefix.count)) }
}

/// The backup of one node with its files at hand, each compared with the manifest's digest.
final class NodeBackup {
    let archive: OpenedArchive
    let reader: ArchiveReader
    let manifest: Manifest
    /// By the absolute path on the node.
    let files: [String: BackedUpFile]
    let node: LostNode
    /// Who laid it out.
    let layout: any RebuildLayout
    /// Where the snapshots of etcd begin nothing of the node's files follows.
    private struct FilesAreRead: Error {}

    /// Files above it are read when they are placed.
    static let largestHeldByteCount = 8 << 20

    /// - Throws: ``Failure`` if no identity opens it, it is damaged, or is of no node that is laid out in a known way.
    init(_ archive: OpenedArchive, identities: [any Identity]) throws {
        self.archive = archive
        reader = try archive.reader(identities)
        manifest = try reader.readManifest()
        files = try Self.files(reader, manifest, archive.reference)
        let backedUp = BackedUpFiles(files: files, manifest: manifest, reference: archive.reference)
        layout = try RebuildLayouts.layout(of: backedUp)
        node = try layout.lostNode(backedUp)
    }

    var reference: String { archive.reference }

    /// What a rebuild from it lacks, by its own findings and by its newest drill.
    var defects: [String] {
        let found = manifest.findings.filter { $0.severity == .error && $0.accepted == nil }.map {
            "the backup \(quoted(reference)) has the finding \($0.code): \($0.message)"
        }
        guard let drill = archive.newestDrill, drill.hasFailed else { return found }
        let stage = drill.stages.first { $0.outcome == .failed }
        return found + ["a drill of \(quoted(reference)) failed: \(stage.map { "\($0.name): \($0.detail)" } ?? "")"]
    }

    /// What tells of the layout.
    var backedUp: BackedUpFiles { BackedUpFiles(files: files, manifest: manifest, reference: reference) }

    /// The IDs of the etcd clusters that it has snapshots of, or that others have for it.
    var clusterIDs: Set<String> {
        Set(manifest.etcd.map(\.clusterID) + (manifest.sharedSnapshots ?? []).map(\.clusterID))
    }

    /// The digests of the certificates of authorities, by path.
    var authorities: [String: String] {
        Dictionary(
            files.filter { $0.value.entry.role == CaptureClass.caCertificate.rawValue }.compactMap { path, file in
                file.entry.sha256.map { (path, $0) }
            }
        ) { first, _ in first }
    }

    /// The bytes of a path, through links within the node.
    func content(_ path: String) -> SecretBytes? {
        var path = path
        for _ in 0..<8 {
            guard let file = files[path] else { return nil }
            guard file.metadata.kind == .symbolicLink, let target = file.metadata.linkTarget else {
                return file.content
            }
            path = absolutePath(String(decoding: target, as: UTF8.self), from: parentPath(path))
        }
        return nil
    }

    private static func files(
        _ reader: ArchiveReader, _ manifest: Manifest, _ reference: String
    ) throws -> [String: BackedUpFile] {
        let entries = Dictionary(manifest.entries.map { ($0.pathInArchive, $0) }) { first, _ in first }
        let prefix = ArchiveFormat.filesPrefix + "/"
        var files: [String: BackedUpFile] = [:]
        do {
            try reader.forEachMember { member in
                try Task.checkCancellation()
                let path = member.metadata.displayPath
                if path.hasPrefix(ArchiveFormat.etcdPrefix + "/") { throw FilesAreRead() }
                guard path.hasPrefix(prefix), let entry = entries[member.metadata.path] else { return }
                let file = BackedUpFile(
                    metadata: member.metadata, entry: entry, content: try content(of: member, entry, reference))
                files[file.path] = file
            }
        } catch is FilesAreRead {}
        return files
    }

    private static func content(
        of member: ArchiveMember, _ entry: ManifestEntry, _ reference: String
    ) throws -> SecretBytes? {
        guard member.metadata.kind == .file, member.metadata.byteCount <= largestHeldByteCount else { return nil }
        var bytes = try member.bytes(limit: largestHeldByteCount)
        defer { wipe(&bytes) }
        guard Array(SHA256.hash(data: bytes)).hexadecimal == entry.sha256 else {
            throw Failure(
                .integrity, "\(quoted(entry.path)) of \(quoted(reference)) is not what its manifest says",
                hint: "verify the archive, and take another copy of it")
        }
        return bytes.withUnsafeBytes { SecretBytes(copying: $0) }
    }
}
