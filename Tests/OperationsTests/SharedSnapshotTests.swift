import ArchiveStore
import Foundation
import HostIO
import Synchronization
import TestSupport
import Testing

@testable import Age
@testable import Operations
@testable import SealedArchive

/// Which backup's snapshot belongs to files that were backed up without one.
@Suite struct SharedSnapshotTests {
    private let directory: TemporaryDirectory
    private let store: LocalStore
    private static let time = Date(timeIntervalSince1970: 1_795_402_800)

    init() throws {
        directory = try TemporaryDirectory()
        store = LocalStore(root: directory.file("store"))
    }

    /// Puts a backup into the store, with a snapshot of a cluster or without one; returns its reference.
    @discardableResult
    private func add(
        _ node: String, _ minutes: Int, clusterID: String? = nil, digest: String = "d1", slot: Int? = nil,
        sequence: Int = 1, change: (inout Sidecar) -> Void = { _ in }
    ) throws -> String {
        let time = Self.time.addingTimeInterval(Double(minutes) * 60)
        let scope = try StoreScope(cluster: "prod", node: node)
        let header = ArchiveHeader(id: BackupID(time: time), cluster: "prod", node: node, createdAt: time)
        let file = try store.writer(for: scope).begin(header.id)
        let archive = try ArchiveWriter(
            to: file, recipients: [X25519Identity.generate().recipient], header: header,
            options: CompressionOptions(frameSize: 4096, coreCount: 1))
        let manifest = Manifest(archive: header)
        var sidecar = Sidecar(
            manifest: manifest, sealed: try archive.finish(manifest), recipients: [],
            completedAt: time.addingTimeInterval(30), sequence: sequence, previousSidecarSHA256: nil)
        if let clusterID {
            sidecar.etcd = [
                .init(
                    name: "etcd", clusterID: clusterID, serverVersion: "3.5.1", revisionAtStart: 5, databaseSize: 0,
                    databaseSHA256: digest)
            ]
        }
        sidecar.slot = slot.map { SlotRecord(number: $0, lengthMinutes: 60) }
        change(&sidecar)
        try file.publish(SidecarDocument(sidecar))
        return header.reference
    }

    private func search(
        _ minutes: Int, reference: String? = nil, digest: String? = nil, slot: Int = 3, clusterID: String = "a1"
    ) throws -> SharedSnapshotSearch {
        let time = Self.time.addingTimeInterval(Double(minutes) * 60)
        var shared = SharedSnapshot(name: "etcd", clusterID: clusterID, slot: slot)
        (shared.reference, shared.databaseSHA256) = (reference, digest)
        return SharedSnapshotSearch(
            shared: shared,
            files: ArchiveHeader(id: BackupID(time: time), cluster: "prod", node: "cp-2", createdAt: time),
            backups: try store.list().backups)
    }

    @Test func theRecordedOneIsTaken() throws {
        try add("cp-1", 0, clusterID: "a1", slot: 3)
        let recorded = try add("cp-3", -600, clusterID: "a1", slot: 2)
        let found = try search(1, reference: recorded, digest: "d1").find()
        #expect(found.backup.reference == recorded && found.warnings.isEmpty)
        #expect(found.note.contains(recorded) && found.note.contains("made with"))
    }

    @Test func anotherSnapshotInItsPlaceIsRefused() throws {
        let reference = try add("cp-1", 0, clusterID: "a1")
        let digest = try search(1, reference: reference, digest: "d2")
        #expect(throws: Failure.self) { try digest.find() }
        let cluster = try search(1, reference: reference, clusterID: "b2")
        let error = #expect(throws: Failure.self) { try cluster.find() }
        #expect(error?.code == .integrity)
        #expect(error?.message.contains("b2") == true && error?.message.contains("a1") == true)
    }

    /// Gone or never known: the one of the same slot, though it be newer, else the newest that is no newer.
    @Test func whereTheRecordedOneIsGone() throws {
        let gone = "prod/cp-1/20261123T030000Z-abcdef"
        let old = try add("cp-1", -600, clusterID: "a1", slot: 1)
        try add("cp-3", -300, clusterID: "b2", slot: 2)
        try add("cp-3", -200, clusterID: "a1", slot: 2, sequence: 2) {
            $0.checkFindings = [Finding(.error, code: "members-disagree", subject: "x", message: "y")]
        }
        try add("cp-3", -100, clusterID: "a1", slot: 2, sequence: 3) { $0.etcd[0].mayBeOld = true }
        try add("cp-1", 90, clusterID: "a1", slot: 4, sequence: 2)
        let found = try search(1, reference: gone).find()
        #expect(found.backup.reference == old && found.note.contains("no newer than the files"))
        #expect(found.warnings.count == 1 && found.warnings[0].contains(gone))
        let ofSlot = try add("cp-3", 10, clusterID: "a1", slot: 3, sequence: 4)
        let better = try search(1).find()
        #expect(better.backup.reference == ofSlot && better.note.contains("slot") && better.warnings.isEmpty)
    }

    @Test func aNewerOneIsNamedAndNotTaken() throws {
        let newer = try add("cp-1", 90, clusterID: "a1", slot: 5)
        let search = try search(1)
        let error = #expect(throws: Failure.self) { try search.find() }
        #expect(error?.code == .notFound && error?.hint?.contains(newer) == true, "\(String(describing: error))")
    }

    @Test func whatCountsAsASnapshotOfTheSlot() throws {
        let clock = SlotClock(lengthMinutes: 60)
        let good = try add("cp-1", 0, clusterID: "a1", slot: clock.slot(at: Self.time))
        try add("cp-3", 1, clusterID: "a1") {
            $0.checkFindings = [Finding(.error, code: "members-disagree", subject: "x", message: "y")]
        }
        try add("cp-3", 2, clusterID: "a1", sequence: 2) { $0.etcd[0].mayBeOld = true }
        try add("cp-3", 3, clusterID: "b2", sequence: 3)
        try add("cp-2", 4)
        let listing = try store.list()
        let seen = listing.snapshots(ofEtcd: "a1", in: "prod", clock)
        #expect(seen.map(\.reference) == [good])
        #expect(seen[0].node == "cp-1" && seen[0].databaseSHA256 == "d1" && seen[0].durationSeconds == 30)
        #expect(listing.snapshots(ofEtcd: "a1", in: "other", clock).isEmpty)
        #expect(listing.hasOtherNodes(than: try StoreScope(cluster: "prod", node: "cp-2"), ofEtcd: "a1"))
        // What cp-2 has stored belongs to no etcd.
        #expect(!listing.hasOtherNodes(than: try StoreScope(cluster: "prod", node: "cp-3"), ofEtcd: "b2"))
        try add("cp-2", 5, sequence: 2) {
            $0.sharedSnapshots = [SharedSnapshot(name: "etcd", clusterID: "b2", slot: 1)]
        }
        #expect(
            try store.list().hasOtherNodes(than: try StoreScope(cluster: "prod", node: "cp-3"), ofEtcd: "b2"))
    }

    /// A clock that was a day ahead must not make a slot of tomorrow look done.
    @Test func aClockThatWasAheadCoversNothing() throws {
        let clock = SlotClock(lengthMinutes: 60)
        try add("cp-1", 1440, clusterID: "a1", slot: clock.slot(at: Self.time.addingTimeInterval(86_400)))
        let later = try add("cp-1", 0, clusterID: "a1", sequence: 2)
        let seen = try store.list().snapshots(ofEtcd: "a1", in: "prod", clock)
        #expect(
            seen.count == 2 && seen.allSatisfy { $0.createdAt == Self.time && $0.slot == clock.slot(at: Self.time) })
        #expect(seen.contains { $0.reference == later })
    }

    /// Files without their snapshot are half a backup.
    @Test func pruningKeepsTheSnapshotsThatKeptFilesWereMadeWith() throws {
        var references: [String] = []
        for index in 0..<6 {
            references.append(try add("cp-1", index * 60, clusterID: "a1", sequence: index + 1))
        }
        try add("cp-2", 1) {
            var shared = SharedSnapshot(name: "etcd", clusterID: "a1", slot: 0)
            shared.reference = references[0]
            $0.sharedSnapshots = [shared]
        }
        var rules = RetentionRules()
        rules.last = 1
        rules.floor.count = 1
        for node in [nil, "cp-1"] {
            let now = Self.time.addingTimeInterval(86_400)
            let plan = try PruneOperation.plan(for: store, cluster: "prod", node: node, rules: rules, now: now)
            let kept = Set(plan.kept.map(\.backup.reference))
            #expect(kept.isSuperset(of: [references[0], references[5]]), "\(kept)")
            #expect(plan.removed.map(\.backup.reference) == Array(references[1..<5]))
            #expect(plan.kept.first { $0.backup.reference == references[0] }?.reasons.first?.contains("cp-2") == true)
        }
    }

    /// What a run does not look at stays, by whatever rules, and so does what it needs.
    @Test func filesThatAreNotLookedAtKeepTheirSnapshots() throws {
        var ofClass: [String] = []
        for index in 0..<4 {
            ofClass.append(
                try add("cp-1", index, clusterID: "a1", sequence: index + 1) { $0.retentionClass = "pre-upgrade" })
        }
        var files: [String] = []
        for index in 0..<5 {
            files.append(
                try add("cp-2", 10 + index, sequence: index + 1) { sidecar in
                    guard index == 0 else { return }
                    var shared = SharedSnapshot(name: "etcd", clusterID: "a1", slot: 0)
                    shared.reference = ofClass[0]
                    sidecar.sharedSnapshots = [shared]
                })
        }
        var rules = RetentionRules()
        rules.last = 1
        rules.floor.count = 1
        rules.classes["pre-upgrade"] = rules
        let now = Self.time.addingTimeInterval(86_400)
        func plan(node: String? = nil, ofClass name: String? = nil) throws -> PrunePlan {
            try PruneOperation.plan(
                for: store, cluster: "prod", node: node, ofClass: name, rules: rules, now: now)
        }
        #expect(try plan().removed.map(\.backup.reference) == Array(ofClass[..<3] + files[..<4]))
        for chosen in [try plan(ofClass: "pre-upgrade"), try plan(node: "cp-1")] {
            #expect(chosen.removed.map(\.backup.reference) == Array(ofClass[1..<3]))
            #expect(chosen.decisions.map(\.backup.reference) == ofClass)
            #expect(chosen.kept.first?.reasons == ["snapshot of \(files[0])"])
            // Two of four are no more than half, and of the others nothing goes.
            #expect(chosen.cautions.isEmpty, "\(chosen.cautions)")
        }
        let other = try plan(node: "cp-2", ofClass: "pre-upgrade")
        #expect(other.decisions.isEmpty && other.cautions.isEmpty)
    }

    /// What was never published has no class that anybody could know.
    @Test func pruningAClassLeavesWhatWasNeverPublished() throws {
        try add("cp-1", 0, clusterID: "a1") { $0.retentionClass = "monthly" }
        let asked = AskedStore(store)
        var rules = RetentionRules()
        rules.last = 1
        rules.classes["monthly"] = rules
        for (name, count) in [("monthly", 0), (nil, 1)] {
            let plan = try PruneOperation.plan(for: asked, cluster: nil, node: nil, ofClass: name, rules: rules)
            #expect(plan.decisions.count == 1)
            _ = try PruneOperation.run(plan)
            #expect(asked.abandonedCount == count)
        }
    }
}

/// A store that counts how often it is to remove what was never published.
private final class AskedStore: Store {
    private let store: LocalStore
    private let count = Mutex(0)

    init(_ store: LocalStore) { self.store = store }

    var abandonedCount: Int { count.withLock(\.self) }

    func removeAbandoned(cluster: String?, node: String?, before date: Date) throws -> [String] {
        count.withLock { $0 += 1 }
        return []
    }

    var name: String { store.name }
    var directory: String? { store.directory }
    func list(cluster: String?, node: String?) throws -> StoreListing { try store.list(cluster: cluster, node: node) }
    func interruptedRemovals(cluster: String?, node: String?) throws -> [StoredBackup] {
        try store.interruptedRemovals(cluster: cluster, node: node)
    }
    func location(of backup: StoredBackup) -> String { store.location(of: backup) }
    func location(of id: BackupID, in scope: StoreScope) -> String { store.location(of: id, in: scope) }
    func open(_ backup: StoredBackup) throws -> any RandomAccessBytes { try store.open(backup) }
    func open(_ id: BackupID, in scope: StoreScope) throws -> any RandomAccessBytes { try store.open(id, in: scope) }
    func writer(for scope: StoreScope) throws -> any StoreWriter { try store.writer(for: scope) }
    func checkWritable(for scope: StoreScope) throws { try store.checkWritable(for: scope) }
    func space() throws -> StoreSpace { try store.space() }
}
