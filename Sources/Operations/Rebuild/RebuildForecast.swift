import ArchiveStore
import FoundationEssentials
import HostIO
import SealedArchive

/// How long a rebuild takes: from what the newest drill of the cluster took, else from rates that were measured elsewhere.
public struct RebuildForecast: Codable, Sendable, Equatable {
    /// Reading, opening and writing files and the database on one host, in seconds.
    public var restoreSeconds: Double
    /// Starting etcd and the API server, in seconds.
    public var startSeconds: Double
    /// The minutes until the API server answers, from the first command on, with all hosts at once.
    public var minutes: Int
    /// What it is computed from, in words.
    public var basis: String

    /// Bytes of a database in a second, restored, and started from; files are as fast as the first.
    private static let restoreRate = 100e6
    private static let startRate = 300e6
    /// What takes its time however small a database is: commands that begin, and kubelets that start pods from images that
    /// are there; to pull them takes what nothing here can know.
    private static let leastRestoreSeconds = 2.0
    private static let kubeletSeconds = 60.0
    private static let commandMinutes = 2
    /// What a smaller database takes is the time of starting programs: it does not grow with a database.
    private static let leastMeasuredByteCount = 64 << 20

    /// A forecast for one host.
    ///
    /// - Parameters:
    ///   - databaseByteCount: the size of the database.
    ///   - fileByteCount: the size of the files.
    ///   - drills: the drills that are known of the cluster.
    public init(databaseByteCount: Int, fileByteCount: Int, drills: [DrillRecord]) {
        let newest = drills.filter(\.isDrilled).max { $0.startedAt < $1.startedAt }
        if let measured = newest.flatMap({ Self.measured($0, databaseByteCount) }) {
            (restoreSeconds, startSeconds, basis) = measured
        } else {
            let database = Double(databaseByteCount)
            restoreSeconds = (database + Double(fileByteCount)) / Self.restoreRate
            startSeconds = database / Self.startRate
            basis = "usual rates: no drill of the cluster is known here"
        }
        restoreSeconds = (restoreSeconds + Self.leastRestoreSeconds).rounded()
        startSeconds = (startSeconds + Self.kubeletSeconds).rounded()
        minutes = Int(((restoreSeconds + startSeconds) / 60).rounded(.up)) + Self.commandMinutes
    }

    /// What a drill took, by the size of its largest database, without what it only compares.
    private static func measured(
        _ drill: DrillRecord, _ byteCount: Int
    ) -> (restoreSeconds: Double, startSeconds: Double, basis: String)? {
        guard let database = drill.databases.max(by: { $0.size < $1.size }), database.size > 0 else { return nil }
        func seconds(_ name: String, _ etcd: String?) -> Double {
            drill.stages.first { $0.name == name && $0.etcd == etcd }?.durationSeconds ?? 0
        }
        func grown(_ stage: String, _ usualRate: Double) -> Double {
            let taken = seconds(stage, database.name)
            guard database.size >= leastMeasuredByteCount || byteCount <= database.size else {
                return taken + Double(byteCount - database.size) / usualRate
            }
            return taken * Double(byteCount) / Double(database.size)
        }
        let restore = seconds("files", nil) + grown("raised restore", restoreRate)
        let start = grown("raised boot", startRate)
        let host = "\(drill.host.coreCount) core\(drill.host.coreCount == 1 ? "" : "s")"
        let basis =
            "the drill of \(drill.archive.reference) on \(drill.startedAt.formatted(.iso8601)): "
            + "\(database.size) bytes on \(host) in \(Int((drill.recoverySeconds ?? 0).rounded(.up))) s"
        return (restore, start, basis)
    }

    /// The drills of the clusters of archives that their stores know.
    ///
    /// A store that can't be listed tells of none.
    static func drills(of archives: [OpenedArchive], cluster: String) -> [DrillRecord] {
        var drills: [DrillRecord] = []
        var seen: Set<String> = []
        for store in archives.flatMap(\.stores) where seen.insert(store.name).inserted {
            guard let listing = try? store.list(cluster: cluster, node: nil) else { continue }
            drills += listing.backups.compactMap(\.drill)
        }
        return drills
    }
}
