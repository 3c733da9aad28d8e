import EncryptionAtRest
import HostIO
import PKIBackup
import SealedArchive

/// Whether the files of one node's backup and the snapshot of another's belong together, by the files beside the snapshot.
///
/// These were taken with the snapshot, and what its values were found to need was looked for in them.
enum SnapshotFit {
    /// What speaks against it, in sentences.
    ///
    /// - Throws: errors of reading either archive.
    static func problems(of files: ArchiveReader, beside snapshot: ArchiveReader) throws -> [String] {
        let (own, other) = (try files.readManifest(), try snapshot.readManifest())
        return [
            try encryption(files, own, snapshot, other), keys(own, other),
        ].compactMap(\.self)
    }

    /// A cluster has one key of each authority and for tokens, at the same path on each of its nodes.
    private static func keys(_ own: Manifest, _ other: Manifest) -> String? {
        let roles = [CaptureClass.caKey.rawValue, CaptureClass.serviceAccountKey.rawValue]
        let digests = Dictionary(
            other.entries.filter { roles.contains($0.role) }.map { ($0.path, $0.sha256) }
        ) { first, _ in first }
        let paths = own.entries.filter { entry in
            guard roles.contains(entry.role), let digest = digests[entry.path] else { return false }
            return digest != entry.sha256
        }.compactMap(\.source).sorted()
        guard !paths.isEmpty else { return nil }
        return
            "\(paths.prefix(4).map(quoted).joined(separator: ", ")) of \(own.archive.reference) \(paths.count == 1 ? "is" : "are") "
            + "not what \(other.archive.reference) has, whose snapshot is taken: keys were changed between the two"
    }

    /// Values of the snapshot need the keys that were captured with it.
    private static func encryption(
        _ files: ArchiveReader, _ own: Manifest, _ snapshot: ArchiveReader, _ other: Manifest
    ) throws -> String? {
        let (ownEntries, otherEntries) = (configurations(own), configurations(other))
        let known = Set(ownEntries.map(\.sha256))
        guard otherEntries.contains(where: { !known.contains($0.sha256) }) else { return nil }
        let missing = EncryptionConfiguration.missing(
            of: try otherEntries.compactMap { try configuration($0, in: snapshot) },
            in: try ownEntries.compactMap { try configuration($0, in: files) })
        guard !missing.isEmpty else { return nil }
        return
            "the files of \(own.archive.reference) lack keys of the encryption at rest that \(other.archive.reference), whose "
            + "snapshot is taken, has: \(missing.prefix(8).map(quoted).joined(separator: ", ")); what is encrypted with them "
            + "needs the encryption configuration of the latter"
    }

    private static func configurations(_ manifest: Manifest) -> [ManifestEntry] {
        manifest.entries.filter {
            $0.role == CaptureClass.encryptionConfiguration.rawValue && $0.kind == .file && $0.size <= maximumByteCount
        }
    }

    private static let maximumByteCount = 4 << 20

    /// A captured configuration; nil if it can't be read, which is a finding of the backup it is in.
    private static func configuration(
        _ entry: ManifestEntry, in reader: ArchiveReader
    ) throws -> EncryptionConfiguration? {
        let source = try reader.bytes(of: entry)
        var bytes = try source.bytes(at: 0, count: source.byteCount)
        defer { wipe(&bytes) }
        return try? EncryptionConfiguration(parsing: bytes, path: entry.path, keepingSecrets: true)
    }
}
