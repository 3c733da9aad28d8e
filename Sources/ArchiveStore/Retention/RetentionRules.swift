import SealedArchive

/// Which backups of a node are kept: those that any of the rules keeps, and those of the floor.
///
/// Names and meaning are those of `restic forget` (restic 0.18, `ApplyPolicy`); hours, days, weeks, months and years are those
/// of UTC, as in the IDs.
public struct RetentionRules: Sendable, Equatable {
    /// How many of the newest are kept; `Int.max` for all.
    public var last: Int?
    /// All that are not older than this before the newest are kept.
    public var within: RetentionPeriod?
    /// For how many hours that have a backup the newest one is kept.
    public var hourly: Int?
    /// The same for days.
    public var daily: Int?
    /// The same for weeks, which begin on Mondays.
    public var weekly: Int?
    /// The same for months.
    public var monthly: Int?
    /// The same for years.
    public var yearly: Int?
    /// What no rule removes.
    public var floor = RetentionFloor()
    /// The rules of backups of a class, in place of the others; their floor does not count, for a floor is one for all.
    public var classes: [String: RetentionRules] = [:]

    /// Rules that keep nothing but the floor.
    public init() {}

    /// Whether no rule keeps anything, by which everything would go but the floor; 0 is no rule, as in restic.
    public var areEmpty: Bool { keepNothing && classes.values.allSatisfy(\.keepNothing) }

    private var keepNothing: Bool {
        within == nil && [last, hourly, daily, weekly, monthly, yearly].allSatisfy { $0 ?? 0 == 0 }
    }

    /// The rules of a class, or of backups without one; nil where none says what is kept, so that all are.
    func rules(ofClass retentionClass: String?) -> RetentionRules? {
        if let retentionClass { return classes[retentionClass].flatMap { $0.keepNothing ? nil : $0 } }
        return keepNothing && !classes.isEmpty ? nil : self
    }
}

/// The newest backups of a node, and of a cluster, which are never removed, whatever the rules say.
///
/// Those of a cluster are the newest with a snapshot, whichever node took them: of several masters most may have files alone.
public struct RetentionFloor: Sendable, Equatable {
    /// How many.
    public var count = 3
    /// What they must have reached to count.
    public var level = VerificationLevel.structural

    /// How the reasons begin for which a backup is kept because it is one of the floor.
    static let reasonPrefix = "floor of "

    /// Three backups whose databases were checked page by page.
    public init() {}
}
