import FoundationEssentials
import HostIO
import SealedArchive

/// The record of a drill with its bytes, and the same as a page for people.
public struct DrillDocument: Sendable {
    /// What it says.
    public let record: DrillRecord
    /// Its bytes, as they will be stored.
    public let bytes: [UInt8]
    /// The page.
    public let page: [UInt8]

    /// The largest record that is read.
    static let maximumByteCount = 4 << 20

    /// A record that is written for the first time.
    public init(_ record: DrillRecord, page: [UInt8]) throws {
        self.record = record
        self.page = page
        bytes = try DocumentCoding.encode(record)
    }

    /// The record of a drill of a backup; nil for bytes that are none, or of another backup of that name.
    ///
    /// It is beside the archive and no part of it: what is wrong with it proves nothing, and takes nothing away.
    static func record(_ bytes: [UInt8], of sidecar: Sidecar, name: String) -> DrillRecord? {
        guard let record = try? DrillRecord.decode(bytes, name: name), record.archive == sidecar.archive,
            record.manifestSHA256 == sidecar.manifestSHA256
        else { return nil }
        return record
    }
}

/// The names of the files of a drill: `ID.drill-TIME-RANDOM.json`, and `.html`.
///
/// Files of a store are written once, so that each drill has names of its own, and removes those of the drills before.
struct DrillName: Hashable, Comparable, Sendable {
    /// The archive.
    let backup: BackupID
    /// Tells a drill from others of the archive; the later one is the greater.
    let drill: BackupID
    /// Whether it is the page.
    var isPage = false

    private static let mark = ".drill-"
    private static let pageSuffix = ".html"

    /// The name of a new drill's record.
    static func new(of backup: BackupID) -> DrillName { DrillName(backup: backup, drill: BackupID(time: Date())) }

    private init(backup: BackupID, drill: BackupID, isPage: Bool = false) {
        self.backup = backup
        self.drill = drill
        self.isPage = isPage
    }

    /// Reads a file's name; nil for all others.
    init?(_ name: some StringProtocol) {
        let suffix = [ArchiveFormat.sidecarSuffix, Self.pageSuffix].first { name.hasSuffix($0) }
        guard let suffix else { return nil }
        let stem = String(name.dropLast(suffix.count))
        guard let mark = stem.firstRange(of: Self.mark), let backup = BackupID(stem[..<mark.lowerBound]),
            let drill = BackupID(stem[mark.upperBound...])
        else { return nil }
        self.init(backup: backup, drill: drill, isPage: suffix == Self.pageSuffix)
    }

    /// The name of the page beside the record.
    var page: DrillName { DrillName(backup: backup, drill: drill, isPage: true) }

    /// The file's name.
    var fileName: String { "\(backup)\(Self.mark)\(drill)\(isPage ? Self.pageSuffix : ArchiveFormat.sidecarSuffix)" }

    static func < (left: DrillName, right: DrillName) -> Bool {
        (left.backup, left.drill) < (right.backup, right.drill)
    }
}

extension [DrillName] {
    /// The newest record of each backup.
    var newestRecords: [BackupID: DrillName] {
        Dictionary(filter { !$0.isPage }.map { ($0.backup, $0) }) { Swift.max($0, $1) }
    }
}
