import Age
import Foundation
import HostIO
import TestSupport
import Testing

@testable import ArchiveStore
@testable import Operations
@testable import SealedArchive

/// That an audit says what a list of backups proves, and no more.
@Suite struct AuditTests {
    private let scratch: TemporaryDirectory
    private let scope: StoreScope
    /// 2026-11-23 03:00 UTC.
    private let start = Date(timeIntervalSince1970: 1_795_402_800)

    init() throws {
        scratch = try TemporaryDirectory()
        scope = try StoreScope(cluster: "prod", node: "cp-0")
    }

    private func store(_ name: String = "store") -> LocalStore { LocalStore(root: scratch.file(name)) }

    private func time(_ hour: Double) -> Date { start.addingTimeInterval(hour * 3600) }

    /// Puts a backup of each hour into a store, as a run would; without snapshots unless a level is given.
    @discardableResult
    private func add(
        hours: [Double], to store: LocalStore, level: VerificationLevel? = nil, recipientCount: Int = 1,
        findings: [Finding] = [], in other: StoreScope? = nil, change: (inout Sidecar) -> Void = { _ in }
    ) throws -> [StoredBackup] {
        let scope = other ?? scope
        return try hours.map { hour in
            let writer = try store.writer(for: scope)
            let header = ArchiveHeader(
                id: BackupID(time: time(hour)), cluster: scope.cluster, node: scope.node, createdAt: time(hour))
            let file = try writer.begin(header.id)
            let archive = try ArchiveWriter(
                to: file, recipients: [X25519Identity.generate().recipient], header: header,
                options: CompressionOptions(frameSize: 4096, coreCount: 1))
            let summary = try archive.finish(Manifest(archive: header))
            let link = try writer.nextLink(after: store.list())
            var sidecar = Sidecar(
                manifest: Manifest(archive: header), sealed: summary,
                recipients: (0..<recipientCount).map { .init(type: "X25519", fingerprint: "key-\($0)") },
                completedAt: header.createdAt, sequence: link.sequence,
                previousSidecarSHA256: link.previousSidecarSHA256)
            if let level {
                sidecar.verification = OpenValue(level)
                sidecar.etcd = [
                    .init(
                        name: "etcd", clusterID: "1", serverVersion: "3.5.0", revisionAtStart: 1, databaseSize: 1,
                        databaseSHA256: "")
                ]
            }
            sidecar.checkFindings = findings
            change(&sidecar)
            try file.publish(SidecarDocument(sidecar))
            return try #require(try store.list().backups.first { $0.id == header.id })
        }
    }

    private func removeByHand(_ backup: StoredBackup, from store: LocalStore) throws {
        let path = store.location(of: backup)
        try run("rm", [path, path.replacing(".tar.zst.age", with: ".json")])
    }

    private func audit(
        _ stores: [(String, LocalStore)], hour: Double, since: String? = nil, gap: String = "26h",
        level: VerificationLevel = .structural, drillAge: String? = nil, quorum: Int = 1,
        rules: RetentionRules? = nil,
        accepted: [AcceptedFinding] = [], failed: [StoreFailure] = []
    ) throws -> AuditReport {
        let read = try stores.map { name, store in
            StoreContents(store: NamedStore(store, name: name, rules: rules), listing: try store.list())
        }
        return AuditOperation.report(
            read, failed, quorum: quorum,
            criteria: try AuditCriteria(
                since: since, maximumGap: gap, minimumLevel: level, maximumDrillAge: drillAge, accepted: accepted,
                now: time(hour)),
            now: time(hour))
    }

    private func codes(_ report: AuditReport) -> [String] { report.allFindings.filter(\.isDefect).map(\.code) }

    @Test func nothingIsAgainstAWholeStore() throws {
        let store = store()
        try add(hours: [0, 24, 48], to: store, level: .stored, recipientCount: 2)
        let report = try audit([("local", store)], hour: 60)
        let node = try #require(report.nodes.first)
        #expect(codes(report) == [] && report.verdict == .passed && node.verdict == .passed)
        #expect(node.backupCount == 3 && node.countInPeriod == 3 && node.snapshotCount == 3)
        #expect(node.first?.createdAt == time(0) && node.last?.createdAt == time(48))
        #expect(node.stores[0].present == [.init(1...3)] && node.stores[0].chain == .unbroken)
        #expect(node.stores[0].linkCount == 2 && node.stores[0].provenLinkCount == 2)
        #expect(node.longestGap?.seconds == 24 * 3600 && node.gaps.isEmpty)
        #expect(node.levels == [.init(level: .init(.stored), backupCount: 3)])
        #expect(node.recipients == [.init(recipientCount: 2, backupCount: 3)])
        #expect(node.copies == nil && node.stores[0].retention == nil)
        #expect(report.stores.map(\.sidecarCount) == [3])
        // What was not done is said.
        #expect(report.notLookedAt.contains { $0.contains("archives were not opened") })
    }

    @Test func aTimeWithoutBackupsIsFound() throws {
        let store = store()
        let backups = try add(hours: [0, 24, 100, 120], to: store)
        let report = try audit([("local", store)], hour: 130)
        #expect(codes(report) == ["backup-gap"])
        let gap = try #require(report.nodes[0].gaps.first)
        #expect(gap.after.id == backups[1].id && gap.before?.id == backups[2].id)
        #expect(gap.seconds == 76 * 3600 && gap.isCertain && gap.absentCount == 0)
        #expect(report.allFindings[0].subject == "prod/cp-0/\(backups[1].id)")
        #expect(report.allFindings[0].message.contains("3d 4h"), "\(report.allFindings[0].message)")
        #expect(try codes(audit([("local", store)], hour: 130, gap: "4d")) == [])
        // The time until now counts as well.
        let later = try audit([("local", store)], hour: 200, gap: "3d8h")
        #expect(codes(later) == [] && later.nodes[0].longestGap?.seconds == 80 * 3600)
        let latest = try audit([("local", store)], hour: 201, gap: "3d8h")
        #expect(codes(latest) == ["backup-gap"] && latest.nodes[0].gaps.map { $0.before == nil } == [true])
    }

    /// What was removed may have filled a time, as far as there was enough of it.
    @Test func aTimeThatPruneHasThinnedIsNotJudged() throws {
        let store = store()
        let backups = try add(hours: [0, 24, 48, 72, 96], to: store)
        try store.writer(for: scope).delete(backups[1])
        try store.writer(for: scope).delete(backups[2])
        let report = try audit([("local", store)], hour: 100)
        #expect(codes(report) == [])
        #expect(report.nodes[0].gaps.map(\.isCertain) == [false] && report.nodes[0].gaps[0].absentCount == 2)
        #expect(report.notLookedAt.contains { $0.contains("not judged: 1") })
        // Two can't have filled three days at 23 hours each.
        #expect(try codes(audit([("local", store)], hour: 100, gap: "23h")) == ["backup-gap", "backup-gap"])
    }

    @Test func removedAndMissingNumbersAreTold() throws {
        let store = store()
        let backups = try add(hours: (0..<7).map { Double($0) * 24 }, to: store)
        try store.writer(for: scope).delete(backups[0])
        try store.writer(for: scope).delete(backups[1])
        try removeByHand(backups[4], from: store)
        let report = try audit([("local", store)], hour: 150)
        let part = report.nodes[0].stores[0]
        #expect(part.present == [.init(3...4), .init(6...7)])
        #expect(part.removed == [.init(1...2)] && part.removedCount == 2)
        #expect(part.missing == [.init(5...5)] && part.missingCount == 1)
        #expect(part.chain == .broken && part.linkCount == 4 && part.provenLinkCount == 3)
        #expect(codes(report) == ["backup-missing"] && report.verdict == .findings)
        let known = AcceptedFinding(code: "backup-missing", subject: "prod/cp-0 number 5", reason: "a disk was lost")
        let accepted = try audit([("local", store)], hour: 150, accepted: [known])
        #expect(accepted.verdict == .passed && accepted.nodes[0].findings.map(\.isDefect) == [false])
    }

    @Test func theNewestRemovedByHandIsMissing() throws {
        let store = store()
        let backups = try add(hours: [0, 24], to: store)
        try removeByHand(backups[1], from: store)
        let report = try audit([("local", store)], hour: 30)
        #expect(report.nodes[0].stores[0].missing == [.init(2...2)])
        #expect(codes(report) == ["backup-missing"])
    }

    @Test func aChangedSidecarBreaksTheChain() throws {
        let store = store()
        let backups = try add(hours: [0, 24, 48], to: store)
        var sidecar = backups[1].sidecar
        sidecar.completedAt += 60
        let path = store.location(of: backups[1]).replacing(".tar.zst.age", with: ".json")
        try Data(DocumentCoding.encode(sidecar)).write(to: URL(filePath: path))
        let report = try audit([("local", store)], hour: 50)
        #expect(codes(report) == ["backup-chain-broken"] && report.verdict == .findings)
        let part = report.nodes[0].stores[0]
        #expect(part.chain == .broken && part.linkCount == 2 && part.provenLinkCount == 1)
    }

    /// Without the record nobody knows what was newest: a chain without contradictions is not one that is proved.
    @Test func withoutARecordTheChainIsNotProved() throws {
        let store = store()
        try add(hours: [0, 24], to: store)
        try run("rm", ["\(store.root)/prod/cp-0/chain.json"])
        let report = try audit([("local", store)], hour: 30)
        #expect(report.nodes[0].stores[0].chain == .unproven && codes(report) == ["backup-chain-unknown"])
    }

    @Test func levelsAreCountedAndJudged() throws {
        let store = store()
        try add(hours: [0], to: store, level: .streamed)
        try add(hours: [24], to: store, level: .consistent)
        try add(hours: [48], to: store)
        let failure = Finding(.error, code: "not-read-back", subject: "x", message: "it differs")
        try add(hours: [72], to: store, level: .stored, findings: [failure])
        let report = try audit([("local", store)], hour: 80)
        let node = report.nodes[0]
        // Files alone can't be checked page by page; the one that failed its check counts for nothing.
        #expect(codes(report) == ["backup-check-failed", "backup-level-low"])
        #expect(node.findings[1].message.contains("2 of 4"), "\(node.findings[1].message)")
        #expect(node.levels.map(\.level.rawValue) == ["streamed", "consistent", "stored"])
        #expect(node.levels.map(\.backupCount) == [2, 1, 1] && node.snapshotCount == 3)
        #expect(node.lowestLevel == .streamed && node.newestLevel == .stored)
        #expect(
            try codes(audit([("local", store)], hour: 80, level: .streamed)) == [
                "backup-check-failed", "backup-level-low",
            ])
        #expect(
            try codes(audit([("local", store)], hour: 90, since: "50h", level: .stored)) == [
                "backup-check-failed", "backup-level-low",
            ])
        #expect(
            try codes(
                audit(
                    [("local", store)], hour: 90, since: "20h", level: .stored,
                    accepted: [
                        AcceptedFinding(code: "backup-check-failed", reason: "known"),
                        AcceptedFinding(code: "backup-level-low", reason: "known"),
                    ])) == [])
    }

    @Test func onlyThePeriodIsJudged() throws {
        let store = store()
        try add(hours: [0, 100], to: store, level: .streamed)
        try add(hours: [124, 148], to: store, level: .structural)
        let all = try audit([("local", store)], hour: 150)
        #expect(codes(all) == ["backup-level-low", "backup-gap"])
        let period = try audit([("local", store)], hour: 150, since: "2d")
        let node = period.nodes[0]
        #expect(codes(period) == [] && node.backupCount == 4 && node.countInPeriod == 2)
        #expect(node.first?.createdAt == time(0) && node.stores[0].present == [.init(1...4)])
        // A time that ends in the period began before it.
        let ending = try audit([("local", store)], hour: 150, since: "2026-11-26")
        #expect(ending.since == Date(timeIntervalSince1970: 1_795_651_200))
        #expect(codes(ending) == ["backup-level-low", "backup-gap"])
        for text in ["yesterday", "2026-02-31", "2027-01-01", "-3d", ""] {
            #expect(throws: Failure.self) { try AuditCriteria(since: text, now: time(0)) }
        }
        #expect(throws: Failure.self) { try AuditCriteria(since: nil, maximumGap: "soon", now: time(0)) }
        #expect(throws: Failure.self) { try AuditCriteria(since: nil, maximumDrillAge: "often", now: time(0)) }
    }

    @Test func whatIsFromTheFutureIsNotTheLast() throws {
        let store = store()
        try add(hours: [0, 24, 500], to: store)
        let report = try audit([("local", store)], hour: 30)
        let node = report.nodes[0]
        #expect(codes(report) == ["backup-from-future"])
        #expect(node.last?.createdAt == time(24) && node.fromTheFuture.count == 1 && node.countInPeriod == 2)
    }

    @Test func whatCantBeReliedOnIsNotCounted() throws {
        let store = store()
        let backups = try add(hours: [0, 24, 48], to: store)
        let path = store.location(of: backups[2])
        try run("rm", [path.replacing(".tar.zst.age", with: ".json")])
        let orphan = try audit([("local", store)], hour: 49)
        #expect(codes(orphan) == ["backup-sidecar-missing"] && orphan.verdict == .findings)
        #expect(orphan.nodes[0].unread.map(\.kind) == [.withoutSidecar] && orphan.nodes[0].backupCount == 2)
        try run("truncate", ["-s", "10", store.location(of: backups[1])])
        let damaged = try audit([("local", store)], hour: 49)
        #expect(damaged.verdict == .damaged && damaged.nodes[0].unread.map(\.kind) == [.damaged, .withoutSidecar])
    }

    @Test func copiesInSeveralStoresAreCounted() throws {
        let (one, two) = (store("one"), store("two"))
        try add(hours: [0, 24], to: one)
        try run("cp", ["-a", one.root, two.root])
        let backups = try add(hours: [48], to: one)
        let report = try audit([("one", one), ("two", two)], hour: 50, quorum: 2)
        let node = report.nodes[0]
        #expect(codes(report) == ["backup-copies-few"] && node.backupCount == 3)
        #expect(node.copies == [.init(storeCount: 1, backupCount: 1), .init(storeCount: 2, backupCount: 2)])
        #expect(node.belowQuorum?.map(\.reference) == [backups[0].reference])
        #expect(node.stores.map(\.backupCount) == [3, 2])
        #expect(try codes(audit([("one", one), ("two", two)], hour: 50)) == [])
        // What was removed on purpose is not below.
        let copied = try #require(try two.list().backups.first)
        try two.writer(for: scope).delete(copied)
        #expect(try audit([("one", one), ("two", two)], hour: 50, quorum: 2).nodes[0].belowQuorum?.count == 1)
    }

    /// A store that was not read is no proof of anything.
    @Test func aStoreThatIsNotReadMakesItIncomplete() throws {
        let store = store()
        try add(hours: [0, 24], to: store)
        let failure = StoreFailure(
            store: NamedStore(self.store("away"), name: "away"), error: Failure(.failed, "it is down"))
        let report = try audit([("local", store)], hour: 30, quorum: 2, failed: [failure])
        #expect(codes(report) == ["store-failed"] && report.verdict == .incomplete)
        #expect(report.nodes[0].belowQuorum == [] && report.notLookedAt.contains { $0.contains("away: it is down") })
    }

    @Test func whatRulesKeepIsTold() throws {
        let store = store()
        try add(hours: (0..<6).map { Double($0) * 24 }, to: store, level: .structural)
        var rules = RetentionRules()
        rules.last = 1
        let retention = try #require(
            try audit([("local", store)], hour: 130, rules: rules).nodes[0].stores[0].retention)
        #expect(retention.rules == ["last 1"] && retention.floor == 3 && retention.expiredCount == 3)
        #expect(retention.heldByFloor.contains(.init(reason: "floor of 3", backupCount: 3)))
        rules.classes["pre-upgrade"] = RetentionRules()
        rules.classes["monthly"] = rules
        let ofClasses = try audit([("local", store)], hour: 130, rules: rules).nodes[0].stores[0].retention
        #expect(ofClasses?.rules == ["last 1", "of the class monthly: last 1", "of the class pre-upgrade: all"])
    }

    /// Files whose snapshot somebody has removed are half a backup.
    @Test func aSharedSnapshotThatIsGoneIsFound() throws {
        let store = store()
        let backups = try add(hours: [0, 24], to: store, level: .stored)
        let other = try StoreScope(cluster: "prod", node: "cp-1")
        let shared = SharedSnapshot(name: "etcd", clusterID: "1", slot: 1)
        try add(hours: [25], to: store, in: other) { sidecar in
            var shared = shared
            shared.reference = backups[1].reference
            sidecar.sharedSnapshots = [shared]
        }
        #expect(try codes(audit([("local", store)], hour: 30)) == [])
        try store.writer(for: scope).delete(backups[1])
        let report = try audit([("local", store)], hour: 30)
        #expect(codes(report) == ["backup-snapshot-missing"] && report.verdict == .findings)
        #expect(report.allFindings.first { $0.isDefect }?.subject == "prod/cp-1")
        // Who did not look at the other nodes knows nothing of it, and says so.
        let contents = StoreContents(
            store: NamedStore(store), listing: try store.list(cluster: "prod", node: "cp-1"))
        let alone = AuditOperation.report(
            [contents], isOfOneNode: true, criteria: try AuditCriteria(since: nil, now: time(30)), now: time(30))
        #expect(codes(alone) == [] && alone.notLookedAt.contains { $0.contains("by other nodes") })
    }

    /// All that was known of a node is not forgotten with its last backup.
    @Test func aNodeWithoutBackupsIsStillThere() throws {
        let store = store()
        let backups = try add(hours: [0, 24], to: store)
        for backup in backups { try store.writer(for: scope).delete(backup) }
        let report = try audit([("local", store)], hour: 30)
        #expect(report.nodes.map(\.node) == ["cp-0"] && codes(report) == ["backup-gap"])
        #expect(report.nodes[0].stores[0].removed == [.init(1...2)] && report.nodes[0].stores[0].chain == .none)
    }

    /// Keeps the record of a drill that passed every stage, or failed at one.
    private func drill(_ backup: StoredBackup, hour: Double, failing: String? = nil, in store: LocalStore) throws {
        var record = DrillRecord(
            of: backup.sidecar.archive, manifestSHA256: backup.sidecar.manifestSHA256, startedAt: time(hour),
            host: .init(coreCount: 1, availableMemory: nil, isScratchInMemory: true))
        let names =
            DrillRecord.requiredStages.map { ($0, nil) }
            + DrillRecord.requiredStagesOfDatabases.map { ($0, "etcd") }
        record.stages = names.map { name, etcd in
            .init(
                name: name, etcd: etcd, outcome: name == failing ? .failed : .passed, detail: "as was seen",
                durationSeconds: 1)
        }
        record.databases = [.init(name: "etcd", size: 1, revision: 1, serverVersion: "3.5.0")]
        record.recoverySeconds = 8
        let page: [UInt8] = []
        try store.writer(for: backup.scope).keep(DrillDocument(record, page: page), of: backup)
    }

    @Test func drillsAreShownAndJudgedIfAskedFor() throws {
        let store = store()
        let backups = try add(hours: [0, 24, 48], to: store, level: .structural)
        let other = try StoreScope(cluster: "prod", node: "cp-1")
        try add(hours: [48], to: store, level: .structural, in: other)
        try add(hours: [48], to: store, level: .structural, in: StoreScope(cluster: "test", node: "one"))
        #expect(try codes(audit([("local", store)], hour: 50)) == [])
        #expect(try codes(audit([("local", store)], hour: 50, drillAge: "8d")) == ["drill-overdue", "drill-overdue"])
        try drill(backups[0], hour: 1, in: store)
        try drill(backups[1], hour: 25, in: store)
        // From a host whose clock is wrong.
        try drill(backups[2], hour: 9000, in: store)
        var report = try audit([("local", store)], hour: 50, drillAge: "8d")
        let overdue = report.allFindings.filter { $0.code == "drill-overdue" }
        #expect(overdue.map(\.subject) == ["test"] && overdue[0].message.contains("there is none"))
        #expect(
            report.nodes[0].drills.drilledCount == 3 && report.nodes[0].drills.last?.reference == backups[1].reference)
        #expect(report.nodes[0].drills.last?.startedAt == time(25) && report.nodes[0].drills.last?.recoverySeconds == 8)
        #expect(report.nodes[1].drills.drilledCount == 0 && report.nodes[1].drills.last == nil)
        report = try audit([("local", store)], hour: 50, drillAge: "24h")
        let late = try #require(report.findings.first { $0.subject == "prod" })
        #expect(late.message.contains(backups[1].reference) && late.message.contains("24h"))
    }

    @Test func aFailedDrillIsAFinding() throws {
        let store = store()
        let backups = try add(hours: [0, 24], to: store, level: .structural)
        try drill(backups[0], hour: 1, in: store)
        try drill(backups[1], hour: 25, failing: "boot", in: store)
        let report = try audit([("local", store)], hour: 26, drillAge: "2d")
        #expect(report.nodes[0].findings.map(\.code) == ["drill-failed"])
        #expect(report.nodes[0].findings[0].subject == backups[1].reference)
        #expect(report.nodes[0].findings[0].message.contains("failed at boot: as was seen"))
        #expect(report.nodes[0].drills.failed == [backups[1].reference] && report.nodes[0].drills.drilledCount == 1)
        #expect(report.verdict == .findings)
        // The newest drill of a backup counts.
        try drill(backups[1], hour: 26, in: store)
        #expect(try codes(audit([("local", store)], hour: 26)) == [])
    }
}
