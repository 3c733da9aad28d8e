import ArchiveStore
import Foundation
import HostIO
import SealedArchive
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
