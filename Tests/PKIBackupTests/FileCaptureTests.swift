import Foundation
import HostIO
import SealedArchive
import Synchronization
import SystemPackage
import TestSupport
import Testing

@testable import NodeFiles
@testable import PKIBackup

@Suite(.timeLimit(.minutes(45))) struct FileCaptureTests {
    let laboratory: Laboratory
    let scratch: TemporaryDirectory
    /// The tree to capture, by its real path.
    let tree: String

    init() throws {
        laboratory = try Laboratory()
        scratch = laboratory.scratch
        tree = URL(filePath: scratch.path).resolvingSymlinksInPath().path + "/tree"
        try shell("mkdir tree", in: scratch.path)
    }

    private func paths(_ manifest: Manifest) -> [String] { manifest.entries.map(\.path) }

    private func codes(_ report: CaptureReport) -> [String] { report.findings.map(\.code) }

    @Test func comesBackAsItWas() throws {
        try shell(
            """
            mkdir -p etc/kubernetes/pki empty deep/a/b/c
            head -c 3000000 /dev/urandom > large
            head -c 1048576 /dev/urandom > exactly
            : > nothing
            printf 'key' > etc/kubernetes/pki/ca.key
            chmod 600 etc/kubernetes/pki/ca.key; chmod 700 etc/kubernetes/pki; chmod 1777 empty
            chmod 4755 large; chmod 400 nothing; chmod 500 deep/a
            ln large hard-link; ln large deep/a/b/another; ln -s ../large deep/a/b/link; ln -s /nowhere dangling
            ln -s dangling "link to link"
            setfattr -n user.comment -v 'a value' etc/kubernetes/pki/ca.key
            setfattr -n user.binary -v 0x0001ff0a exactly
            setfattr -n user.dir -v 1 etc
            setfacl -m u:1234:r,g:4321:rw etc/kubernetes/pki/ca.key
            setfacl -d -m u:1234:rx etc/kubernetes
            printf x > "$(printf 'new\\nline')"; printf y > "$(printf 'bad\\377\\303')"; printf z > ' '
            mkdir "$(printf 'dir\\376')"; printf w > "$(printf 'dir\\376/in')"
            touch -d '1969-12-31 23:00:00.5 UTC' nothing; touch -h -d '2001-02-03 04:05:06.789' dangling
            touch -d '2038-01-20 UTC' empty; touch -d '2020-02-02 02:02:02.123456789' deep/a deep .
            """, in: tree)
        if isRoot {
            try shell(
                "chmod 000 nothing; chown 1234:4321 exactly; chown -h 77:88 dangling; chown 5:6 deep/a/b", in: tree)
            try shell("setfattr -n trusted.t -v secret exactly", in: tree)
        }
        try laboratory.expectRoundTrip(of: tree)
    }

    /// What comes and goes in a directory is nobody's loss; what something names is.
    @Test(arguments: [false, true])
    func filesThatVanish(isNamed: Bool) throws {
        try shell("for n in a b c; do printf x > $n; done", in: tree)
        let paths = [tree] + (isNamed ? ["\(tree)/c"] : [])
        var report = CaptureReport()
        let (_, manifest) = try laboratory.archive { writer in
            let capture = ControlPlaneCapture(into: writer, root: NodeRoot()) { [tree] _, _ in
                try? FileManager.default.removeItem(atPath: "\(tree)/c")
            }
            try capture.capture(
                paths.map { FileReference(path: $0, captureClass: .include, referrer: "test", isRequired: true) })
            report = capture.report
        }
        #expect(manifest.entries.filter { $0.path.hasSuffix("/b") }.count == 1)
        #expect(codes(report) == (isNamed ? ["file-missing"] : []))
        #expect(report.skipped.map(\.path) == (isNamed ? [] : ["\(tree)/c"]))
    }

    @Test func saysWhatItDidNotTake() throws {
        try shell("mkfifo pipe; printf a > a", in: tree)
        if isRoot { try shell("mknod null c 1 3; mknod block b 7 200", in: tree) }
        try makeSocket(tree + "/socket")
        let (_, manifest, report) = try laboratory.capture([tree])
        var expected = [
            SkippedPath(path: "\(tree)/pipe", reason: "a named pipe"),
            SkippedPath(path: "\(tree)/socket", reason: "a socket"),
        ]
        if isRoot {
            expected.insert(SkippedPath(path: "\(tree)/block", reason: "a device"), at: 0)
            expected.insert(SkippedPath(path: "\(tree)/null", reason: "a device"), at: 1)
        }
        #expect(report.skipped == expected)
        #expect(report.findings.isEmpty)
        #expect(paths(manifest).last == "files\(tree)/a")
        #expect(report.fileCount == 1 && report.byteCount == 1)
    }

    private func makeSocket(_ path: String) throws {
        try run(
            "python3",
            ["-c", "import os, socket, sys; os.chdir(sys.argv[1]); socket.socket(socket.AF_UNIX).bind('socket')", tree])
    }

    @Test func takesTheDirectoriesAboveWithTheirModesOnly() throws {
        try shell("mkdir -p a/b; chmod 711 a; chmod 750 a/b; printf x > a/b/file; printf y > a/other", in: tree)
        let (_, manifest, _) = try laboratory.capture(["\(tree)/a/b/file"])
        let entries = Dictionary(uniqueKeysWithValues: manifest.entries.map { ($0.path, $0) })
        #expect(entries["files\(tree)/a"]?.mode == "0711")
        #expect(entries["files\(tree)/a/b"]?.mode == "0750")
        #expect(entries["files\(tree)/a"]?.kind == .directory)
        #expect(entries["files\(tree)/a/b/file"]?.sha256?.count == 64)
        #expect(entries["files\(tree)/a/other"] == nil)
        #expect(paths(manifest).filter { $0 == "files/tmp" }.count <= 1)
    }

    @Test func takesEachPathOnce() throws {
        try shell("mkdir a; printf x > a/file", in: tree)
        let (_, manifest, report) = try laboratory.capture([
            tree, "\(tree)/a", "\(tree)/a/file", "\(tree)/./a//file", tree,
        ])
        #expect(Set(paths(manifest)).count == paths(manifest).count)
        #expect(report.fileCount == 1)
    }

    @Test func findsWhatIsMissing() throws {
        try shell("printf x > file", in: tree)
        let (_, manifest, report) = try laboratory.capture(
            [
                "\(tree)/none", "\(tree)/none/below", "\(tree)/file/below", "relative", "\(tree)/../escape", "",
                "\(tree)/file",
            ])
        #expect(
            codes(report) == [
                "file-missing", "file-missing", "file-unreadable", "path-unusable", "path-unusable", "path-unusable",
            ])
        #expect(report.findings.allSatisfy { $0.severity == .error && !$0.message.isEmpty })
        #expect(report.findings[0].subject == "\(tree)/none")
        #expect(report.fileCount == 1)
        #expect(paths(manifest).last == "files\(tree)/file")
    }

    /// `/proc/self/mem` is a regular file whose first page nobody can read.
    @Test func goesOnAfterWhatCannotBeRead() throws {
        try shell("printf x > file", in: tree)
        let (reader, _, report) = try laboratory.capture(["/proc/self/mem", "\(tree)/file"])
        #expect(report.findings.map(\.subject) == ["/proc/self/mem"] || report.findings.count == 1)
        #expect(report.fileCount == 1)
        try laboratory.place(reader, in: scratch.file("restored"))
    }

    @Test func leavesOutWhatIsExcluded() throws {
        try shell("mkdir -p a/b c; touch a/x.key a/x.crt a/b/y.key c/z.tmp c/z 'a/[b]'", in: tree)
        let exclude = ["*.key", "\(tree)/a/b", "*/c/*.tmp", "\(tree)/a/\\[b\\]"]
        let (_, manifest, report) = try laboratory.capture([tree], exclude: exclude)
        let found = paths(manifest).filter { $0.hasPrefix("files\(tree)/") }.map { $0.dropFirst("files\(tree)/".count) }
        #expect(found == ["a", "a/x.crt", "c", "c/z"])
        #expect(report.findings.isEmpty)
        let (_, none, _) = try laboratory.capture(["\(tree)/a/x.key"], exclude: exclude)
        #expect(!paths(none).contains("files\(tree)/a/x.key"))
    }

    @Test func followsASelectedLinkAndKeepsIt() throws {
        try shell(
            "mkdir real; printf x > real/file; ln -s real link; ln -s link link2; ln -s /etc/passwd real/out", in: tree)
        let (reader, manifest, report) = try laboratory.capture(["\(tree)/link2"])
        #expect(report.findings.isEmpty)
        let found = paths(manifest).filter { $0.hasPrefix("files\(tree)/") }.map { $0.dropFirst("files\(tree)/".count) }
        #expect(Set(found).isSuperset(of: ["link2", "real", "real/file", "real/out"]))
        #expect(!paths(manifest).contains("files/etc/passwd"))
        try laboratory.place(reader, in: scratch.file("restored"))
        let copy = scratch.file("restored/files\(tree)")
        #expect(try String(contentsOfFile: "\(copy)/real/file", encoding: .utf8) == "x")
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: "\(copy)/link2") == "link")
    }

    /// What is below a link is taken at its real place, or a restore would have to go through the link.
    @Test func restoresWhatIsBelowALink() throws {
        try shell("mkdir -p real/pki; printf x > real/pki/file; ln -s real link", in: tree)
        for include in [["\(tree)/link/pki"], ["\(tree)/link/pki/file"], ["\(tree)/link/pki", "\(tree)/real"]] {
            let (reader, manifest, report) = try laboratory.capture(include)
            #expect(report.findings.isEmpty)
            #expect(paths(manifest).filter { $0.hasSuffix("/file") } == ["files\(tree)/real/pki/file"])
            let target = scratch.file("restored\(include.count)\(include[0].count)")
            try laboratory.place(reader, in: target)
            #expect(try String(contentsOfFile: "\(target)/files\(tree)/real/pki/file", encoding: .utf8) == "x")
        }
    }

    @Test func endsInALoop() throws {
        try shell("ln -s b a; ln -s a b; ln -s . self; mkdir d; ln -s .. d/up; printf x > d/file", in: tree)
        let (reader, _, report) = try laboratory.capture(["\(tree)/a", "\(tree)/a/below", "\(tree)/self/self/d", tree])
        #expect(codes(report) == ["link-loop", "link-loop"])
        #expect(report.fileCount == 1)
        try laboratory.place(reader, in: scratch.file("restored"))
    }

    @Test func keepsHardLinksAcrossPaths() throws {
        try shell("mkdir a b; printf x > a/one; ln a/one b/two; ln a/one b/three", in: tree)
        let (_, manifest, report) = try laboratory.capture(["\(tree)/b", "\(tree)/a"])
        let links = manifest.entries.filter { $0.kind == .hardLink }
        #expect(links.map(\.path) == ["files\(tree)/b/two", "files\(tree)/a/one"])
        #expect(links.allSatisfy { $0.linkTarget == "files\(tree)/b/three" && $0.size == 0 })
        #expect(report.fileCount == 1)
    }

    /// A file that grows and shrinks while it is read is captured with the size that its header says, or told of.
    @Test(arguments: [10_000, 3_000_000])
    func aFileThatChangesWhileItIsRead(size: Int) throws {
        let path = "\(tree)/changing"
        try Data(count: size).write(to: URL(filePath: path))
        let isDone = Atomic(false)
        let writer = Thread {
            var count = size
            while !isDone.load(ordering: .relaxed) {
                count = count > size * 2 ? size / 3 : count + size / 7
                truncate(path, off_t(count))
            }
        }
        writer.start()
        var tornCount = 0
        for _ in 0..<20 {
            let (reader, manifest, report) = try laboratory.capture([path])
            #expect(codes(report).allSatisfy { $0 == "file-changed" })
            tornCount += report.findings.count
            let entry = try #require(manifest.entries.last)
            #expect(entry.path == "files\(path)")
            var checker = try MemberChecker(reader)
            try reader.forEachMember { member in
                try checker.begin(member)
                try member.forEachPiece { checker.update($0) }
                try checker.end()
            }
            try checker.finish()
        }
        isDone.store(true, ordering: .relaxed)
        while !writer.isFinished { usleep(1_000) }
        let (_, _, quiet) = try laboratory.capture([path])
        #expect(quiet.findings.isEmpty)
    }

    /// A file that was small when the walk saw it and is not any more is captured whole.
    @Test func aFileThatGrowsBeyondTheBuffer() throws {
        let path = "\(tree)/grown"
        try Data((0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 / 7) }).write(to: URL(filePath: path))
        let directory = try OpenDirectory(path: tree)
        let name = try #require(EntryName("grown".utf8))
        var attributes = try directory.attributes(of: name)
        attributes.byteCount = 10
        let entry = WalkedEntry(
            directory: directory, name: name, attributes: attributes, path: Array(path.utf8), reference: nil,
            role: "component", isNamed: false)
        let metadata = EntryMetadata(path: "files\(path)", byteCount: 10, time: backupTime)
        var isTorn = true
        let (reader, _) = try laboratory.archive { writer in
            let outcome = try FileContent(writer: writer, members: MemberQueue(writer), captured: nil) { entry, _ in
                entry.role
            }.add(
                entry, metadata)
            #expect(outcome.byteCount == 3_000_000)
            isTorn = outcome.isTorn
        }
        #expect(!isTorn)
        try laboratory.place(reader, in: scratch.file("restored"))
        #expect(try run("cmp", [path, scratch.file("restored/files\(path)")], allowsFailure: true).status == 0)
    }

    /// A store that is full ends the capture with its own error, though that is one of a system call too.
    @Test func anErrorOfTheArchiveEndsTheCapture() throws {
        final class FullSink: ByteSink {
            var rest: Int
            init(_ byteCount: Int) { rest = byteCount }
            func write(_ bytes: UnsafeRawBufferPointer) throws {
                rest -= bytes.count
                if rest < 0 { throw SystemCallError("write to", "the store", errno: .noSpace) }
            }
        }
        try shell("for i in 1 2 3 4 5 6 7 8; do head -c 700000 /dev/urandom > small$i; done", in: tree)
        try shell("head -c 2000000 /dev/urandom > a-large; head -c 2000000 /dev/urandom > z-large", in: tree)
        for byteCount in stride(from: 100_000, to: 9_000_000, by: 433_333) {
            let writer = try laboratory.makeWriter(FullSink(byteCount))
            let capture = ControlPlaneCapture(into: writer)
            do {
                try capture.capture([FileReference(including: tree)])
                _ = try writer.finish(Manifest(archive: writer.header))
                Issue.record("a full store went unnoticed")
            } catch {
                #expect(Failure(wrapping: error).code == .noSpace)
                #expect(Failure(wrapping: error).message.contains("\"the store\""))
            }
            #expect(capture.report.findings.isEmpty)
            writer.abandon()
        }
    }
}
