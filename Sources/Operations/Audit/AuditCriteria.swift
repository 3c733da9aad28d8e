import ArchiveStore
import FoundationEssentials
import HostIO
import SealedArchive

/// What an audit holds the backups of each node against.
public struct AuditCriteria: Sendable {
    /// Only what was made since then is judged; nil for all.
    public var since: Date?
    /// How long there may be no backup.
    public var maximumGap: RetentionPeriod
    /// What each backup with a snapshot must have reached.
    public var minimumLevel: VerificationLevel
    /// How long ago the last drill of each cluster that succeeded may be; nil where drills are not judged.
    public var maximumDrillAge: RetentionPeriod?
    /// What the configuration accepts of what is found.
    public var accepted: [AcceptedFinding]

    /// A daily backup that may be two hours late.
    public static let usualGap = "26h"

    /// Criteria from what a person writes.
    ///
    /// - Parameters:
    ///   - since: a time before now such as `30d`, or a day or a time such as `2026-11-01`, in UTC; nil for all.
    ///   - maximumGap: such as `26h`.
    ///   - maximumDrillAge: such as `8d`; nil where drills are not judged.
    ///   - now: the time here.
    /// - Throws: ``Failure`` with the code `usage` for what is no time, or one in the future.
    public init(
        since: String?, maximumGap: String = usualGap, minimumLevel: VerificationLevel = .structural,
        maximumDrillAge: String? = nil, accepted: [AcceptedFinding] = [], now: Date
    ) throws(Failure) {
        guard let gap = RetentionPeriod(maximumGap) else {
            throw Failure(
                .usage, "\(quoted(maximumGap)) is no time that may pass without a backup",
                hint: "write years, months, days and hours in this order, such as \(Self.usualGap) or 7d")
        }
        self.maximumGap = gap
        if let text = maximumDrillAge {
            guard let age = RetentionPeriod(text) else {
                throw Failure(
                    .usage, "\(quoted(text)) is no time that may pass without a drill",
                    hint: "write years, months, days and hours in this order, such as 8d")
            }
            self.maximumDrillAge = age
        }
        self.minimumLevel = minimumLevel
        self.accepted = accepted
        guard let since else { return }
        guard let start = Self.start(since, now) else {
            throw Failure(
                .usage, "\(quoted(since)) is neither a time before now nor a day",
                hint: "write 30d, 1y6m, 2026-11-01 or 2026-11-01T12:00:00Z")
        }
        guard start <= now else {
            throw Failure(
                .usage, "\(quoted(since)) is in the future, and it is \(now.formatted(.iso8601)) here",
                hint: "name a time before that")
        }
        self.since = start
    }

    private static func start(_ text: String, _ now: Date) -> Date? {
        if let period = RetentionPeriod(text) { return period.start(before: now) }
        let isDay = !text.contains("T")
        guard let date = try? Date(isDay ? text + "T00:00:00Z" : text, strategy: .iso8601) else { return nil }
        // What reads it takes the 31st of February for the 3rd of March.
        return !isDay || date.formatted(.iso8601).hasPrefix(text) ? date : nil
    }

    /// The seconds of ``maximumGap`` before a time.
    func maximumGapSeconds(before end: Date) -> Int {
        Int(end.timeIntervalSince(maximumGap.start(before: end)))
    }
}
