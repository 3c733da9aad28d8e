import Foundation
import HostIO
import SealedArchive
import TestSupport
import Testing

@testable import ArchiveStore

/// In which order backups count, and which is the latest, by what they say of themselves.
@Suite struct BackupOrderTests {
    /// Backups, and what is expected of their order.
    ///
    /// Each is `name:number@minute<previous`, with `*` behind the name where the sidecar was made anew. Runs of removed ones
    /// are `first-last:previous<digest`.
    struct Case: CustomTestStringConvertible, Sendable {
        var what: String
        var backups: String
        var record = ""
        var order: String
        var rivals = ""
        var testDescription: String { what }
    }

    static let cases = [
        Case(what: "nothing", backups: "", order: ""),
        Case(what: "one", backups: "a:1@0", order: "a"),
        Case(what: "a chain", backups: "a:1@0 b:2@1<a c:3@2<b", order: "a b c"),
        Case(what: "a clock that was put back", backups: "a:1@0 b:2@90<a c:3@2<b", order: "a b c"),
        Case(what: "a clock that goes backward all the time", backups: "a:1@9 b:2@5<a c:3@1<b", order: "a b c"),
        Case(what: "a clock from the future", backups: "a:1@0 b:2@9000<a c:3@2<b", order: "a b c"),
        Case(what: "all from the future", backups: "a:1@9000 b:2@8000<a", order: "a b"),
        Case(what: "no chain facts", backups: "a:1@0 b:2@90 c:3@2", order: "a b c"),
        Case(what: "no chain facts, and a gap", backups: "a:1@0 b:4@2 c:5@1", order: "a b c"),
        Case(what: "a sidecar that was made anew", backups: "a:1@5 b*:2@4<a c:3@3<lost", order: "a b c"),
        Case(
            what: "removed between, and the clock put back", backups: "a:1@90 d:4@2<c", record: "2-3:a<c", order: "a d"),
        Case(what: "the first ones removed", backups: "c:3@90<b d:4@2<c", record: "1-2:<b", order: "c d"),
        Case(what: "a gap that nothing explains", backups: "a:1@0 d:4@2<c", order: "a d"),
        Case(
            what: "a gap that nothing explains, and the clock put back", backups: "a:1@90 d:4@2<c", order: "d a",
            rivals: "d"),
        Case(
            what: "a gap, one from the future before it", backups: "a:1@9000 d:4@2<c", order: "d a", rivals: "a"),
        Case(what: "the newest after a gap from the future", backups: "a:1@0 d:4@9000<c", order: "a d"),
        Case(what: "a changed sidecar, times as numbers", backups: "a:1@0 b:2@1<a c:3@2<other", order: "a b c"),
        Case(
            what: "a new store, and the old ones copied back", backups: "n:1@50 a:1@0 b:2@1<a c:3@2<b",
            order: "a b c n", rivals: "c"),
        Case(
            what: "a new store with more than one", backups: "n:1@50 m:2@51<n a:1@0 b:2@1<a", order: "a b n m",
            rivals: "b"),
        Case(what: "a new store, and a middle one of the old", backups: "n:1@50 d:4@2<c", order: "d n", rivals: "d"),
        Case(
            what: "old ones copied back, then one more", backups: "n:1@50 a:1@0 b:2@1<a c:3@60<b", order: "a b n c"),
        Case(
            what: "a copy that was written to", backups: "a:1@0 b:2@1<a x:2@9<a c:3@5<b", order: "a b c x", rivals: "c"),
        Case(what: "two of one number at the end", backups: "a:1@0 b:2@1<a x:2@9<a", order: "a b x", rivals: "b"),
        Case(
            what: "two of one number, one from the future", backups: "a:1@0 b:2@1<a x:2@9000<a", order: "a b x",
            rivals: "x"),
        Case(
            what: "two of one number far back", backups: "a:1@0 x:1@-9 b:2@1<a c:3@2<b", order: "x a b c"),
        Case(
            what: "a fork from a clock that was ahead", backups: "a:1@90 b:2@1<a x:2@2<a", order: "a b x", rivals: "b"),
        Case(what: "a digest of itself", backups: "a:1@0<a", order: "a"),
        Case(what: "digests in a circle", backups: "a:2@0<b b:2@1<a", order: "a b", rivals: "a"),
    ]

    private static let now = Date(timeIntervalSince1970: 1_795_402_800)

    @Test(arguments: cases)
    func withinAChainTheNumberDecidesAndBetweenChainsTheTime(_ test: Case) throws {
        var names: [String] = []
        var backups = try test.backups.split(separator: " ").map { text in
            let parts = try #require(text.wholeMatch(of: #/(\w+)(\*?):(\d+)@(-?\d+)(?:<(\w+))?/#)).output
            names.append(String(parts.1))
            // A hundred minutes back is the beginning of all.
            let time = Self.now + (Double(try #require(Int(parts.4))) - 100) * 60
            return OrderedBackup(
                id: BackupID(time: time), sequence: try #require(Int(parts.3)), createdAt: time,
                sidecarSHA256: String(parts.1) + String(parts.2), previousSidecarSHA256: parts.5.map(String.init),
                isRebuilt: !parts.2.isEmpty)
        }
        var record = ChainRecord()
        record.removed = try test.record.split(separator: " ").map { text in
            let parts = try #require(text.wholeMatch(of: #/(\d+)-(\d+):(\w*)<(\w*)/#)).output
            return .init(
                firstSequence: try #require(Int(parts.1)), lastSequence: try #require(Int(parts.2)),
                previousSidecarSHA256: parts.3.isEmpty ? nil : String(parts.3), sidecarSHA256: String(parts.4))
        }
        for _ in 0..<4 {
            let order = BackupOrder(backups, record: record, now: Self.now)
            #expect(order.indices.map { names[$0] } == test.order.split(separator: " ").map(String.init))
            #expect(order.rivals.map { names[$0] }.sorted() == test.rivals.split(separator: " ").map(String.init))
            let isFromTheFuture = order.latest.map { BackupOrder.isFuture(backups[$0].createdAt, at: Self.now) }
            let passedOver = isFromTheFuture == false && order.latest != order.indices.last
            #expect(order.latest == order.indices.last || passedOver)
            // The order in which they were read tells nothing.
            let turned = names.indices.map { ($0 + 1) % names.count }
            (names, backups) = (turned.map { names[$0] }, turned.map { backups[$0] })
        }
    }
}

/// That a store in which two chains are says so, and which counts.
@Suite struct DisputedStoreTests {
    let scratch: TemporaryDirectory
    let laboratory: StoreLaboratory
    let scope: StoreScope

    init() throws {
        scratch = try TemporaryDirectory()
        laboratory = StoreLaboratory(root: scratch.file("store"))
        scope = try laboratory.scope()
    }

    private func copy(_ backup: StoredBackup, of store: StoreLaboratory, to directory: String) throws {
        for name in [backup.archiveName, backup.sidecarName] {
            try run("cp", ["\(store.directory(scope))/\(name)", directory])
        }
    }

    /// The store was lost, a new one was begun, and then old backups were found elsewhere.
    @Test(arguments: [false, true])
    func oldBackupsAreCopiedIntoANewStore(isFlat: Bool) throws {
        let old = try (0..<3).map { try laboratory.add($0, to: scope) }
        let new = StoreLaboratory(root: scratch.file("new"))
        let first = try new.add(50, to: scope)
        let directory = isFlat ? new.root : new.directory(scope)
        for backup in old { try copy(backup, of: laboratory, to: directory) }

        let listing = try new.store.list()
        #expect(listing.backups.map(\.id) == old.map(\.id) + [first.id])
        #expect(listing.latestOfNodes.map(\.id) == [first.id])
        let dispute = try #require(listing.disputes.first)
        #expect(listing.chain.contains(dispute) && dispute.code.rawValue == "backup-chains-disagree")
        #expect(dispute.message.contains("\(first.id) (number 1)"))
        #expect(dispute.message.contains("\(old[2].id) (number 3)"))
        // The next one is the newest by any measure, and where it goes no number is taken.
        let next = try new.add(60, to: scope)
        #expect(next.sidecar.sequence == (isFlat ? 2 : 4))
        #expect(try new.store.list().latestOfNodes.map(\.id) == [next.id])
        #expect(try new.store.list().disputes.isEmpty != isFlat)
    }

    /// The same archive flat and in its place is one.
    @Test func aCopyBesideTheStoreDisputesNothing() throws {
        let backups = try (0..<3).map { try laboratory.add($0, to: scope) }
        for backup in backups { try copy(backup, of: laboratory, to: laboratory.root) }
        let listing = try laboratory.store.list()
        #expect(listing.chain.isEmpty && listing.latestOfNodes.map(\.id) == [backups[2].id])
    }
}
