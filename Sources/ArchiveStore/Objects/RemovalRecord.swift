import FoundationEssentials
import HostIO
import SealedArchive

/// What the objects of a node say of the backups that were removed: `removed-TIME-RANDOM.json`.
///
/// It is written before a backup goes, which from then on counts as removed, whatever of it is still there; objects are
/// written once, so each record has all that the ones before it had, and those are removed after it.
struct RemovalRecord: Codable, Sendable, Equatable {
    /// The version of this document's format.
    var formatVersion = Self.version
    /// The numbers of the backups that were removed.
    var removed: [ChainRecord.RemovedRun] = []
    /// The backups whose removal this record begins, and of which objects may be left.
    var removing: [BackupID] = []

    private static let version = 1
    static let prefix = "removed-"
    static let maximumByteCount = 16 << 20

    /// A record from its parts.
    init(removed: [ChainRecord.RemovedRun] = [], removing: [BackupID] = []) {
        self.removed = removed
        self.removing = removing
    }

    /// Whether a file name is that of a record.
    static func isName(_ name: String) -> Bool {
        name.hasPrefix(prefix) && name.hasSuffix(ArchiveFormat.sidecarSuffix)
    }

    /// A name that no record has had.
    static func newName() -> String { "\(prefix)\(BackupID(time: Date()))\(ArchiveFormat.sidecarSuffix)" }

    /// Reads a record.
    ///
    /// - Throws: ``Failure`` with the code `integrity` if it can't be what this program wrote, `failed` for one of a later
    ///   version.
    static func decode(_ bytes: [UInt8], name: String) throws -> RemovalRecord {
        guard let record = try? DocumentCoding.decode(RemovalRecord.self, from: bytes, name: name),
            record.removed.allSatisfy(\.isPossible)
        else {
            throw Failure(
                .integrity, "\(quoted(name)) is damaged: it is no record of removed backups",
                hint: "copy it back from another copy of the store, or remove it: then removed backups count as missing"
            )
        }
        guard record.formatVersion <= version else {
            throw Failure(
                .failed, "\(quoted(name)) has format version \(record.formatVersion), this program reads \(version)",
                hint: "use a newer etcd-snap")
        }
        return record
    }

    /// What several records say together.
    mutating func merge(_ other: RemovalRecord) {
        var chain = ChainRecord()
        chain.removed = removed
        other.removed.forEach { chain.add($0) }
        removed = chain.removed
        removing = Set(removing).union(other.removing).sorted()
    }
}

extension ChainRecord.RemovedRun {
    /// Whether the numbers can be.
    var isPossible: Bool {
        ChainRecord.sequences.contains(firstSequence) && ChainRecord.sequences.contains(lastSequence)
            && firstSequence <= lastSequence
    }
}
