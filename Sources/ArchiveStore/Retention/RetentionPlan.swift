import FoundationEssentials
import SealedArchive

/// What retention goes by of one backup of a node.
struct RetentionCandidate: Sendable {
    /// When it was made, by its own clock.
    var createdAt: Date
    /// Whether it has a snapshot of an etcd.
    var hasSnapshot: Bool
    /// What it reached; nil if that is not known, or a check of it failed.
    var level: VerificationLevel?
    /// Its class, if it has one.
    var retentionClass: String?

    /// Whether it counts for a floor; files alone can't reach more than that they were read whole.
    func isProven(by floor: RetentionFloor) -> Bool {
        level.map { $0 >= (hasSnapshot ? floor.level : .streamed) } ?? false
    }
}

/// What becomes of the backups of one node: a pure function of the list, the rules and the time.
///
/// Each class is kept by rules of its own, and takes the place of no other; floors are those of all classes together. What no
/// rule is for is kept.
///
/// Backups that are worth less never take the place of better ones: those that did not reach the level of the floor, and those
/// without a snapshot, are counted for themselves. Only where fewer reached the level than the floor has are the newest of the
/// others kept besides. What says that it is from the future is left alone.
struct RetentionPlan {
    /// Why each is kept, in the order of the candidates; nothing for one that is to be removed.
    private(set) var reasons: [[String]]
    /// When they were made, in that order.
    private let times: [Date]

    /// Why a person should look at this plan before it is carried out.
    var cautions: [String] { Self.cautions(times, removedCount: reasons.count { $0.isEmpty }) }

    /// Keeps one for another reason besides.
    mutating func keep(_ index: Int, because reason: String) { reasons[index].append(reason) }

    private struct Kind: Hashable {
        var hasSnapshot: Bool
        var isProven: Bool
    }

    private struct Group: Hashable {
        var kind: Kind
        var retentionClass: String?
    }

    /// Makes the plan.
    ///
    /// - Parameters:
    ///   - candidates: the node's backups, the oldest first.
    ///   - now: the time here.
    init(_ candidates: [RetentionCandidate], rules: RetentionRules, now: Date) {
        var reasons = candidates.map { _ in [String]() }
        var groups: [Group: [Int]] = [:]
        var kinds: [Kind: [Int]] = [:]
        for index in candidates.indices.reversed() {
            let candidate = candidates[index]
            if BackupOrder.isFuture(candidate.createdAt, at: now) {
                reasons[index] = ["from the future"]
                continue
            }
            let kind = Kind(hasSnapshot: candidate.hasSnapshot, isProven: candidate.isProven(by: rules.floor))
            kinds[kind, default: []].append(index)
            groups[Group(kind: kind, retentionClass: candidate.retentionClass), default: []].append(index)
        }
        for (group, newestFirst) in groups {
            guard let rules = rules.rules(ofClass: group.retentionClass) else {
                let reason = group.retentionClass.map { "no rules for class \($0)" } ?? "no rules without a class"
                for index in newestFirst { reasons[index] = [reason] }
                continue
            }
            let times = newestFirst.map { candidates[$0].createdAt }
            for (index, kept) in zip(newestFirst, Self.kept(times, by: rules)) { reasons[index] = kept }
        }
        for hasSnapshot in [true, false] {
            let proven = kinds[Kind(hasSnapshot: hasSnapshot, isProven: true), default: []].prefix(rules.floor.count)
            for index in proven { reasons[index].append("\(RetentionFloor.reasonPrefix)\(rules.floor.count)") }
            // Where too few are proven the others are all there is.
            let others = kinds[Kind(hasSnapshot: hasSnapshot, isProven: false), default: []]
            for index in others.prefix(rules.floor.count - proven.count) {
                reasons[index].append(
                    "\(RetentionFloor.reasonPrefix)\(rules.floor.count), of which \(proven.count) are proven")
            }
        }
        self.reasons = reasons
        times = candidates.map(\.createdAt)
    }

    /// Which of the rules keep each backup of one kind, the newest first.
    private static func kept(_ times: [Date], by rules: RetentionRules) -> [[String]] {
        var reasons = times.map { _ in [String]() }
        for index in times.indices where index < rules.last ?? 0 { reasons[index].append("last") }
        if let within = rules.within, let start = times.max().map({ within.start(before: $0) }) {
            for index in times.indices where times[index] > start { reasons[index].append("within \(within)") }
        }
        let buckets: [(name: String, count: Int?, of: (Date) -> Int)] = [
            ("hourly", rules.hourly, RetentionCalendar.hour), ("daily", rules.daily, RetentionCalendar.day),
            ("weekly", rules.weekly, RetentionCalendar.week), ("monthly", rules.monthly, RetentionCalendar.month),
            ("yearly", rules.yearly, RetentionCalendar.year),
        ]
        for bucket in buckets {
            var left = bucket.count ?? 0
            var last: Int?
            for index in times.indices where left > 0 {
                let value = bucket.of(times[index])
                let isNew = value != last
                // While there are fewer than asked for, the oldest of all grows into the next one.
                guard isNew || index == times.count - 1 else { continue }
                reasons[index].append(isNew ? bucket.name : "oldest \(bucket.name)")
                last = value
                left -= 1
            }
        }
        return reasons
    }

    /// - Parameter times: of all backups, the oldest first.
    private static func cautions(_ times: [Date], removedCount: Int) -> [String] {
        guard removedCount > 0 else { return [] }
        var cautions: [String] = []
        if removedCount * 2 > times.count { cautions.append("\(removedCount) of \(times.count) backups would go") }
        if let jump = jump(times) { cautions.append(jump) }
        return cautions
    }

    private static let secondsPerDay = 86_400.0
    /// A longer time without a backup may be a clock that was put forward.
    private static let longestGapSeconds = 7 * secondsPerDay
    private static let gapFactor = 10.0
    private static let clockToleranceSeconds = 600.0

    /// What speaks for a clock that was changed before the newest backup.
    private static func jump(_ times: [Date]) -> String? {
        guard times.count >= 2 else { return nil }
        let gaps = zip(times.dropFirst(), times).map { $0.timeIntervalSince($1) }
        let newest = gaps[gaps.count - 1]
        if newest < -clockToleranceSeconds { return "the newest backup says that it is older than the one before it" }
        let others = gaps.dropLast().sorted()
        let usual = others.isEmpty ? 0 : others[others.count / 2]
        guard newest > max(longestGapSeconds, gapFactor * usual) else { return nil }
        return
            "the newest backup is \(Int(newest / secondsPerDay)) days later than the one before it: was the clock changed?"
    }
}
