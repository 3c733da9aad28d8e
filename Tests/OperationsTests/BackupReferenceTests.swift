import ArchiveStore
import Foundation
import HostIO
import SealedArchive
import Synchronization
import TestSupport
import Testing

@testable import Operations

@Suite struct BackupReferenceTests {
    let scratch: TemporaryDirectory
    let store: LocalStore

    static let old = "20261122T030000Z-aaaaaa"
    static let twin = "20261123T030000Z-abc234"
    static let other = "20261123T030000Z-abc777"
    static let new = "20261124T030000Z-zzzzzz"

    init() throws {
        scratch = try TemporaryDirectory()
        store = LocalStore(root: scratch.file("store"))
        for (id, cluster, node) in [
            (Self.old, "a", "n1"), (Self.twin, "a", "n1"), (Self.other, "a", "n2"), (Self.new, "b", "n1"),
        ] {
            try add(#require(BackupID(id)), to: StoreScope(cluster: cluster, node: node), of: store)
        }
    }

    private func find(_ text: String, cluster: String? = nil, node: String? = nil) throws -> String {
        try BackupReference(text, cluster: cluster, node: node).find(in: store).reference
    }

    @Test func latestIsTheNewestOfWhatIsAskedFor() throws {
        let error = #expect(throws: Failure.self) { try find("latest") }
        #expect(error?.code == .usage && error?.hint?.contains("a, b") == true && error?.settings == [.cluster])
        #expect(try find("latest", cluster: "b") == "b/n1/\(Self.new)")
        #expect(try find("latest", cluster: "a") == "a/n2/\(Self.other)")
        #expect(try find("latest", cluster: "a", node: "n1") == "a/n1/\(Self.twin)")
        #expect(try find("a/n1/latest", cluster: "b") == "a/n1/\(Self.twin)")
    }

    /// A store of its own, with a backup for each node and year, the numbers in this order.
    private func store(_ backups: [(node: String, year: Int)]) throws -> LocalStore {
        let store = LocalStore(root: scratch.file("years"))
        for (index, backup) in backups.enumerated() {
            let date = try Date("\(backup.year)-01-01T00:00:00Z", strategy: .iso8601)
            try add(
                BackupID(time: date), to: StoreScope(cluster: "a", node: backup.node), of: store, createdAt: date,
                sequence: index + 1)
        }
        return store
    }

    private func latest(_ store: LocalStore, node: String? = nil) throws -> (reference: String, warnings: [String]) {
        let warnings = Mutex<[String]>([])
        let observer = Observer(warn: { text in warnings.withLock { $0.append(text) } })
        let found = try BackupReference("latest", node: node).find(in: store, observer: observer)
        return (found.reference, warnings.withLock { $0 })
    }

    /// A node whose clock was five years ahead, and then was put right.
    @Test func withinANodeTheNumberDecides() throws {
        let store = try store([("n1", 2025), ("n1", 2031), ("n1", 2026)])
        let found = try latest(store)
        #expect(found.reference.hasPrefix("a/n1/2026") && found.warnings.isEmpty)
    }

    @Test func acrossNodesTheFutureIsPassedOver() throws {
        let store = try store([("n1", 2025), ("n2", 2026), ("n1", 2031)])
        let found = try latest(store)
        #expect(found.reference.hasPrefix("a/n2/2026"))
        #expect(found.warnings.count == 1 && found.warnings[0].contains("a/n1/2031"))
        // Of that node alone it is the newest.
        let own = try latest(store, node: "n1")
        #expect(own.reference.hasPrefix("a/n1/2031") && own.warnings.count == 1)
    }

    @Test func theFutureIsAllThereIs() throws {
        let found = try latest(store([("n1", 2031), ("n2", 2030)]))
        #expect(found.reference.hasPrefix("a/n1/2031") && !found.warnings.isEmpty)
    }

    @Test func latestIsNotDeletedWhileOneIsFromTheFuture() throws {
        let store = try store([("n1", 2025), ("n2", 2026), ("n1", 2031)])
        let error = #expect(throws: Failure.self) { try DeleteOperation.find([BackupReference("latest")], in: store) }
        #expect(error?.code == .usage && error?.message.contains("a/n1/2031") == true)
        #expect(try DeleteOperation.find([BackupReference("2031")], in: store).count == 1)
    }

    /// A store that was begun anew, into which a backup of the old one was copied.
    @Test func chainsThatDisagreeAreSaidAndNotDeletedByLatest() throws {
        let store = LocalStore(root: scratch.file("disputed"))
        let scope = try StoreScope(cluster: "a", node: "n1")
        for (time, number) in [("2026-02-01T00:00:00Z", 1), ("2026-01-01T00:00:00Z", 7)] {
            let date = try Date(time, strategy: .iso8601)
            try add(BackupID(time: date), to: scope, of: store, createdAt: date, sequence: number)
        }
        let found = try latest(store)
        #expect(found.reference.hasPrefix("a/n1/20260201"))
        let warning = try #require(found.warnings.first)
        #expect(found.warnings.count == 1 && warning.contains("20260201") && warning.contains("(number 7)"))
        #expect(warning.contains("between chains the time decides"))
        let error = #expect(throws: Failure.self) { try DeleteOperation.find([BackupReference("latest")], in: store) }
        #expect(error?.code == .usage && error?.message.contains("20260101") == true)
        #expect(try DeleteOperation.find([BackupReference("202601")], in: store).count == 1)
    }

    @Test func aWrongNameIsAnsweredWithTheNamesThatThereAre() throws {
        for (text, cluster, node, names) in [
            ("latest", "typo", nil, "a, b"), ("typo/n1/latest", nil, nil, "a, b"), ("2026", "typo", "n1", "a, b"),
            ("latest", "a", "n9", "n1, n2"), ("a/n9/2026", nil, nil, "n1, n2"), ("2026", nil, "n9", "n1, n2"),
        ] as [(String, String?, String?, String)] {
            let error = #expect(throws: Failure.self) { try find(text, cluster: cluster, node: node) }
            #expect(error?.code == .notFound && error?.hint?.contains(names) == true, "\(text): \(error?.hint ?? "")")
        }
    }

    @Test func anIDOrItsBeginningIsEnough() throws {
        #expect(try find(Self.old) == "a/n1/\(Self.old)")
        #expect(try find("20261122") == "a/n1/\(Self.old)")
        #expect(try find("20261123T030000Z-abc2") == "a/n1/\(Self.twin)")
        #expect(try find("20261123", node: "n2") == "a/n2/\(Self.other)")
        #expect(try find("a/n2/20261123") == "a/n2/\(Self.other)")
    }

    @Test func severalAreAnErrorThatNamesThem() throws {
        let error = #expect(throws: Failure.self) { try find("20261123") }
        #expect(error?.code == .usage)
        #expect(error?.message == "\"20261123\" fits 2 backups")
        #expect(error?.hint?.contains("a/n1/\(Self.twin), a/n2/\(Self.other)") == true)
    }

    @Test func noneIsNotFound() throws {
        for text in ["20301231", "b/n1/\(Self.old)", "c/n/latest", "\(Self.old)x", "LATEST"] {
            let error = #expect(throws: Failure.self, "\(text)") { try find(text) }
            #expect(error?.code == .notFound)
        }
        let empty = LocalStore(root: scratch.file("empty"))
        try run("mkdir", [empty.root])
        let error = #expect(throws: Failure.self) { try BackupReference("latest").find(in: empty) }
        #expect(error?.code == .notFound)
    }

    /// A link that is not followed says nothing of other backups.
    @Test func aLinkHidesNothingElse() throws {
        try run("mkdir", [scratch.file("elsewhere")])
        try run("ln", ["-s", scratch.file("elsewhere"), scratch.file("store/link")])
        let error = #expect(throws: Failure.self) { try find("2000") }
        #expect(error?.code == .notFound)
        let orphan = #expect(throws: Failure.self) { try BackupReference("2000").findOrphan(in: store) }
        #expect(orphan?.code == .notFound)
        // Nor does it keep a removal from coming to its end.
        for name in ["\(Self.old).json", "\(Self.old).tar.zst.age"] {
            try run("mv", [scratch.file("store/a/n1/\(name)"), scratch.file("store/a/n1/.pending-\(name)")])
        }
        #expect(throws: Failure.self) { try find(Self.old) }
        let removals = try DeleteOperation.find([BackupReference(Self.old)], in: store)
        #expect(removals.map(\.reference) == ["a/n1/\(Self.old)"])
        try DeleteOperation.run(removals, in: store)
        #expect(try !store.list().backups.isEmpty)
    }

    @Test func anUnreadableSidecarIsDamage() throws {
        try scratch.write("{", to: "store/a/n1/\(Self.old).json")
        let error = #expect(throws: Failure.self) { try find(Self.old) }
        #expect(error?.code == .integrity)
        #expect(error?.message.contains("\(Self.old).json") == true)
    }

    @Test(arguments: ["", "a/b", "a/b/", "a/b/c/d", "/"])
    func otherTextIsAUsageError(text: String) {
        let error = #expect(throws: Failure.self) { try BackupReference(text) }
        #expect(error?.code == .usage)
    }
}
