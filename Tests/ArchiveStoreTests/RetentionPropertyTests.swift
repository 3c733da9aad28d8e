import Foundation
import SealedArchive
import TestSupport
import Testing

@testable import ArchiveStore

/// What holds of every plan, whatever the history, the rules and the clocks.
@Suite struct RetentionPropertyTests {
    private static let historyCount = 10_000
    private static let now = Date(timeIntervalSince1970: 1_795_694_400)

    /// A node's history: steps of minutes to months, clocks that jump either way, levels and kinds of every sort.
    private func history(_ random: inout SeededGenerator) -> [RetentionCandidate] {
        let steps: [Double] = [60, 3600, 6 * 3600, 86_400, 7 * 86_400, 31 * 86_400]
        let usual = steps.randomElement(using: &random) ?? 3600
        let levels: [VerificationLevel?] = [nil, .streamed, .structural, .structural, .consistent, .stored]
        var time = Self.now - usual * Double.random(in: 0...80, using: &random)
        return (0..<Int.random(in: 0...60, using: &random)).map { _ in
            let jump = Int.random(in: 0..<40, using: &random) == 0 ? Double.random(in: -400...400, using: &random) : 1
            time += usual * jump * Double.random(in: 0.5...1.5, using: &random)
            return RetentionCandidate(
                createdAt: time, hasSnapshot: Int.random(in: 0..<6, using: &random) > 0,
                level: levels.randomElement(using: &random) ?? nil,
                retentionClass: Self.classes.randomElement(using: &random) ?? nil)
        }
    }

    /// Most have none; of one that some have no rules speak.
    private static let classes: [String?] = [nil, nil, nil, nil, "monthly", "pre-upgrade", "typo"]

    private func rules(_ random: inout SeededGenerator) -> RetentionRules {
        var rules = ruleSet(&random)
        rules.floor.count = Int.random(in: 0...4, using: &random)
        rules.floor.level = [.streamed, .structural, .consistent].randomElement(using: &random) ?? .structural
        for name in ["monthly", "pre-upgrade"] where Bool.random(using: &random) {
            rules.classes[name] = ruleSet(&random)
            // Without any rule all would be kept that have no class.
            rules.last = max(1, rules.last ?? 0)
        }
        return rules
    }

    private func ruleSet(_ random: inout SeededGenerator) -> RetentionRules {
        var rules = RetentionRules()
        func count(_ limit: Int) -> Int? {
            Bool.random(using: &random) ? Int.random(in: 0...limit, using: &random) : nil
        }
        rules.last = count(8)
        rules.hourly = count(30)
        rules.daily = count(14)
        rules.weekly = count(8)
        rules.monthly = count(13)
        rules.yearly = count(5)
        if Int.random(in: 0..<3, using: &random) == 0 {
            let unit = ["h", "d", "m", "y"].randomElement(using: &random) ?? "d"
            rules.within = RetentionPeriod("\(Int.random(in: 1...20, using: &random))\(unit)")
        }
        return rules
    }

    /// The indices of those that stay.
    private func kept(_ candidates: [RetentionCandidate], _ rules: RetentionRules, at now: Date = now) -> Set<Int> {
        let plan = RetentionPlan(candidates, rules: rules, now: now)
        return Set(candidates.indices.filter { !plan.reasons[$0].isEmpty })
    }

    private func forEachHistory(
        _ seed: UInt64, _ body: ([RetentionCandidate], RetentionRules, Int) throws -> Void
    ) rethrows {
        var random = SeededGenerator(seed: seed)
        for number in 0..<Self.historyCount {
            let candidates = history(&random)
            try body(candidates, rules(&random), number)
        }
    }

    private func isProven(_ candidate: RetentionCandidate, _ rules: RetentionRules) -> Bool {
        !BackupOrder.isFuture(candidate.createdAt, at: Self.now) && candidate.hasSnapshot
            && candidate.level.map { $0 >= rules.floor.level } == true
    }

    @Test func theNewestProvenBackupsAndThoseOfTheFutureStay() {
        var removedCount = 0
        forEachHistory(1) { candidates, rules, number in
            let kept = kept(candidates, rules)
            let proven = candidates.indices.filter { isProven(candidates[$0], rules) }
            let floor = proven.suffix(rules.floor.count)
            let future = candidates.indices.filter { BackupOrder.isFuture(candidates[$0].createdAt, at: Self.now) }
            #expect(kept.isSuperset(of: floor) && kept.isSuperset(of: future), "history \(number)")
            #expect(kept.count >= min(candidates.count, rules.floor.count), "history \(number)")
            removedCount += candidates.count - kept.count
        }
        #expect(removedCount > Self.historyCount)
    }

    /// What is worth less changes nothing for what is worth more.
    @Test func failedAndUnverifiedBackupsPushNoGoodOneOut() {
        forEachHistory(2) { candidates, rules, number in
            let kept = kept(candidates, rules)
            let proven = candidates.indices.filter { isProven(candidates[$0], rules) }
            let alone = self.kept(proven.map { candidates[$0] }, rules)
            #expect(Set(proven.indices.filter { kept.contains(proven[$0]) }) == alone, "history \(number)")
        }
    }

    /// A class is kept by its own rules, whatever there is besides; without rules all of it is.
    @Test func noClassPushesAnotherOneOut() {
        forEachHistory(10) { candidates, rules, number in
            var rules = rules
            rules.floor.count = 0
            let kept = kept(candidates, rules)
            for name in Set(candidates.map(\.retentionClass)) {
                let own = candidates.indices.filter { candidates[$0].retentionClass == name }
                let alone = self.kept(own.map { candidates[$0] }, rules)
                #expect(Set(own.indices.filter { kept.contains(own[$0]) }) == alone, "history \(number)")
                if name == "typo" { #expect(alone.count == own.count, "history \(number)") }
            }
        }
    }

    @Test func pruningTwiceRemovesNothingMore() {
        forEachHistory(3) { candidates, rules, number in
            let left = kept(candidates, rules).sorted().map { candidates[$0] }
            #expect(kept(left, rules).count == left.count, "history \(number)")
        }
    }

    @Test func moreGenerousRulesKeepAtLeastAsMuch() {
        forEachHistory(4) { candidates, rules, number in
            let before = kept(candidates, rules)
            let wider: [(inout RetentionRules) -> Void] = [
                { $0.last = ($0.last ?? 0) + 1 }, { $0.hourly = ($0.hourly ?? 0) + 1 },
                { $0.daily = ($0.daily ?? 0) + 1 }, { $0.weekly = ($0.weekly ?? 0) + 1 },
                { $0.monthly = ($0.monthly ?? 0) + 1 }, { $0.yearly = ($0.yearly ?? 0) + 1 },
                { $0.floor.count += 1 },
            ]
            for change in wider {
                var changed = rules
                change(&changed)
                #expect(kept(candidates, changed).isSuperset(of: before), "history \(number)")
            }
            for name in rules.classes.keys {
                var changed = rules
                changed.classes[name]?.last = (rules.classes[name]?.last ?? 0) + 1
                // The first rule of a class says what goes: without one all stays.
                if rules.rules(ofClass: name) == nil { continue }
                #expect(kept(candidates, changed).isSuperset(of: before), "history \(number)")
            }
        }
    }

    /// What goes does not come back as time goes by, and what counts is the list: the clock here only says what is not yet.
    @Test func theClockHereDecidesOnlyOnTheFuture() {
        forEachHistory(5) { candidates, rules, number in
            let past = candidates.filter { !BackupOrder.isFuture($0.createdAt, at: Self.now) }
            let later = kept(past, rules, at: Self.now + 40 * 365 * 86_400)
            #expect(kept(past, rules) == later, "history \(number)")
        }
    }

    /// A new backup takes nothing out but what the rules stop keeping: what was to go before still goes.
    @Test func aNewBackupSavesNoOldOneFromBeingRemoved() {
        forEachHistory(6) { candidates, rules, number in
            guard let last = candidates.last, last.createdAt < Self.now else { return }
            let before = kept(candidates, rules)
            let new = RetentionCandidate(createdAt: Self.now, hasSnapshot: true, level: .stored)
            let after = kept(candidates + [new], rules)
            #expect(after.contains(candidates.count) || rules.floor.count == 0, "history \(number)")
            #expect(after.subtracting([candidates.count]).isSubset(of: before), "history \(number)")
        }
    }

    // MARK: Clusters

    /// The histories of a cluster's nodes; of most only one takes snapshots at a time, the others have files alone.
    private func forEachCluster(
        _ seed: UInt64, _ body: ([[RetentionCandidate]], RetentionRules, Int) throws -> Void
    ) rethrows {
        var random = SeededGenerator(seed: seed)
        for number in 0..<Self.historyCount / 3 {
            let nodes = (0..<Int.random(in: 1...4, using: &random)).map { _ in
                let share = [0, 1, 9, 10].randomElement(using: &random) ?? 0
                return history(&random).map { candidate in
                    var candidate = candidate
                    candidate.hasSnapshot = Int.random(in: 0..<10, using: &random) >= share
                    return candidate
                }
            }
            try body(nodes, rules(&random), number)
        }
    }

    /// What stays of each node.
    private func kept(_ nodes: [[RetentionCandidate]], _ rules: RetentionRules) -> [[RetentionCandidate]] {
        let plans = ClusterRetention(nodes, rules: rules, now: Self.now).nodes
        return zip(nodes, plans).map { candidates, plan in
            candidates.indices.filter { !plan.reasons[$0].isEmpty }.map { candidates[$0] }
        }
    }

    @Test func theNewestSnapshotsOfAClusterStay() {
        var removedCount = 0
        forEachCluster(7) { nodes, rules, number in
            let kept = kept(nodes, rules)
            let stay = Set(kept.flatMap { $0.map(\.createdAt) })
            let proven = nodes.flatMap { $0.filter { isProven($0, rules) } }.map(\.createdAt).sorted(by: >)
            #expect(stay.isSuperset(of: proven.prefix(rules.floor.count)), "cluster \(number)")
            removedCount += nodes.joined().count - kept.joined().count
        }
        #expect(removedCount > Self.historyCount)
    }

    /// A master that takes no snapshots for months costs no other one its snapshots.
    @Test func archivesOfFilesAlonePushNoSnapshotOut() {
        forEachCluster(8) { nodes, rules, number in
            let together = kept(nodes, rules).map { $0.filter(\.hasSnapshot).map(\.createdAt) }
            let alone = kept(nodes.map { $0.filter(\.hasSnapshot) }, rules).map { $0.map(\.createdAt) }
            #expect(together == alone, "cluster \(number)")
        }
    }

    @Test func pruningAClusterTwiceRemovesNothingMore() {
        forEachCluster(9) { nodes, rules, number in
            let left = kept(nodes, rules)
            #expect(kept(left, rules).map(\.count) == left.map(\.count), "cluster \(number)")
            // Each node alone loses no less: the cluster only keeps more.
            for (index, node) in nodes.enumerated() {
                #expect(kept(node, rules).count <= left[index].count, "cluster \(number)")
            }
        }
    }
}
