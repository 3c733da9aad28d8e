import Foundation
import HostIO
import SealedArchive
import TestSupport
import Testing

@testable import ArchiveStore

/// That numbers and digests of a node's backups tell what is missing, changed or there twice.
@Suite struct ChainTests {
    let scratch: TemporaryDirectory
    let laboratory: StoreLaboratory
    let scope: StoreScope
    var store: LocalStore { laboratory.store }
    var directory: String { laboratory.directory(scope) }

    init() throws {
        scratch = try TemporaryDirectory()
        laboratory = StoreLaboratory(root: scratch.file("store"))
        scope = try laboratory.scope()
    }

    private func codes() throws -> [String] { try store.list().chain.map(\.code.rawValue) }

    private func removeByHand(_ backup: StoredBackup) throws {
        try run("rm", [store.location(of: backup), "\(directory)/\(backup.sidecarName)"])
    }

    @Test func aWholeChainHasNoProblem() throws {
        let backups = try (0..<4).map { try laboratory.add($0, to: scope) }
        #expect(backups.map(\.sidecar.sequence) == [1, 2, 3, 4])
        #expect(try codes() == [])
        #expect(try mode("\(directory)/chain.json") == 0o600)
    }

    /// Whatever is removed with this program, in whatever order, is not missing, and its number is not given again.
    @Test(arguments: [[3], [0], [1, 2], [2, 1], [3, 2], [0, 1, 2, 3], [3, 0, 1]])
    func whatIsRemovedIsNotMissing(indices: [Int]) throws {
        let backups = try (0..<4).map { try laboratory.add($0, to: scope) }
        for index in indices { try store.writer(for: scope).delete(backups[index]) }
        #expect(try codes() == [])
        let next = try laboratory.add(9, to: scope)
        #expect(next.sidecar.sequence == 5)
        #expect(next.sidecar.previousSidecarSHA256 == backups[3].sidecarSHA256)
        #expect(try codes() == [])
        let record = try ChainRecord.read(in: OpenDirectory(path: directory))
        #expect(record.removed.reduce(0) { $0 + $1.lastSequence - $1.firstSequence + 1 } == indices.count)
        if indices != [3, 0, 1] { #expect(record.removed.count == 1) }
    }

    @Test(arguments: 0..<4)
    func whatOthersRemoveIsMissing(index: Int) throws {
        let backups = try (0..<4).map { try laboratory.add($0, to: scope) }
        try removeByHand(backups[index])
        let problem = try #require(try store.list().chain.first)
        #expect(try codes() == ["backup-missing"])
        #expect(problem.subject == "prod/cp-0 number \(index + 1)")
        // The next one does not take its number, and it stays known as missing.
        #expect(try laboratory.add(9, to: scope).sidecar.sequence == 5)
        #expect(try codes() == ["backup-missing"])
        // Removing what is around it is no way to hide it, until all of it is gone.
        if index == 1 { try store.writer(for: scope).delete(backups[2]) }
        #expect(try codes() == ["backup-missing"])
    }

    @Test func allRemovedByOthersAreMissing() throws {
        for backup in try (0..<3).map({ try laboratory.add($0, to: scope) }) { try removeByHand(backup) }
        let problem = try #require(try store.list().chain.first)
        #expect(problem.subject == "prod/cp-0 numbers 1 to 3" && problem.message.contains("are missing"))
    }

    @Test(arguments: 0..<3)
    func aChangedSidecarBreaksTheChain(index: Int) throws {
        let backups = try (0..<3).map { try laboratory.add($0, to: scope) }
        var sidecar = backups[index].sidecar
        sidecar.completedAt += 60
        let bytes = try DocumentCoding.encode(sidecar)
        try Data(bytes).write(to: URL(filePath: "\(directory)/\(backups[index].sidecarName)"))
        #expect(try codes() == ["backup-chain-broken"])
        // Also over what was removed after it.
        if index == 0 {
            try store.writer(for: scope).delete(backups[1])
            #expect(try codes() == ["backup-chain-broken"])
        }
    }

    /// A copy of the store that was written to is copied back.
    @Test func twoOfOneNumberAreAFork() throws {
        try laboratory.add(0, to: scope)
        try run("cp", ["-a", laboratory.root, scratch.file("copy")])
        let copy = StoreLaboratory(root: scratch.file("copy"))
        let other = try copy.add(5, to: scope)
        try laboratory.add(1, to: scope)
        #expect(try codes() == [])
        for name in [other.archiveName, other.sidecarName] {
            try run("cp", ["\(copy.directory(scope))/\(name)", directory])
        }
        let problem = try #require(try store.list().chain.first)
        #expect(problem.code == .reused && problem.subject == "prod/cp-0 number 2")
        #expect(problem.message.contains(other.reference))
    }

    /// A store of an earlier version has no record: what is whole is whole, and a gap shows.
    @Test func aStoreWithoutARecordIsRead() throws {
        let backups = try (0..<4).map { try laboratory.add($0, to: scope) }
        try run("rm", ["\(directory)/chain.json"])
        #expect(try codes() == ["backup-chain-unknown"])
        #expect(try laboratory.add(7, to: scope).sidecar.sequence == 5)
        #expect(try codes() == [])
        try run("rm", ["\(directory)/chain.json"])
        try removeByHand(backups[1])
        #expect(try codes() == ["backup-chain-unknown", "backup-missing"])
    }

    /// The first backup has its name before there is a record.
    @Test func theFirstBackupNeedsNoRecord() throws {
        let first = try laboratory.add(to: scope)
        try run("rm", ["\(directory)/chain.json"])
        #expect(try codes() == [])
        try removeByHand(first)
        #expect(try codes() == [])
    }

    /// A changed sidecar is a finding until it is removed, or right again; what is around it does not hide it.
    @Test(arguments: 0..<3, [false, true])
    func removingAChangedSidecarEndsIt(index: Int, isContinued: Bool) throws {
        let backups = try (0..<3).map { try laboratory.add($0, to: scope) }
        var sidecar = backups[index].sidecar
        sidecar.completedAt += 60
        sidecar.previousSidecarSHA256 = index == 0 ? nil : String(repeating: "ab", count: 32)
        let path = "\(directory)/\(backups[index].sidecarName)"
        try Data(DocumentCoding.encode(sidecar)).write(to: URL(filePath: path))
        #expect(try Set(codes()) == ["backup-chain-broken"])
        if isContinued { #expect(try laboratory.add(9, to: scope).sidecar.sequence == 4) }
        #expect(try Set(codes()) == ["backup-chain-broken"])
        let changed = try #require(try store.list().backups.first { $0.id == backups[index].id })
        try store.writer(for: scope).delete(changed)
        #expect(try codes() == [])
        #expect(try laboratory.add(10, to: scope).sidecar.sequence == (isContinued ? 5 : 4))
        #expect(try codes() == [])
    }

    /// The number of the newest is what was published, whatever its sidecar says by now.
    @Test func removingAMadeUpNumberEndsIt() throws {
        let newest = try (0..<3).map { try laboratory.add($0, to: scope) }[2]
        var sidecar = newest.sidecar
        sidecar.sequence = 5000
        try Data(DocumentCoding.encode(sidecar)).write(to: URL(filePath: "\(directory)/\(newest.sidecarName)"))
        #expect(try codes() == ["backup-missing"])
        let changed = try #require(try store.list().backups.first { $0.id == newest.id })
        try store.writer(for: scope).delete(changed)
        #expect(try codes() == [])
        #expect(try laboratory.add(9, to: scope).sidecar.sequence == 4)
        #expect(try codes() == [])
    }

    /// Whichever of two with one number is removed, the other one is all there is.
    @Test(arguments: [true, false])
    func removingOneOfTwoEndsTheFork(removesOwn: Bool) throws {
        try laboratory.add(0, to: scope)
        try run("cp", ["-a", laboratory.root, scratch.file("copy")])
        let copy = StoreLaboratory(root: scratch.file("copy"))
        let other = try copy.add(5, to: scope)
        let own = try laboratory.add(1, to: scope)
        for name in [other.archiveName, other.sidecarName] {
            try run("cp", ["\(copy.directory(scope))/\(name)", directory])
        }
        #expect(try codes().contains("backup-number-reused"))
        try store.writer(for: scope).delete(removesOwn ? own : other)
        #expect(try codes() == [])
        #expect(try laboratory.add(10, to: scope).sidecar.sequence == 3)
        #expect(try codes() == [])
    }

    /// One that is there and can't be read is told as that, and not as missing too.
    @Test func whatCannotBeReadIsNotMissing() throws {
        let backups = try (0..<3).map { try laboratory.add($0, to: scope) }
        try scratch.write("{", to: "store/prod/cp-0/\(backups[1].sidecarName)")
        try run("rm", ["\(directory)/\(backups[2].sidecarName)"])
        let listing = try store.list()
        #expect(listing.unreadable.count == 2 && listing.chain.isEmpty)
        #expect(try laboratory.add(9, to: scope).sidecar.sequence == 4)
    }

    @Test(arguments: ["{", "orphan", "lonely", "size"])
    func whatCannotBeReliedOnCanBeRemoved(fault: String) throws {
        let backups = try (0..<3).map { try laboratory.add($0, to: scope) }
        for backup in backups.dropFirst() {
            switch fault {
            case "{": try scratch.write("{", to: "store/prod/cp-0/\(backup.sidecarName)")
            case "orphan": try run("rm", ["\(directory)/\(backup.sidecarName)"])
            case "lonely": try run("rm", [store.location(of: backup)])
            default: try run("truncate", ["-s", "-1", store.location(of: backup)])
            }
        }
        let unreadable = try store.list().unreadable
        #expect(unreadable.map(\.id) == backups.dropFirst().map(\.id))
        for damaged in unreadable { try store.writer(for: scope).remove(damaged) }
        #expect(try names(in: directory) == [".lock", backups[0].sidecarName, backups[0].archiveName])
        #expect(try store.list().problems.isEmpty)
        #expect(try codes() == [])
        #expect(try laboratory.add(9, to: scope).sidecar.sequence == 4)
        #expect(try codes() == [])
    }

    @Test func aWholeBackupIsNotRemovedAsDamage() throws {
        let backup = try laboratory.add(to: scope)
        try run("mv", [store.location(of: backup), scratch.file("away")])
        let damaged = try #require(try store.list().unreadable.first)
        try run("mv", [scratch.file("away"), store.location(of: backup)])
        #expect(throws: Failure.self) { try store.writer(for: scope).remove(damaged) }
        #expect(try store.list().backups.map(\.id) == [backup.id])
    }

    @Test(arguments: ["{", "", "{\"formatVersion\":1,\"removed\":[{\"firstSequence\":9,\"lastSequence\":-9}]}"])
    func aDamagedRecordIsSaid(text: String) throws {
        try laboratory.add(to: scope)
        try scratch.write(text, to: "store/prod/cp-0/chain.json")
        #expect(try codes() == ["backup-chain-unknown"])
        #expect(try laboratory.add(1, to: scope).sidecar.sequence == 2)
        #expect(try codes() == [])
    }

    /// Nothing is written over that a later version would miss.
    @Test func aLaterRecordIsLeftAlone() throws {
        let backup = try laboratory.add(to: scope)
        let text = "{\"formatVersion\":2,\"removed\":[],\"more\":1}"
        try scratch.write(text, to: "store/prod/cp-0/chain.json")
        #expect(throws: Failure.self) { try store.writer(for: scope).delete(backup) }
        #expect(try store.list().backups.count == 1)
        #expect(try String(contentsOfFile: "\(directory)/chain.json", encoding: .utf8) == text)
    }

    /// Numbers that somebody has made up end in no trap.
    @Test func hugeNumbersAreRead() throws {
        let backup = try laboratory.add(to: scope)
        var sidecar = backup.sidecar
        sidecar.sequence = 1 << 53
        let bytes = try DocumentCoding.encode(sidecar)
        try Data(bytes).write(to: URL(filePath: "\(directory)/\(backup.sidecarName)"))
        #expect(try codes() == ["backup-missing"])
        #expect(try store.writer(for: scope).nextLink(after: store.list()).sequence == 2)
    }

    /// The number of the newest is in its archive, which only lacks its sidecar, and nothing else knows it.
    @Test func aLaterOrphanKeepsItsNumber() throws {
        for second in 0..<3 { try laboratory.add(second, to: scope) }
        let newest = try #require(try store.list().backups.last)
        try FileManager.default.removeItem(atPath: "\(directory)/\(newest.sidecarName)")
        let link = try store.writer(for: scope).nextLink(after: store.list())
        #expect(link.sequence == 4)
        try FileManager.default.removeItem(atPath: "\(directory)/chain.json")
        let blind = try store.writer(for: scope).nextLink(after: store.list())
        #expect(blind.sequence == 4 && blind.previousSidecarSHA256 == nil)
    }

    /// A directory that `download` has filled.
    @Test func aFlatDirectoryOfArchivesIsListed() throws {
        let backups = try [("a", "n1"), ("a", "n2"), ("b", "n1")].enumerated().map { index, place in
            try laboratory.add(index, to: laboratory.scope(place.0, place.1))
        }
        let flat = LocalStore(root: scratch.file("flat"))
        try run("mkdir", [flat.root])
        for backup in backups {
            try run("cp", [store.location(of: backup), flat.root])
            guard backup.id != backups[2].id else { continue }
            try run("cp", ["\(laboratory.root)/\(backup.scope)/\(backup.sidecarName)", flat.root])
        }
        let listing = try flat.list()
        #expect(listing.backups.map(\.reference).sorted() == backups[..<2].map(\.reference).sorted())
        #expect(listing.unreadable.map(\.reference) == [backups[2].id.description])
        #expect(listing.chain.isEmpty)
        #expect(try flat.list(cluster: "a", node: "n2").backups.map(\.id) == [backups[1].id])
        let found = try #require(listing.backups.first)
        #expect(try flat.open(found).byteCount == found.sidecar.object.size)
        // Only read: it has no place where a backup of that node could go on.
        #expect(listing.latest(in: found.scope)?.id == nil)
    }
}
