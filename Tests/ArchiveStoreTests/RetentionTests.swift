import Foundation
import HostIO
import SealedArchive
import TestSupport
import Testing

@testable import ArchiveStore

/// Which backups of a list stay, and why.
@Suite struct RetentionTests {
    private static let now = date("2026-11-26T12:00:00Z")

    private static func date(_ text: String) -> Date {
        guard let date = try? Date(text, strategy: .iso8601) else { fatalError("\(text) is no time") }
        return date
    }

    private func candidates(
        _ times: [Date], level: VerificationLevel? = .structural, hasSnapshot: Bool = true
    ) -> [RetentionCandidate] {
        times.map { RetentionCandidate(createdAt: $0, hasSnapshot: hasSnapshot, level: level) }
    }

    /// One backup every so many hours up to now, the oldest first.
    private func every(_ hours: Int, _ count: Int) -> [Date] {
        (0..<count).reversed().map { Self.now - Double($0 * hours) * 3600 }
    }

    private func rules(floor: Int = 1, _ change: (inout RetentionRules) -> Void) -> RetentionRules {
        var rules = RetentionRules()
        rules.floor.count = floor
        change(&rules)
        return rules
    }

    /// The indices of those that stay, counted from the newest.
    private func kept(_ candidates: [RetentionCandidate], _ rules: RetentionRules) -> [Int] {
        let plan = RetentionPlan(candidates, rules: rules, now: Self.now)
        return candidates.indices.filter { !plan.reasons[$0].isEmpty }.map { candidates.count - 1 - $0 }.reversed()
    }

    @Test func theNewestStay() {
        let all = candidates(every(1, 10))
        #expect(kept(all, rules { $0.last = 4 }) == [0, 1, 2, 3])
        #expect(kept(all, rules { $0.last = .max }) == Array(0..<10))
        #expect(kept(all, rules { $0.last = 0 }) == [0])
        #expect(kept([], rules { $0.last = 4 }) == [])
    }

    @Test func oneOfEachDayHourWeekMonthAndYear() {
        // At 12:00, 6:00, 0:00 and 18:00 of the day before, and so on.
        let all = candidates(every(6, 40))
        #expect(kept(all, rules { $0.daily = 3 }) == [0, 3, 7])
        #expect(kept(all, rules { $0.hourly = 3 }) == [0, 1, 2])
        // Thursday: Monday began three and a half days before, fourteen backups back.
        #expect(kept(all, rules { $0.weekly = 2 }) == [0, 15])
        let days = candidates(every(24, 800))
        #expect(kept(days, rules { $0.monthly = 3 }) == [0, 26, 57])
        #expect(kept(days, rules { $0.yearly = 2 }) == [0, 330])
    }

    /// As in restic the oldest of all stays while there are fewer than asked for.
    @Test func theOldestGrowsIntoTheNextMonth() {
        let all = candidates(every(24, 60))
        #expect(kept(all, rules { $0.monthly = 12 }) == [0, 26, 57, 59])
        let plan = RetentionPlan(all, rules: rules { $0.monthly = 12 }, now: Self.now)
        #expect(plan.reasons[0] == ["oldest monthly"])
    }

    @Test func withinCountsFromTheNewestAndNotFromNow() {
        let old = candidates(every(24, 10).map { $0 - 86_400 * 400 })
        #expect(kept(old, rules { $0.within = RetentionPeriod("3d") }) == [0, 1, 2])
        #expect(kept(old, rules { $0.within = RetentionPeriod("3d1h") }) == [0, 1, 2, 3])
    }

    @Test func theFloorStaysWhateverTheRulesSay() {
        let all = candidates(every(1, 10))
        #expect(kept(all, rules(floor: 3) { $0.last = 1 }) == [0, 1, 2])
        let plan = RetentionPlan(all, rules: rules(floor: 3) { $0.last = 1 }, now: Self.now)
        #expect(plan.reasons.suffix(3) == [["floor of 3"], ["floor of 3"], ["last", "floor of 3"]])
    }

    /// What is worth less takes no place of what is worth more.
    @Test(arguments: [VerificationLevel.streamed, nil])
    func whatWasNotVerifiedPushesNothingOut(_ level: VerificationLevel?) {
        let times = every(1, 12)
        let all = candidates(Array(times[..<4])) + candidates(Array(times[4...]), level: level)
        #expect(kept(all, rules(floor: 3) { $0.last = 2 }) == [0, 1, 8, 9, 10])
    }

    @Test func filesAlonePushNoSnapshotOut() {
        let times = every(1, 12)
        let all = candidates(Array(times[..<4])) + candidates(Array(times[4...]), level: .streamed, hasSnapshot: false)
        #expect(kept(all, rules(floor: 3) { $0.last = 1 }) == [0, 1, 2, 8, 9, 10])
    }

    @Test func whatIsFromTheFutureStaysAndCountsForNothing() {
        let times = every(1, 4) + [Self.now + 86_400, Self.now + 86_400 * 3000]
        let all = candidates(times)
        #expect(kept(all, rules(floor: 2) { $0.within = RetentionPeriod("1h") }) == [0, 1, 2, 3])
        let plan = RetentionPlan(all, rules: rules(floor: 2) { $0.last = 1 }, now: Self.now)
        #expect(plan.reasons.suffix(2) == [["from the future"], ["from the future"]])
    }

    @Test func aPlanThatRemovesMuchIsShownFirst() {
        let all = candidates(every(1, 10))
        #expect(RetentionPlan(all, rules: rules { $0.last = 5 }, now: Self.now).cautions == [])
        #expect(
            RetentionPlan(all, rules: rules { $0.last = 4 }, now: Self.now).cautions == ["6 of 10 backups would go"])
    }

    static let jumps: [(Double, Bool)] = [(86_400 * 40, true), (86_400 * 5, false), (3600, false), (-7200, true)]

    @Test(arguments: jumps)
    func aClockThatJumped(newest: Double, isJump: Bool) {
        let times = every(1, 10).map { $0 - 86_400 * 100 }
        let all = candidates(times + [times[9] + newest])
        let cautions = RetentionPlan(all, rules: rules { $0.last = 10 }, now: Self.now).cautions
        #expect(cautions.count == (isJump ? 1 : 0), "\(cautions)")
        // Nothing goes, so there is nothing to ask.
        #expect(RetentionPlan(all, rules: rules { $0.last = 11 }, now: Self.now).cautions == [])
    }

    /// Whatever the list, the best are there afterwards, and another run removes nothing more.
    @Test func theFloorHoldsForAnyList() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<400 {
            let count = Int.random(in: 0..<40, using: &random)
            let all = (0..<count).map { _ in
                RetentionCandidate(
                    createdAt: Self.now + Double.random(in: -90...2, using: &random) * 86_400,
                    hasSnapshot: Bool.random(using: &random),
                    level: [nil, .streamed, .structural, .stored].randomElement(using: &random) ?? nil)
            }.sorted { $0.createdAt < $1.createdAt }
            let rules = rules(floor: 3) {
                $0.last = Int.random(in: 0...2, using: &random)
                $0.daily = Int.random(in: 0...5, using: &random)
                $0.monthly = Int.random(in: 0...2, using: &random)
            }
            let good = all.indices.filter {
                all[$0].hasSnapshot && (all[$0].level.map { $0 >= .structural } ?? false)
                    && all[$0].createdAt < Self.now + 600
            }
            let plan = RetentionPlan(all, rules: rules, now: Self.now)
            for index in good.suffix(3) { #expect(!plan.reasons[index].isEmpty) }
            let rest = all.indices.filter { !plan.reasons[$0].isEmpty }.map { all[$0] }
            let again = RetentionPlan(rest, rules: rules, now: Self.now)
            #expect(again.reasons.allSatisfy { !$0.isEmpty })
        }
    }

    static let periodTexts: [(String, String?)] = [
        ("30d", "30d"), ("1y6m10d12h", "1y6m10d12h"), ("0y3h", "3h"), ("007d", "7d"), ("12h30d", nil), ("d", nil),
        ("", nil), ("0d", nil), ("30", nil), ("3w", nil), ("1d1d", nil), ("-3d", nil), ("99999999999999999999d", nil),
        ("1 d", nil),
    ]

    @Test(arguments: periodTexts)
    func periods(_ text: String, _ expected: String?) {
        #expect(RetentionPeriod(text)?.description == expected)
    }

    @Test func monthsAreThoseOfTheCalendar() {
        let start = RetentionPeriod("1m")?.start(before: Self.date("2026-03-31T05:00:00Z"))
        #expect(start == Self.date("2026-02-28T05:00:00Z"))
        #expect(RetentionPeriod("1y")?.start(before: Self.now) == Self.date("2025-11-26T12:00:00Z"))
        for text in ["1969-12-28T23:59:59Z", "1969-12-29T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-22T23:59:59Z"] {
            let time = Self.date(text)
            let monday = Date(timeIntervalSince1970: Double(RetentionCalendar.week(time) * 7 - 3) * 86_400)
            #expect(monday <= time && time < monday + 7 * 86_400, "\(text)")
        }
    }
}
