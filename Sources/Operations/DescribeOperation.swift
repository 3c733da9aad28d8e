import Age
import SealedArchive

/// Reads what an archive says of itself.
public enum DescribeOperation {
    /// The manifest of an archive and its bytes as they were sealed, by a few small reads at its two ends.
    public static func run(
        _ archive: OpenedArchive, identities: [any Identity]
    ) throws -> (manifest: Manifest, bytes: [UInt8]) {
        let reader = try archive.reader(identities)
        return (try reader.readManifest(), try reader.manifestBytes())
    }
}
