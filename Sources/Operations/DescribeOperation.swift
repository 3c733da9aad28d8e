import Age
import ArchiveStore
import SealedArchive

/// Reads what an archive says of itself.
public enum DescribeOperation {
    /// The manifest of an archive, by a few small reads at its two ends.
    public static func run(
        _ backup: StoredBackup, in store: LocalStore, identities: [any Identity]
    ) throws -> Manifest {
        let reader = try ArchiveReader(try store.open(backup), identities: identities)
        try VerifyOperation.check(reader, against: backup.sidecar)
        return try reader.readManifest()
    }
}
