import Dispatch
import Foundation
import HostIO
import SealedArchive
import Synchronization
import TestSupport
import Testing

@testable import ArchiveStore

@Suite struct LocalStoreTests {
    let scratch: TemporaryDirectory
    let laboratory: StoreLaboratory
    let scope: StoreScope
    var store: LocalStore { laboratory.store }
    var directory: String { laboratory.directory(scope) }

    init() throws {
        scratch = try TemporaryDirectory()
        laboratory = StoreLaboratory(root: scratch.file("var/store"))
        scope = try laboratory.scope()
    }

    @Test func holdsWhatWasPublished() throws {
        let backup = try laboratory.add(to: scope)
        #expect(backup.reference == "prod/cp-0/\(backup.id)")
        #expect(try names(in: directory) == [".lock", backup.sidecarName, backup.archiveName].sorted())
        #expect(try store.open(backup).byteCount == backup.sidecar.object.size)
        #expect(store.location(of: backup) == "\(directory)/\(backup.archiveName)")
        let bytes = Array(try Data(contentsOf: URL(filePath: "\(directory)/\(backup.sidecarName)")))
        #expect(backup.sidecarBytes == bytes)
    }

    @Test func isForThisUserOnly() throws {
        let backup = try laboratory.add(to: scope)
        for path in ["var", "var/store", "var/store/prod", "var/store/prod/cp-0"] {
            #expect(try mode(scratch.file(path)) == 0o700)
        }
        for name in [backup.archiveName, backup.sidecarName, ".lock"] {
            #expect(try mode("\(directory)/\(name)") == 0o600)
        }
    }

    /// A crash after each step: from the moment that the archive has its name there is a backup, and the next writer puts
    /// the rest right.
    @Test(arguments: 0..<4)
    func countsABackupOnlyWhenItIsWhole(step: Int) throws {
        let kept = try laboratory.add(100, to: scope)
        let id = laboratory.id(step)
        do {
            let writer = try store.writer(for: scope)
            let (file, sidecar) = try laboratory.seal(id, with: writer)
            let pending = try PendingFile(in: OpenDirectory(path: directory), name: "\(id).json")
            if step > 0 { try pending.write(DocumentCoding.encode(sidecar)) }
            // What a process that is killed leaves is what is on disk now: copied away before the files are dropped.
            if step >= 2 {
                _ = try file.stored()
                try run("mv", ["\(directory)/.pending-\(id).tar.zst.age", "\(directory)/\(id).tar.zst.age"])
            }
            if step == 3 { try pending.publish() }
            try run("cp", ["-a", directory, scratch.file("crashed")])
        }
        try run("rm", ["-r", directory])
        try run("mv", [scratch.file("crashed"), directory])

        let listing = try store.list()
        #expect(listing.problems.isEmpty)
        #expect(listing.backups.map(\.id) == (step >= 2 ? [id, kept.id] : [kept.id]))
        let writer = try store.writer(for: scope)
        let leftovers = [".pending-\(id).json", ".pending-\(id).tar.zst.age"]
        #expect(writer.removedLeftovers == (step < 2 ? leftovers : []))
        #expect(writer.completedBackups == (step == 2 ? [id] : []))
        #expect(try names(in: directory).count == (step >= 2 ? 5 : 3))
        #expect(try !names(in: directory).contains { $0.hasPrefix(".pending") })
        #expect(try store.list().backups.map(\.reference) == listing.backups.map(\.reference))
    }

    @Test func leavesNothingWhenPublishingFails() throws {
        let writer = try store.writer(for: scope)
        let (file, sidecar) = try laboratory.seal(laboratory.id(0), with: writer)
        // A directory in the sidecar's place lets the last step fail.
        let name = "\(sidecar.archive.id).json"
        _ = try OpenDirectory(path: directory).makeDirectory(name)
        #expect(throws: SystemCallError.self) { try file.publish(SidecarDocument(sidecar)) }
        #expect(try names(in: directory) == [".lock", name])
    }

    /// A sidecar that is cut short, another archive's, or a later version's, does not make one whole, and may be all there is.
    @Test(arguments: ["cut", "another", "size", "version", "requires"])
    func aPendingSidecarHasToFit(fault: String) throws {
        let backup = try laboratory.add(to: scope)
        let pending = "\(directory)/.pending-\(backup.sidecarName)"
        try run("mv", ["\(directory)/\(backup.sidecarName)", pending])
        #expect(try store.list().backups.map(\.id) == [backup.id])
        switch fault {
        case "cut": try run("truncate", ["-s", "-9", pending])
        case "another": try run("sed", ["-i", "s/\(backup.id)/\(laboratory.id(9))/", pending])
        case "size": try run("truncate", ["-s", "+1", store.location(of: backup)])
        case "version": try run("sed", ["-i", "-E", "s/(\"formatVersion\" ?: ?)1/\\12/", pending])
        default: try run("sed", ["-i", "-E", "s/(\"requires\" ?: ?\\[)/\\1\"mirrored\"/", pending])
        }
        let before = try Data(contentsOf: URL(filePath: pending))
        for _ in 0..<2 {
            let listing = try store.list()
            #expect(listing.backups.isEmpty)
            #expect(listing.unreadable.map(\.isOrphan) == [["cut", "another"].contains(fault)])
            #expect(try store.writer(for: scope).removedLeftovers.isEmpty)
        }
        #expect(try names(in: directory) == [".lock", ".pending-\(backup.sidecarName)", backup.archiveName])
        #expect(try Data(contentsOf: URL(filePath: pending)) == before)
        // What is made anew takes its place.
        guard ["cut", "another"].contains(fault) else { return }
        try store.writer(for: scope).adopt(SidecarDocument(backup.sidecar))
        #expect(try names(in: directory) == [".lock", backup.sidecarName, backup.archiveName])
    }

    /// A copy may bring the archive before its sidecar, or without it.
    @Test func neverRemovesAnArchiveWithoutItsSidecar() throws {
        let kept = try laboratory.add(to: scope)
        let orphan = try laboratory.add(1, to: scope)
        try run("rm", ["\(directory)/\(orphan.sidecarName)"])
        let before = try Data(contentsOf: URL(filePath: store.location(of: orphan)))
        // rsync's temporary name of one that is still on its way.
        try scratch.write("part", to: "var/store/prod/cp-0/.\(laboratory.id(5)).tar.zst.age.Ab3xYz")
        let added = try laboratory.add(2, to: scope)
        let writer = try store.writer(for: scope)
        #expect(writer.removedLeftovers.isEmpty && writer.completedBackups.isEmpty)
        try writer.delete(kept)
        #expect(try Data(contentsOf: URL(filePath: store.location(of: orphan))) == before)
        #expect(try names(in: directory).count == 5)
        let listing = try store.list()
        #expect(listing.backups.map(\.id) == [added.id])
        #expect(listing.unreadable.map(\.reference) == [orphan.reference])
        let problem = try #require(listing.problems.first)
        #expect(problem.message.contains(orphan.reference) && problem.message.contains("no sidecar"))
        #expect(problem.hint?.contains("adopt \(orphan.reference)") == true)
    }

    @Test func anOrphanTakesASidecarThatFits() throws {
        let backup = try laboratory.add(to: scope)
        try run("rm", ["\(directory)/\(backup.sidecarName)"])
        let writer = try store.writer(for: scope)
        try writer.adopt(SidecarDocument(backup.sidecar))
        #expect(try store.list().backups.map(\.id) == [backup.id])
        #expect(try store.list().backups.first?.sidecarBytes == backup.sidecarBytes)
        #expect(throws: Failure.self) { try writer.adopt(SidecarDocument(backup.sidecar)) }
    }

    @Test func neverReplacesAnArchive() throws {
        let backup = try laboratory.add(to: scope)
        let before = try Data(contentsOf: URL(filePath: store.location(of: backup)))
        let writer = try store.writer(for: scope)
        let (file, sidecar) = try laboratory.seal(backup.id, with: writer)
        #expect(throws: SystemCallError.self) { try file.publish(SidecarDocument(sidecar)) }
        #expect(try Data(contentsOf: URL(filePath: store.location(of: backup))) == before)
        #expect(try store.list().backups.first?.sidecarBytes == backup.sidecarBytes)
    }

    @Test func leavesOthersFilesAlone() throws {
        let backup = try laboratory.add(to: scope)
        let theirs = [
            "README", "x.tar.zst.age", "\(laboratory.id(5)).tar.gz", "pending-x", ".hidden", ".pending-notes",
            "..pending-\(laboratory.id(6)).json.Ab3xYz",
        ]
        for name in theirs { try scratch.write("theirs", to: "var/store/prod/cp-0/\(name)") }
        let writer = try store.writer(for: scope)
        #expect(writer.removedLeftovers.isEmpty)
        let ours = [".lock", backup.archiveName, backup.sidecarName]
        #expect(try names(in: directory) == (theirs + ours).sorted())
        #expect(try store.list().backups.count == 1)
        #expect(try store.list().problems.isEmpty)
    }

    @Test func removesNothingWithoutTheLock() throws {
        let writer = try store.writer(for: scope)
        let id = laboratory.id(0)
        let pending = try writer.begin(id)
        try pending.write([1, 2, 3])
        let error = #expect(throws: Failure.self) { try store.writer(for: scope) }
        #expect(error?.code == .locked)
        #expect(try store.list().backups.isEmpty)
        #expect(try names(in: directory).contains(".pending-\(id).tar.zst.age"))
        withExtendedLifetime((writer, pending)) {}
    }

    @Test func locksOneScopeOnly() throws {
        let writer = try store.writer(for: scope)
        try laboratory.add(to: laboratory.scope("prod", "cp-1"))
        #expect(throws: Failure.self) { try store.writer(for: scope) }
        withExtendedLifetime(writer) {}
    }

    @Test func deletesAllOrNothing() throws {
        let backup = try laboratory.add(to: scope)
        let other = try laboratory.add(1, to: scope)
        // A directory in the way of each rename lets that step fail.
        for name in [backup.sidecarName, backup.archiveName] {
            try run("mkdir", ["\(directory)/.pending-\(name)"])
            #expect(throws: SystemCallError.self) { try store.writer(for: scope).delete(backup) }
            #expect(try store.list().backups.map(\.id) == [backup.id, other.id])
            #expect(try store.list().problems.isEmpty)
            try run("rmdir", ["\(directory)/.pending-\(name)"])
        }
        let writer = try store.writer(for: scope)
        try writer.delete(backup)
        #expect(throws: Failure.self) { try writer.delete(backup) }
        try writer.delete(other)
        #expect(try names(in: directory) == [".lock"])
    }

    /// Before the archive's rename the backup is there, behind it it is gone; the next writer brings either to its end.
    @Test func anInterruptedRemovalIsOver() throws {
        let backup = try laboratory.add(to: scope)
        func hide(_ name: String) throws { try run("mv", ["\(directory)/\(name)", "\(directory)/.pending-\(name)"]) }
        try hide(backup.sidecarName)
        #expect(try store.list().backups.map(\.id) == [backup.id])
        #expect(try store.interruptedRemovals(cluster: nil, node: nil).isEmpty)
        #expect(try store.writer(for: scope).completedBackups == [backup.id])
        try hide(backup.sidecarName)
        try hide(backup.archiveName)
        let listing = try store.list()
        #expect(listing.backups.isEmpty && listing.problems.isEmpty)
        let removal = try #require(try store.interruptedRemovals(cluster: nil, node: nil).first)
        #expect(removal.reference == backup.reference)
        try store.writer(for: scope).delete(removal)
        #expect(try names(in: directory) == [".lock"])
    }

    /// While others publish and remove.
    @Test func readersSeeNoHalves() throws {
        let (laboratory, scope) = (laboratory, scope)
        let kept = try laboratory.add(to: scope)
        let isDone = Atomic<Bool>(false)
        DispatchQueue.concurrentPerform(iterations: 2) { index in
            do {
                guard index == 0 else {
                    while !isDone.load(ordering: .relaxed) {
                        let listing = try laboratory.store.list()
                        #expect(listing.problems.isEmpty, "\(listing.problems)")
                        #expect(listing.backups.first?.id == kept.id && listing.backups.count <= 2)
                    }
                    return
                }
                defer { isDone.store(true, ordering: .relaxed) }
                for round in 1..<60 {
                    let added = try laboratory.add(round, to: scope)
                    try laboratory.store.writer(for: scope).delete(added)
                }
            } catch {
                Issue.record(error)
            }
        }
    }

    @Test func reportsWhatCannotBeRead() throws {
        let good = try laboratory.add(to: scope)
        let unreadable = try laboratory.add(1, to: scope)
        let lonely = try laboratory.add(2, to: scope)
        let huge = try laboratory.add(3, to: scope)
        let fifo = try laboratory.add(4, to: scope)
        try scratch.write("{\"archive\": \"s3cr3t\"}", to: "var/store/prod/cp-0/\(unreadable.sidecarName)")
        try run("rm", [store.location(of: lonely), "\(directory)/\(fifo.sidecarName)"])
        try run("truncate", ["-s", "1G", "\(directory)/\(huge.sidecarName)"])
        try run("mkfifo", ["\(directory)/\(fifo.sidecarName)"])
        let listing = try store.list()
        #expect(listing.backups.map(\.id) == [good.id])
        #expect(listing.problems.count == 4)
        for (problem, backup) in zip(listing.problems, [unreadable, lonely, huge, fifo]) {
            #expect(problem.message.contains(backup.id.description))
            #expect(!problem.description.contains("s3cr3t"))
        }
        #expect(listing.problems.prefix(3).allSatisfy { $0.code == .integrity })
        #expect(listing.problems[1].message.contains("has a sidecar and no archive"))
    }

    @Test func reportsASidecarOfAnotherPlace() throws {
        let backup = try laboratory.add(to: scope)
        let elsewhere = laboratory.directory(try laboratory.scope("prod", "cp-1"))
        try run("mkdir", ["-p", elsewhere])
        try run("mv", [store.location(of: backup), "\(directory)/\(backup.sidecarName)", elsewhere])
        let moved = try store.list()
        #expect(moved.backups.isEmpty)
        #expect(moved.problems.map(\.code) == [.integrity])
        #expect(moved.problems.first?.message.contains("describes prod/cp-0/\(backup.id)") == true)
        let other = laboratory.id(77)
        try run("mv", ["\(elsewhere)/\(backup.sidecarName)", "\(directory)/\(other).json"])
        #expect(try store.list().problems.first?.message.contains("describes prod/cp-0/\(backup.id)") == true)
    }

    /// Within a scope by number: a clock may have been wrong.
    @Test func listsByScopeOldestFirst() throws {
        let ids = try [("b", "n", 1), ("a", "n2", 2), ("a", "n1", 5), ("a", "n1", 3)].map {
            try laboratory.add($0.2, to: laboratory.scope($0.0, $0.1)).reference
        }
        #expect(try store.list().backups.map(\.reference) == [ids[2], ids[3], ids[1], ids[0]])
        #expect(try store.list(cluster: "a").backups.count == 3)
        #expect(try store.list(cluster: "a", node: "n2").backups.map(\.reference) == [ids[1]])
        #expect(try store.list(cluster: nil, node: "n").backups.map(\.reference) == [ids[0]])
        #expect(try store.list(cluster: "none").backups.isEmpty)
        #expect(try store.list().latest(in: laboratory.scope("a", "n1"))?.reference == ids[3])
    }

    @Test func passesOverDirectoriesThatAreNotScopes() throws {
        let backup = try laboratory.add(to: scope)
        for path in ["lost+found", ".snapshots/x", "my cluster/my node", "prod/lost+found", "-x/y"] {
            try run("mkdir", ["-p", "\(laboratory.root)/\(path)"])
        }
        try run("ln", ["-s", directory, "\(laboratory.root)/prod/link"])
        let listing = try store.list()
        #expect(listing.backups.map(\.id) == [backup.id])
        #expect(listing.problems.isEmpty)
    }

    /// What a link leads to is looked at where it is, or not at all, and then that is said.
    @Test func saysWhatALinkHides() throws {
        let moved = try laboratory.add(to: laboratory.scope("old", "cp-0"))
        let kept = try laboratory.add(1, to: scope)
        try run("mv", ["\(laboratory.root)/old", scratch.file("elsewhere")])
        try run("ln", ["-s", scratch.file("elsewhere"), "\(laboratory.root)/old"])
        try run("ln", ["-s", scratch.file("elsewhere/cp-0"), "\(laboratory.root)/prod/cp-9"])
        try run("ln", ["-s", "prod", "\(laboratory.root)/current"])
        try run("ln", ["-s", scratch.file("none"), "\(laboratory.root)/dangling"])
        let listing = try store.list()
        #expect(listing.backups.map(\.id) == [kept.id] && listing.unreadable.isEmpty)
        #expect(listing.hidden.map(\.isLink) == [true, true])
        #expect(listing.hidden[0].failure.message.contains("\(laboratory.root)/old"))
        #expect(listing.hidden[1].failure.message.contains("\(laboratory.root)/prod/cp-9"))
        #expect(throws: SystemCallError.self) { try store.writer(for: moved.scope) }
    }

    @Test func aMissingStoreIsNotFound() throws {
        let error = #expect(throws: SystemCallError.self) { try store.list() }
        #expect(error?.failure.code == .notFound)
    }
}

@Suite struct StoreScopeTests {
    @Test(arguments: ["a", "A-1_b.c", "cp-0.example.org", String(repeating: "n", count: 253)])
    func takesNamesOfDirectories(name: String) throws {
        #expect(try StoreScope(cluster: name, node: "n").description == "\(name)/n")
        #expect(try StoreScope(cluster: "c", node: name).description == "c/\(name)")
    }

    @Test(arguments: [
        "", ".", "..", ".a", "-a", "a/b", "a b", "ä", "a\0", "a\n", "a:b", String(repeating: "n", count: 254),
    ])
    func refusesOthersAndNamesTheFlag(name: String) throws {
        let cluster = #expect(throws: Failure.self) { try StoreScope(cluster: name, node: "n") }
        #expect(cluster?.code == .usage && cluster?.settings == [.cluster])
        let node = #expect(throws: Failure.self) { try StoreScope(cluster: "c", node: name) }
        #expect(node?.code == .usage && node?.settings == [.node])
    }

    @Test func areOrdered() throws {
        let scopes = try [("b", "a"), ("a", "b"), ("a", "a")].map { try StoreScope(cluster: $0.0, node: $0.1) }
        #expect(scopes.sorted().map(\.description) == ["a/a", "a/b", "b/a"])
    }
}
