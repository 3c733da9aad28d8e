import Foundation
import HostIO
import SealedArchive
import TestSupport
import Testing

@testable import NodeFiles
@testable import PKIBackup

/// Placing into a tree that is in use.
@Suite(.timeLimit(.minutes(45))) struct ReplacementTests {
    let laboratory: Laboratory
    let source: NodeTree
    let target: NodeTree

    init() throws {
        laboratory = try Laboratory()
        (source, target) = (try NodeTree(), try NodeTree())
    }

    private func archive() throws -> (reader: ArchiveReader, manifest: Manifest) {
        try laboratory.archive { writer in
            let capture = ControlPlaneCapture(into: writer, root: source.root)
            try capture.capture([
                FileReference(path: "/etc", captureClass: .component, referrer: "test", isRequired: true)
            ])
            #expect(capture.report.findings.isEmpty)
        }
    }

    private func placement() throws -> FilePlacement {
        try FilePlacement(
            replacingIn: OpenDirectory(path: target.path), strippedPrefix: ArchiveFormat.filesPrefix)
    }

    /// Where the only placement so far has kept what it replaced.
    private func keptPath() throws -> String {
        let kept = "\(target.path)/var/lib/etcd-snap-kept"
        let names = try FileManager.default.contentsOfDirectory(atPath: kept)
        try #require(names.count == 1, "\(names)")
        return "\(kept)/\(names[0])"
    }

    private func plan(_ entries: [ManifestEntry]) throws -> [PlannedPlacement] {
        try FilePlacement(root: OpenDirectory(path: target.path), strippedPrefix: ArchiveFormat.filesPrefix)
            .plan(for: entries)
    }

    private func place(_ reader: ArchiveReader) throws -> FilePlacement.Counts {
        let placement = try placement()
        try reader.forEachMember { member in
            guard member.metadata.displayPath.hasPrefix("files/") else { return try member.forEachPiece { _ in } }
            try placement.place(member)
        }
        try placement.finish()
        return placement.counts
    }

    /// What else is in a directory is not the archive's; who may write there is worth a word.
    @Test func directoriesThatAreThereStayAndDiffer() throws {
        try makeSource()
        try target.make("mkdir -p etc/kubernetes/pki; chmod 777 etc/kubernetes/pki")
        let (reader, _) = try archive()
        let placement = try placement()
        try reader.forEachMember { member in
            guard member.metadata.displayPath.hasPrefix("files/") else { return try member.forEachPiece { _ in } }
            try placement.place(member)
        }
        try placement.finish()
        let found = placement.differingDirectories.first { $0.path.hasSuffix("/etc/kubernetes/pki") }
        #expect(found?.found.hasPrefix("0777 ") == true && found?.archived.hasPrefix("0755 ") == true)
        #expect(!placement.differingDirectories.contains { $0.path.hasSuffix("/manifests") })
        #expect(try run("stat", ["-c", "%a", "\(target.path)/etc/kubernetes/pki"]).text == "777\n")
    }

    /// What differs, but for directories, which keep their attributes if they were there.
    private func differences() throws -> String {
        let text = try run(
            "rsync",
            ["-aHAXn", "--delete", "--itemize-changes", "--checksum", "\(source.path)/etc/", "\(target.path)/etc/"]
        ).text
        return text.split(separator: "\n").filter { !$0.hasPrefix(".d") }.joined(separator: "\n")
    }

    private func makeSource() throws {
        try source.make(
            """
            mkdir -p etc/kubernetes/manifests etc/kubernetes/pki; printf new > etc/kubernetes/pki/ca.key
            printf pod > etc/kubernetes/manifests/a.yaml; printf same > etc/same; touch -d 2001-01-01 etc/same
            chmod 600 etc/kubernetes/pki/ca.key; ln etc/same etc/again; ln -s same etc/link; ln -s b etc/other
            setfattr -n user.note -v x etc/kubernetes/manifests/a.yaml; chmod 4755 etc/kubernetes/manifests/a.yaml
            truncate -s 2M etc/sparse; setfacl -m u:1234:r etc/sparse; chmod 700 etc/kubernetes/manifests
            """)
        if isRoot { try source.make("chown 12:34 etc/kubernetes/pki/ca.key; chown 5:6 etc/kubernetes") }
    }

    @Test func everythingIsAsInTheArchiveAndWhatWasThereIsKept() throws {
        try makeSource()
        try target.make(
            """
            mkdir -p etc/kubernetes/manifests etc/kubernetes/pki; printf old > etc/kubernetes/pki/ca.key
            printf old-pod > etc/kubernetes/manifests/a.yaml; printf same > etc/same; touch -d 2001-01-01 etc/same
            ln -s elsewhere etc/link; ln -s b etc/other; chmod 640 etc/kubernetes/pki/ca.key; touch -d 1999-01-01 etc/kubernetes/pki/ca.key
            printf x > etc/sparse
            """)
        touchLink("etc/other")
        let (reader, manifest) = try archive()
        let plan = try plan(manifest.entries.filter { $0.path.hasPrefix("files/") })
        let actions = Dictionary(uniqueKeysWithValues: plan.map { ($0.path, $0.action) })
        #expect(actions["/etc/kubernetes/pki/ca.key"] == .replace && actions["/etc/kubernetes/manifests"] == .unchanged)
        #expect(
            actions["/etc/again"] == .create && actions["/etc/same"] == .replace && actions["/etc/link"] == .replace)
        #expect(try run("find", [target.path, "-newer", target.path + "/etc/sparse", "-type", "f"]).text == "")
        let counts = try place(reader)
        let left = try differences()
        #expect(left == "")
        #expect(counts.createdCount + counts.replacedCount + counts.unchangedCount == 7)
        let kept = try "\(keptPath())/etc"
        #expect(try String(contentsOfFile: "\(kept)/kubernetes/pki/ca.key", encoding: .utf8) == "old")
        #expect(try run("stat", ["-c", "%a %y", "\(kept)/kubernetes/pki/ca.key"]).text.hasPrefix("640 1999-01-01"))
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: "\(kept)/link") == "elsewhere")
        #expect(try run("stat", ["-c", "%a", keptPath()]).text == "700\n")
        #expect(try run("stat", ["-c", "%a", "\(target.path)/var/lib/etcd-snap-kept"]).text == "700\n")
        #expect(try run("stat", ["-c", "%a", "\(target.path)/var/lib"]).text == "755\n")
        #expect(try run("find", [target.path, "-name", ".etcd-snap-*"]).text == "")
        // A second time nothing is left to do, and nothing is kept.
        try run("rm", ["-r", "\(target.path)/var"])
        #expect(try place(reader) == FilePlacement.Counts(createdCount: 0, replacedCount: 0, unchangedCount: 7))
        #expect(!FileManager.default.fileExists(atPath: "\(target.path)/var"))
        let again = try self.plan(manifest.entries.filter { $0.path.hasPrefix("files/") && $0.kind != .hardLink })
        #expect(again.allSatisfy { $0.action == .unchanged }, "\(again)")
    }

    private func touchLink(_ path: String) {
        _ = try? run("touch", ["-h", "-d", "2000-01-01", "\(target.path)/\(path)"])
    }

    @Test func linksOnTheWayAreNotFollowed() throws {
        try makeSource()
        let outside = try NodeTree()
        try outside.make("mkdir kubernetes; printf kept > kubernetes/file")
        try target.make("mkdir etc; ln -s \(outside.path)/kubernetes etc/kubernetes")
        let (reader, manifest) = try archive()
        let plan = try plan(manifest.entries.filter { $0.path.contains("ca.key") })
        #expect(plan.map(\.action) == [.blocked])
        // The archive says that it is a directory, so the link is kept aside and gives way.
        _ = try place(reader)
        #expect(try outside.files() == ["/kubernetes/file"])
        #expect(try differences() == "")
    }

    @Test func directoriesDoNotGiveWay() throws {
        try makeSource()
        try target.make("mkdir -p etc/same/inner; mkfifo etc/link")
        let (reader, _) = try archive()
        #expect(throws: Failure.self) { try place(reader) }
        #expect(FileManager.default.fileExists(atPath: "\(target.path)/etc/same/inner"))
        #expect(try run("find", [target.path, "-name", ".etcd-snap-*"]).text == "")
    }

    @Test func hostileMembersDoNoHarm() throws {
        let victim = try NodeTree()
        try victim.make("printf kept > file")
        for path in ["files/../x", "files/..", "other/x", "/files/x", "files/a/../../x", "filesx/y"] {
            let (reader, _) = try laboratory.archive { writer in
                let metadata = EntryMetadata(
                    path: Array(path.utf8), kind: .file, byteCount: 1, mode: 0o600, modifiedAt: backupTime)
                try writer.add(metadata, role: "component", bytes: [1])
            }
            let placement = try placement()
            #expect(throws: (any Error).self, "\(path)") {
                try reader.forEachMember { member in
                    if member.metadata.displayPath == path {
                        try placement.place(member)
                    } else {
                        try member.forEachPiece { _ in }
                    }
                }
            }
        }
        // Links, hard ones too, that lead out.
        for target in ["../../victim", victim.path + "/file", "files/../../file"] {
            let (reader, _) = try laboratory.archive { writer in
                var metadata = EntryMetadata(
                    path: Array("files/link".utf8), kind: .hardLink, mode: 0o600, modifiedAt: backupTime)
                metadata.linkTarget = Array(target.utf8)
                try writer.add(metadata, role: "component")
            }
            #expect(throws: (any Error).self) { _ = try place(reader) }
        }
        #expect(try target.files().isEmpty && victim.files() == ["/file"])
    }

    /// At every moment a file is the old one or the new one.
    @Test func filesAreNeverHalf() throws {
        try source.make("mkdir etc; head -c 3000000 /dev/zero | tr '\\0' n > etc/file")
        try target.make("mkdir etc; head -c 3000000 /dev/zero | tr '\\0' o > etc/file")
        let (reader, _) = try archive()
        let path = "\(target.path)/etc/file"
        let script =
            "import sys\nseen = set()\nwhile True:\n    b = open(sys.argv[1], 'rb').read()\n    s = set(b)\n    assert len(b) == 3000000 and len(s) == 1, (len(b), s)\n    if s == {ord('n')}: break"
        let watcher = try RunningCommand("python3", ["-c", script, path])
        usleep(200_000)
        _ = try place(reader)
        #expect(try watcher.wait(seconds: 30).status == 0)
    }

    @Test func directoriesThatAreThereKeepTheirAttributes() throws {
        try makeSource()
        try source.make("mkdir etc/new; chmod 2751 etc/new; touch -d 2002-02-02 etc/new; chmod 700 etc etc/kubernetes")
        try target.make(
            "mkdir -p etc/kubernetes; chmod 1755 etc; chmod 750 etc/kubernetes; setfattr -n user.mine -v 1 etc")
        if isRoot { try target.make("chown 21:22 etc/kubernetes") }
        func state() throws -> String {
            try run("stat", ["-c", "%a %u %g", "\(target.path)/etc", "\(target.path)/etc/kubernetes"]).text
                + run("getfattr", ["-d", "--absolute-names", "\(target.path)/etc"]).text
        }
        let before = try state()
        let (reader, manifest) = try archive()
        let plan = try plan(manifest.entries.filter { $0.kind == .directory })
        #expect(plan.filter { $0.action == .unchanged }.map(\.path) == ["/etc", "/etc/kubernetes"])
        _ = try place(reader)
        #expect(try state() == before)
        #expect(try run("stat", ["-c", "%a %y", "\(target.path)/etc/new"]).text.hasPrefix("2751 2002-02-02"))
        #expect(try run("stat", ["-c", "%a", "\(target.path)/etc/kubernetes/manifests"]).text == "700\n")
        #expect(try differences() == "")
        // Those made by the first run are there in the second.
        try target.make("chmod 2711 etc/new")
        _ = try place(reader)
        #expect(try run("stat", ["-c", "%a", "\(target.path)/etc/new"]).text == "2711\n")
    }

    // MARK: Databases

    /// Leaves a database with a log that was not copied into it.
    private func makeDatabase(_ value: Int, in tree: NodeTree) throws {
        let script =
            "import sqlite3, os, sys; c = sqlite3.connect(sys.argv[1]); c.execute('PRAGMA journal_mode=WAL'); c.execute('CREATE TABLE IF NOT EXISTS a (b)'); c.execute('INSERT INTO a VALUES (%s)' % sys.argv[2]); c.commit(); os._exit(0)"
        try tree.make("mkdir -p etc")
        try run("python3", ["-c", script, "\(tree.path)/etc/state.db", "\(value)"])
    }

    private func values(in tree: NodeTree) throws -> String {
        // A copy, for opening it would work its log off.
        try tree.make("rm -rf look; cp -r etc look")
        return try run("sqlite3", ["\(tree.path)/look/state.db", "SELECT group_concat(b) FROM a"]).text
    }

    @Test func aDatabaseIsNotMixedWithTheLogOfAnother() throws {
        try makeDatabase(1, in: source)
        try run("sqlite3", ["\(source.path)/etc/state.db", "PRAGMA wal_checkpoint(TRUNCATE)"])
        #expect(try source.files() == ["/etc/state.db"])
        try run("cp", ["-a", "\(source.path)/etc", "\(target.path)/etc"])
        try makeDatabase(2, in: target)
        try target.write("journal", to: "/etc/state.db-journal")
        try target.write("other", to: "/etc/other.db-wal")
        let (reader, _) = try archive()
        // The database is as in the archive, or another one.
        for round in ["unchanged", "changed"] {
            if round == "changed" {
                try makeDatabase(3, in: target)
                try target.make("touch etc/state.db; rm -r var; touch etc/state.db-journal")
            }
            let counts = try place(reader)
            #expect(counts.unchangedCount == (round == "unchanged" ? 1 : 0) && counts.createdCount == 0)
            let kept = try target.files().filter { $0.hasPrefix("/var") && !$0.hasSuffix("state.db") }
            let directory = try keptPath().dropFirst(target.path.count) + "/etc"
            #expect(kept == Set(["-journal", "-shm", "-wal"].map { "\(directory)/state.db\($0)" }))
            #expect(try values(in: target) == "1\n")
            let left = try target.files().filter { $0.hasPrefix("/etc") }
            #expect(left == ["/etc/state.db", "/etc/other.db-wal"])
        }
    }

    @Test func aDatabaseWithItsOwnLogIsWhole() throws {
        try makeDatabase(1, in: source)
        try makeDatabase(5, in: target)
        try makeDatabase(6, in: target)
        let (reader, _) = try archive()
        #expect(try place(reader) == FilePlacement.Counts(createdCount: 0, replacedCount: 2, unchangedCount: 0))
        #expect(try values(in: target) == "1\n")
        let kept = try "\(keptPath())/etc"
        #expect(try run("sqlite3", ["\(kept)/state.db", "SELECT group_concat(b) FROM a"]).text == "5,6\n")
        // A second time there is nothing to do, and shared memory that fits is left.
        try run("rm", ["-r", "\(target.path)/var"])
        try target.write("memory", to: "/etc/state.db-shm")
        #expect(try place(reader) == FilePlacement.Counts(createdCount: 0, replacedCount: 0, unchangedCount: 2))
        #expect(try target.files().contains("/etc/state.db-shm"))
        #expect(!FileManager.default.fileExists(atPath: "\(target.path)/var"))
    }
}
