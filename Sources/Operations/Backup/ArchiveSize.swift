import ArchiveStore
import SealedArchive

/// How large an archive will be.
///
/// By the archive before it: files as many as that had, at its ratio. Databases are at that ratio too, or, if it had none, as
/// the last one that had some was larger. Without one before, files are counted at their size and databases at a fifth.
struct ArchiveSizeEstimate {
    /// What the facts of the node, the manifest and the headers come to.
    private static let ownByteCount = 16 << 10
    private static let databaseRatio = 0.2
    /// More room than the files of a node ever take.
    private static let ampleByteCount = 16 << 30

    /// The archive before.
    private let last: Sidecar?
    /// The last one with a database.
    private let lastWithDatabase: Sidecar?

    /// An estimate after those of a listing.
    init(after listing: StoreListing, in scope: StoreScope) {
        last = listing.latest(in: scope)?.sidecar
        let own = listing.backups.filter { $0.scope == scope && !$0.isFlat && $0.sidecar.databaseByteCount > 0 }
        lastWithDatabase = own.max { $0.isOlder(than: $1) }?.sidecar
    }

    /// The size in bytes if it is more than a store has room for; nil if there is room.
    ///
    /// - Parameters:
    ///   - available: the room of the store, in bytes.
    ///   - databases: the size of all databases.
    ///   - files: gives that of all files, asked for only where no archive tells and the room is not ample.
    func byteCount(exceeding available: Int, databases: Int, files: () throws -> Int) rethrows -> Int? {
        if last == nil, available - databases > Self.ampleByteCount { return nil }
        let expected = try byteCount(databases: databases, files: files)
        return expected >= available ? expected : nil
    }

    /// The size in bytes.
    ///
    /// - Parameters:
    ///   - databases: the size of all databases.
    ///   - files: gives that of all files, asked for only where no archive tells.
    func byteCount(databases: Int, files: () throws -> Int) rethrows -> Int {
        guard let last else {
            return Self.sum(Double(databases) * Self.databaseRatio, Double(try files()))
        }
        let lastFiles = Double(max(0, last.object.tarSize - last.databaseByteCount)) * last.ratio
        return Self.sum(Double(databases) * databaseRatio(after: last), lastFiles)
    }

    private func databaseRatio(after last: Sidecar) -> Double {
        guard last.databaseByteCount == 0 else { return last.ratio }
        guard let lastWithDatabase else { return Self.databaseRatio }
        let larger = max(0, lastWithDatabase.object.size - last.object.size)
        return Double(larger) / Double(lastWithDatabase.databaseByteCount)
    }

    private static func sum(_ databases: Double, _ files: Double) -> Int {
        Int(min(databases + files, 1e18)) + ownByteCount
    }
}

extension Sidecar {
    /// The size of all databases in bytes.
    fileprivate var databaseByteCount: Int { etcd.reduce(0) { $0 + $1.databaseSize } }

    /// How large the archive is for each byte in it.
    fileprivate var ratio: Double { object.tarSize > 0 ? Double(object.size) / Double(object.tarSize) : 1 }
}
