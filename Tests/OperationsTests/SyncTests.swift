import Age
import ArchiveStore
import Foundation
import HostIO
import SealedArchive
import TestSupport
import Testing

@testable import Operations

/// Archives are brought from store to store, and both are as they should be afterwards.
@Suite struct SyncTests {
    private let scratch: TemporaryDirectory
    private let scope: StoreScope
    private let local: NamedStore
    private let offsite: NamedStore

    init() throws {
        scratch = try TemporaryDirectory()
        scope = try StoreScope(cluster: "prod", node: "cp-0")
        local = NamedStore(LocalStore(root: scratch.file("local")), name: "local")
        offsite = NamedStore(LocalStore(root: scratch.file("offsite")), name: "offsite")
    }

    private static let start = Date(timeIntervalSince1970: 1_795_402_800)

    /// Makes a backup as a run does, `hour` hours after the first.
    @discardableResult
    private func make(
        _ hour: Int, in store: NamedStore? = nil, of scope: StoreScope? = nil, byteCount: Int = 1000
    ) throws -> StoredBackup {
        let (store, scope) = ((store ?? local).store, scope ?? self.scope)
        let writer = try store.writer(for: scope)
        let time = Self.start + Double(hour) * 3600
        let header = ArchiveHeader(
            id: BackupID(time: time), cluster: scope.cluster, node: scope.node, createdAt: time)
        let file = try writer.begin(header.id)
        let archive = try ArchiveWriter(
            to: file, recipients: [X25519Identity.generate().recipient], header: header,
            options: CompressionOptions(frameSize: 4096, coreCount: 1))
        var random = SeededGenerator(seed: UInt64(hour))
        let noise = (0..<byteCount / 8).map { _ in String(random.next(), radix: 36) }.joined()
        var manifest = Manifest(archive: header)
        var record = RunRecord(startedAt: time)
        record.notes = [noise]
        manifest.run = record
        let link = try writer.nextLink(after: store.list())
        manifest.sequence = link.sequence
        manifest.previousSidecarSHA256 = link.previousSidecarSHA256
        let sealed = try archive.finish(manifest)
        let sidecar = Sidecar(
            manifest: manifest, sealed: sealed, recipients: [], completedAt: time, sequence: link.sequence,
            previousSidecarSHA256: link.previousSidecarSHA256)
        let document = try SidecarDocument(sidecar)
        try file.publish(document)
        return StoredBackup(document, in: scope)
    }

    @discardableResult
    private func sync(
        from source: NamedStore? = nil, to target: NamedStore? = nil, includesRemoved: Bool = false
    ) async throws -> SyncReport {
        try await SyncOperation(
            from: StoreSet([source ?? local]), to: StoreSet([target ?? offsite]), includesRemoved: includesRemoved
        ).run()
    }

    private func ids(_ store: NamedStore) throws -> [BackupID] { try store.store.list().backups.map(\.id) }

    /// That a store has nothing that `list` would warn of.
    private func expectSound(_ store: NamedStore, sourceLocation: SourceLocation = #_sourceLocation) throws {
        let listing = try store.store.list()
        #expect(listing.chain.map(\.message) == [], sourceLocation: sourceLocation)
        #expect(listing.problems.map(\.message) == [], sourceLocation: sourceLocation)
    }

    private func change(_ path: String, at offset: Int) throws {
        let handle = try #require(FileHandle(forUpdatingAtPath: path))
        try handle.seek(toOffset: UInt64(offset))
        let byte = try #require(try handle.read(upToCount: 1)?.first)
        try handle.seek(toOffset: UInt64(offset))
        try handle.write(contentsOf: Data([byte ^ 1]))
        try handle.close()
    }

    @Test func anEmptyStoreIsFilledByteForByte() async throws {
        let backups = try (0..<5).map { try make($0, byteCount: $0 == 2 ? 6_000_000 : 1000) }
        let other = try make(3, of: StoreScope(cluster: "prod", node: "cp-1"))
        let report = try await sync()
        #expect(report.targets[0].copied.map(\.reference) == (backups + [other]).map(\.reference))
        #expect(report.failure == nil && report.findings.isEmpty)
        try expectSound(offsite)
        for backup in backups + [other] {
            let archives = [local, offsite].map { $0.store.location(of: backup) }
            for paths in [archives, archives.map { $0.replacing(".tar.zst.age", with: ".json") }] {
                #expect(
                    try Data(contentsOf: URL(filePath: paths[0])) == Data(contentsOf: URL(filePath: paths[1])))
            }
        }
        // The number of the next one is the same in both.
        #expect(try local.store.list().nextLink(in: scope) == offsite.store.list().nextLink(in: scope))
        let again = try await sync()
        #expect(again.targets[0].copied.isEmpty && again.failure == nil)
        #expect(try await sync(from: offsite, to: local).targets[0].copied.isEmpty)
    }

    private func drill(_ backup: StoredBackup, at hour: Int, in store: NamedStore) throws {
        let record = DrillRecord(
            of: backup.sidecar.archive, manifestSHA256: backup.sidecar.manifestSHA256,
            startedAt: Self.start + Double(hour) * 3600,
            host: .init(coreCount: 1, availableMemory: nil, isScratchInMemory: true))
        let page: [UInt8] = Array("page".utf8)
        try store.store.writer(for: backup.scope).keep(DrillDocument(record, page: page), of: backup)
    }

    private func drillHours(_ store: NamedStore) throws -> [Int?] {
        try store.store.list().backups.map { backup in
            backup.drill.map { Int($0.startedAt.timeIntervalSince(Self.start) / 3600) }
        }
    }

    @Test func theNewestRecordOfADrillComesToo() async throws {
        let backups = try (0..<3).map { try make($0) }
        try drill(backups[1], at: 5, in: local)
        #expect(try await sync().targets[0].drilled == [backups[1].reference])
        #expect(try drillHours(offsite) == [nil, 5, nil])
        // Each way, and later ones only.
        try drill(backups[1], at: 7, in: offsite)
        try drill(backups[2], at: 6, in: local)
        #expect(try await sync().targets[0].drilled == [backups[2].reference])
        #expect(try await sync(from: offsite, to: local).targets[0].drilled == [backups[1].reference])
        for store in [local, offsite] {
            #expect(try drillHours(store) == [nil, 7, 6])
            try expectSound(store)
        }
        let again = try await sync()
        #expect(again.targets[0].drilled.isEmpty && again.targets[0].copied.isEmpty)
        let files = try FileManager.default.contentsOfDirectory(atPath: scratch.file("offsite/prod/cp-0"))
        #expect(files.count { $0.contains(".drill-") } == 4)
    }

    /// Gaps of removals come over as what they are, wherever they are.
    @Test(arguments: [[0], [0, 1], [2], [1, 3], [4], [3, 4], [0, 1, 2, 3, 4]])
    func whatTheSourceHasRemovedIsNotMissing(indices: [Int]) async throws {
        let backups = try (0..<5).map { try make($0) }
        for index in indices { try local.store.writer(for: scope).delete(backups[index]) }
        try await sync()
        guard indices.count < 5 else { return }
        try expectSound(offsite)
        #expect(try ids(offsite) == ids(local))
        #expect(try local.store.list().nextLink(in: scope) == offsite.store.list().nextLink(in: scope))
        // The other way nothing comes back.
        #expect(try await sync(from: offsite, to: local).targets[0].copied.isEmpty)
    }

    @Test func whatIsMissingInTheSourceIsMissingInTheTarget() async throws {
        let backups = try (0..<4).map { try make($0) }
        let path = local.store.location(of: backups[1])
        try run("rm", [path, path.replacing(".tar.zst.age", with: ".json")])
        try await sync()
        #expect(try offsite.store.list().chain.map(\.code.rawValue) == ["backup-missing"])
    }

    @Test func whatWasRemovedOnPurposeStaysAway() async throws {
        let backups = try (0..<4).map { try make($0) }
        try await sync()
        try offsite.store.writer(for: scope).delete(backups[1])
        try offsite.store.writer(for: scope).delete(backups[3])
        let report = try await sync()
        #expect(report.targets[0].copied.isEmpty && report.targets[0].omittedCount(.removed) == 2)
        try expectSound(offsite)
        let told = try await sync(includesRemoved: true)
        #expect(told.targets[0].copied.map(\.reference) == [backups[1].reference, backups[3].reference])
        try expectSound(offsite)
        #expect(try ids(offsite) == backups.map(\.id))
        // What is there again can be removed again.
        try offsite.store.writer(for: scope).delete(backups[1])
        #expect(try await sync().targets[0].copied.isEmpty)
        try expectSound(offsite)
    }

    /// A store that was down gets what it missed, though newer ones are there.
    @Test func gapsAreFilled() async throws {
        for hour in 0..<3 { try make(hour) }
        try await sync()
        let missed = try make(3)
        try make(4)
        let newest = try #require(try local.store.list().latest(in: scope))
        // The newest goes first, as in a run.
        try ArchiveCopy(backup: newest, source: local).run(to: offsite.store.writer(for: scope))
        #expect(try offsite.store.list().chain.map(\.code.rawValue) == ["backup-missing"])
        let report = try await sync()
        #expect(report.targets[0].copied.map(\.reference) == [missed.reference])
        try expectSound(offsite)
    }

    @Test func rulesOfTheTargetKeepOldOnesAway() async throws {
        let backups = try (0..<10).map { try make($0) }
        var rules = RetentionRules()
        rules.last = 2
        rules.floor.count = 1
        let limited = NamedStore(offsite.store, name: "offsite", rules: rules)
        let report = try await sync(to: limited)
        #expect(report.targets[0].copied.map(\.reference) == backups.suffix(2).map(\.reference))
        #expect(report.targets[0].omittedCount(.expired) == 8)
        try expectSound(offsite)
        // A prune right after it has nothing to do.
        let plan = try PruneOperation.plan(
            for: offsite.store, cluster: nil, node: nil, rules: rules, now: Self.start + 86_400)
        #expect(plan.removed.isEmpty)
        #expect(try await sync(to: limited).targets[0].copied.isEmpty)
    }

    @Test func aDamagedArchiveKeepsNoOtherBack() async throws {
        let backups = try (0..<4).map { try make($0) }
        try change(local.store.location(of: backups[1]), at: backups[1].sidecar.object.size - 100)
        try change(local.store.location(of: backups[2]), at: 30)
        let report = try await sync()
        #expect(report.targets[0].copied.map(\.reference) == [backups[0].reference, backups[3].reference])
        #expect(report.findings.map(\.code) == ["backup-damaged", "backup-damaged"])
        #expect(report.findings.map(\.subject) == [backups[1].reference, backups[2].reference])
        #expect(report.failure == nil && report.targets[0].omittedCount(.damaged) == 2)
        #expect(try ids(offsite) == [backups[0].id, backups[3].id])
        // Nothing of them is left there, under any name.
        let left = try FileManager.default.contentsOfDirectory(atPath: scratch.file("offsite/prod/cp-0"))
        #expect(left.filter { !["chain.json", ".lock"].contains($0) }.count == 4, "\(left)")
    }

    /// One that another store has whole is taken from there.
    @Test func aDamagedArchiveIsTakenFromAnotherStore() async throws {
        let backups = try (0..<3).map { try make($0) }
        let third = NamedStore(LocalStore(root: scratch.file("third")), name: "third")
        try await sync(to: third)
        try change(local.store.location(of: backups[1]), at: backups[1].sidecar.object.size - 50)
        let report = try await SyncOperation(from: StoreSet([local, third]), to: StoreSet([offsite])).run()
        #expect(report.targets[0].copied.map(\.source) == ["local", "third", "local"])
        #expect(report.findings.map(\.code) == ["backup-damaged"])
        try expectSound(offsite)
    }

    @Test func anArchiveThatIsCutShortIsAFinding() async throws {
        let backups = try (0..<2).map { try make($0) }
        try run("truncate", ["-s", "-1", local.store.location(of: backups[0])])
        let report = try await sync()
        #expect(report.targets[0].copied.map(\.reference) == [backups[1].reference])
        #expect(report.findings.map(\.code) == ["backup-damaged"])
    }

    /// An archive that lost its sidecar gets it back, and only that is copied; another archive of its name does not.
    @Test func aLostSidecarComesBack() async throws {
        let backups = try (0..<2).map { try make($0) }
        try await sync()
        for backup in backups {
            try run("rm", [offsite.store.location(of: backup).replacing(".tar.zst.age", with: ".json")])
        }
        try change(offsite.store.location(of: backups[1]), at: backups[1].sidecar.object.size - 50)
        let report = try await sync()
        #expect(report.targets[0].copied.map(\.isSidecarAlone) == [true])
        #expect(report.targets[0].omitted.map(\.reference) == [backups[1].reference])
        #expect(report.findings.map(\.subject) == [backups[1].reference])
        #expect(try ids(offsite) == [backups[0].id])
    }

    @Test func copiesThatDifferAreTold() async throws {
        let backup = try make(0)
        try await sync()
        var sidecar = backup.sidecar
        sidecar.completedAt += 60
        let path = offsite.store.location(of: backup).replacing(".tar.zst.age", with: ".json")
        try Data(DocumentCoding.encode(sidecar)).write(to: URL(filePath: path))
        #expect(try await sync().findings.map(\.code) == ["backup-copies-differ"])
    }

    /// One store that can't be used keeps the others from nothing.
    @Test func everyStoreIsTried() async throws {
        let backups = try (0..<3).map { try make($0) }
        let broken = NamedStore(LocalStore(root: try scratch.write("x", to: "file") + "/store"), name: "broken")
        let stores = StoreSet([broken, local, offsite])
        let report = try await SyncOperation(from: stores, to: stores).run()
        #expect(try ids(offsite) == backups.map(\.id))
        #expect(report.targets.map { $0.error != nil } == [true, false, false])
        #expect(report.failure?.message.contains("broken") == true)
    }

    @Test func aDryRunChangesNothing() async throws {
        try make(0)
        try make(1)
        let report = try SyncOperation(from: StoreSet([local]), to: StoreSet([offsite])).preview()
        #expect(report.targets[0].copied.count == 2 && report.dryRun)
        #expect(!FileManager.default.fileExists(atPath: scratch.file("offsite")))
    }

    /// The stores of one chain take turns at being the first: their union is one.
    @Test func bothWaysMakeBothWhole() async throws {
        try make(0)
        try await sync()
        let joined = try local.store.list().joined(with: [offsite.store.list()])
        #expect(joined.backups.count == 1 && joined.nextLink(in: scope).sequence == 2)
        try make(1, in: offsite)
        let both = StoreSet([local, offsite])
        let report = try await SyncOperation(from: both, to: both).run()
        #expect(report.targets.map(\.copied.count) == [1, 0])
        try expectSound(local)
        try expectSound(offsite)
    }
}
