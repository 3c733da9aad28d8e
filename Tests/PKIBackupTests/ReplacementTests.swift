import Foundation
import HostIO
import SealedArchive
import TestSupport
import Testing

@testable import PKIBackup

/// Placing into a tree that is in use.
@Suite(.timeLimit(.minutes(2))) struct ReplacementTests {
    let laboratory: Laboratory
    let source: NodeTree
    let target: NodeTree

    init() throws {
        laboratory = try Laboratory()
        (source, target) = (try NodeTree(), try NodeTree())
    }

    private func archive() throws -> (reader: ArchiveReader, manifest: Manifest) {
        try laboratory.archive { writer in
            let capture = FileCapture(into: writer, root: source.root)
            try capture.capture([
                FileReference(path: "/etc", captureClass: .component, referrer: "test", isRequired: true)
            ])
            #expect(capture.report.findings.isEmpty)
        }
    }

    private func placement() throws -> FilePlacement {
        FilePlacement(
            root: try OpenDirectory(path: target.path), strippedPrefix: ArchiveFormat.filesPrefix,
            replacement: FilePlacement.Replacement(keptPath: "var/lib/etcd-snap/replaced"))
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

    private func differences() throws -> String {
        try run(
            "rsync",
            ["-aHAXn", "--delete", "--itemize-changes", "--checksum", "\(source.path)/etc/", "\(target.path)/etc/"]
        ).text
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
        let plan = try placement().plan(for: manifest.entries.filter { $0.path.hasPrefix("files/") })
        let actions = Dictionary(uniqueKeysWithValues: plan.map { ($0.path, $0.action) })
        #expect(actions["/etc/kubernetes/pki/ca.key"] == .replace && actions["/etc/kubernetes/manifests"] == .unchanged)
        #expect(
            actions["/etc/again"] == .create && actions["/etc/same"] == .replace && actions["/etc/link"] == .replace)
        #expect(try run("find", [target.path, "-newer", target.path + "/etc/sparse", "-type", "f"]).text == "")
        let counts = try place(reader)
        let left = try differences()
        #expect(left == "")
        #expect(counts.createdCount + counts.replacedCount + counts.unchangedCount == 7)
        let kept = "\(target.path)/var/lib/etcd-snap/replaced/etc"
        #expect(try String(contentsOfFile: "\(kept)/kubernetes/pki/ca.key", encoding: .utf8) == "old")
        #expect(try run("stat", ["-c", "%a %y", "\(kept)/kubernetes/pki/ca.key"]).text.hasPrefix("640 1999-01-01"))
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: "\(kept)/link") == "elsewhere")
        #expect(try run("stat", ["-c", "%a", "\(target.path)/var/lib/etcd-snap/replaced"]).text == "700\n")
        #expect(try run("find", [target.path, "-name", ".etcd-snap-*"]).text == "")
        // A second time nothing is left to do, and nothing is kept.
        try run("rm", ["-r", "\(target.path)/var"])
        #expect(try place(reader) == FilePlacement.Counts(createdCount: 0, replacedCount: 0, unchangedCount: 7))
        #expect(!FileManager.default.fileExists(atPath: "\(target.path)/var"))
        let again = try placement().plan(
            for: manifest.entries.filter { $0.path.hasPrefix("files/") && $0.kind != .hardLink })
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
        let plan = try placement().plan(for: manifest.entries.filter { $0.path.contains("ca.key") })
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
}
