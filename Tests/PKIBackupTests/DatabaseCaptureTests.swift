import Foundation
import HostIO
import SealedArchive
import TestSupport
import Testing

@testable import NodeFiles
@testable import PKIBackup

/// Databases that are written while they are captured.
@Suite(.timeLimit(.minutes(45)), .serialized) struct DatabaseCaptureTests {
    let laboratory: Laboratory
    let tree: NodeTree

    init() throws {
        laboratory = try Laboratory()
        tree = try NodeTree()
        try tree.make("mkdir db")
    }

    private func capture(into target: String) throws -> CaptureReport {
        var report = CaptureReport()
        let (reader, _) = try laboratory.archive { writer in
            let capture = ControlPlaneCapture(into: writer, root: tree.root)
            try capture.capture([
                FileReference(path: "/db", captureClass: .distribution, referrer: "test", isRequired: true)
            ])
            report = capture.report
        }
        try laboratory.place(reader, in: laboratory.scratch.file(target))
        return report
    }

    /// Writes transactions that keep the sum of both tables at nothing, until it is killed.
    private static let writer = """
        import sqlite3, sys, random
        c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
        c.execute('PRAGMA journal_mode=' + sys.argv[2])
        c.execute('PRAGMA synchronous=OFF')
        c.execute('PRAGMA wal_autocheckpoint=40')
        c.execute('CREATE TABLE IF NOT EXISTS a (id INTEGER PRIMARY KEY, v INTEGER, filling BLOB)')
        c.execute('CREATE TABLE IF NOT EXISTS b (id INTEGER PRIMARY KEY, v INTEGER, filling BLOB)')
        print('ready', flush=True)
        while True:
            v = random.randint(1, 1000)
            c.execute('BEGIN IMMEDIATE')
            for _ in range(8):
                key = random.randint(1, int(sys.argv[3]))
                c.execute('INSERT OR REPLACE INTO a VALUES (?, COALESCE((SELECT v FROM a WHERE id = ?), 0) + ?, randomblob(900))', (key, key, v))
                c.execute('INSERT OR REPLACE INTO b VALUES (?, COALESCE((SELECT v FROM b WHERE id = ?), 0) - ?, randomblob(900))', (key, key, v))
            c.execute('COMMIT')
        """

    @Test(arguments: [("WAL", 100), ("WAL", 2000), ("DELETE", 1000)])
    func sqliteThatIsWritten(mode: String, rowCount: Int) throws {
        let path = "\(tree.path)/db/state.db"
        let writer = try RunningCommand("python3", ["-c", Self.writer, path, mode, "\(rowCount)"])
        defer { writer.signal(SIGKILL) }
        try waitUntil { (try? FileManager.default.attributesOfItem(atPath: path)[.size] as? Int) ?? 0 > 100_000 }
        usleep(300_000)
        var modifications: Set<Int64> = []
        for round in 0..<4 {
            let target = "restored\(round)"
            let report = try capture(into: target)
            #expect(report.findings.isEmpty, "\(report.findings)")
            let copy = laboratory.scratch.file("\(target)/files/db/state.db")
            let answer = try run(
                "sqlite3", [copy, "PRAGMA integrity_check; SELECT (SELECT sum(v) FROM a) + (SELECT sum(v) FROM b);"])
            #expect(answer.text == "ok\n0\n", "\(answer.text) \(answer.errorText)")
            modifications.insert(Int64(try run("sqlite3", [copy, "SELECT sum(v) FROM a"]).text.dropLast()) ?? 0)
            #expect(!FileManager.default.fileExists(atPath: copy + "-shm") || mode == "WAL")
        }
        // It was written all the time.
        #expect(modifications.count > 1)
    }

    @Test func sqliteThatIsLockedIsCalledTorn() throws {
        let path = "\(tree.path)/db/state.db"
        try run("sqlite3", [path, "CREATE TABLE a (b); INSERT INTO a VALUES (1)"])
        let script =
            "import sqlite3, time, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN EXCLUSIVE'); c.execute('INSERT INTO a VALUES (2)'); print('ready', flush=True); time.sleep(60)"
        let holder = try RunningCommand("python3", ["-c", script, path])
        defer { holder.signal(SIGKILL) }
        usleep(500_000)
        let toucher = try RunningCommand("bash", ["-c", "while :; do touch \(path); sleep 0.0005; done"])
        defer { toucher.signal(SIGKILL) }
        usleep(100_000)
        var codes: [String] = []
        for round in 0..<3 where codes.isEmpty { codes = try capture(into: "r\(round)").findings.map(\.code) }
        // A file that can't be locked counts as whole only if nothing about it changed.
        #expect(codes == ["file-changed"] || codes.isEmpty)
    }

    @Test func aDatabaseTakesItsLogAlong() throws {
        let path = "\(tree.path)/db/state.db"
        let script =
            "import sqlite3, os, sys; c = sqlite3.connect(sys.argv[1]); c.execute('PRAGMA journal_mode=WAL'); c.execute('CREATE TABLE a (b)'); c.execute('INSERT INTO a VALUES (7)'); c.commit(); os._exit(0)"
        try run("python3", ["-c", script, path])
        var entries: [String] = []
        _ = try laboratory.archive { writer in
            let capture = ControlPlaneCapture(into: writer, root: tree.root)
            try capture.capture([
                FileReference(path: "/db/state.db", captureClass: .distribution, referrer: "test", isRequired: true)
            ])
            entries = capture.report.skipped.map(\.path)
            #expect(capture.report.fileCount == 2)
        }
        #expect(entries == ["/db/state.db-shm"])
        _ = try capture(into: "restored")
        let copy = laboratory.scratch.file("restored/files/db/state.db")
        #expect(try run("sqlite3", [copy, "SELECT b FROM a"]).text == "7\n")
    }

    /// Waits for something that another process does.
    private func waitUntil(_ isDone: () -> Bool) throws {
        for _ in 0..<2000 where !isDone() { usleep(10_000) }
        try #require(isDone())
    }

    private func record(_ text: String) throws -> String {
        let digest = try run("sha1sum", [], input: Data(text.utf8)).text.prefix(40)
        return "OVSDB JSON \(text.utf8.count) \(digest)\n\(text)"
    }

    @Test func ovsdbIsCutBehindItsLastWholeRecord() throws {
        let whole = try record("{\"name\":\"Open_vSwitch\"}\n") + record("{\"_date\":1}\n")
        for (index, rest) in ["", "OVSDB JS", "OVSDB JSON 500 0123456789012345678901234567890123456789\n{\"half"]
            .enumerated()
        {
            try tree.write(whole + rest, to: "/db/conf.db")
            #expect(try capture(into: "r\(index)").findings.isEmpty)
            let copy = laboratory.scratch.file("r\(index)/files/db/conf.db")
            #expect(try String(contentsOfFile: copy, encoding: .utf8) == whole)
        }
        // What only begins like one is captured as it is.
        let other =
            whole + "something else that is no record at all, and goes on for more than a header has bytes\n" + whole
        try tree.write(other, to: "/db/conf.db")
        _ = try capture(into: "other")
        #expect(try String(contentsOfFile: laboratory.scratch.file("other/files/db/conf.db"), encoding: .utf8) == other)
    }

    /// A log that only grows is whole though it changes all the time.
    @Test func ovsdbThatIsWritten() throws {
        let text = try record("{\"a\":\"\(String(repeating: "x", count: 400))\"}\n")
        try tree.write(text, to: "/db/conf.db")
        let log = "\(tree.path)/db/conf.db"
        try tree.write(text, to: "/record")
        let writer = try RunningCommand(
            "python3",
            [
                "-c",
                "import sys\nr = open(sys.argv[2], 'rb').read()\nf = open(sys.argv[1], 'ab', 0)\nwhile f.tell() < 6000000:\n    f.write(r[:100]); f.write(r[100:])",
                log, "\(tree.path)/record",
            ])
        defer { writer.signal(SIGKILL) }
        let size = try Data(contentsOf: URL(filePath: log)).count
        try waitUntil { (try? Data(contentsOf: URL(filePath: log)).count) ?? 0 > size }
        for round in 0..<5 {
            #expect(try capture(into: "r\(round)").findings.isEmpty)
            let copy = try Data(contentsOf: URL(filePath: laboratory.scratch.file("r\(round)/files/db/conf.db")))
            #expect(copy.count > 0 && copy.count % text.utf8.count == 0)
        }
    }

    private func boltPage(_ index: UInt64, transaction: UInt64) -> [UInt8] {
        func bytes<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
            withUnsafeBytes(of: number.littleEndian) { Array($0) }
        }
        let head = bytes(index) + bytes(UInt16(4)) + bytes(UInt16(0)) + bytes(UInt32(0))
        let meta =
            bytes(UInt32(0xED0C_DAED)) + bytes(UInt32(2)) + bytes(UInt32(4096)) + bytes(UInt32(0)) + bytes(UInt64(3))
            + bytes(UInt64(0)) + bytes(UInt64(2)) + bytes(UInt64(4)) + bytes(transaction) + bytes(UInt64(0))
        return head + meta + [UInt8](repeating: 0, count: 4096 - head.count - meta.count)
    }

    /// A file that changes all the time is whole as long as no transaction is committed.
    @Test func boltIsWholeWhileNothingIsCommitted() throws {
        let path = "\(tree.path)/db/meta.db"
        let pages = boltPage(0, transaction: 6) + boltPage(1, transaction: 7) + [UInt8](repeating: 0, count: 3 << 20)
        try Data(pages).write(to: URL(filePath: path))
        func isZero(at offset: Int) -> Bool {
            let data = try? Data(contentsOf: URL(filePath: path))
            return data?[offset..<offset + 8].allSatisfy { $0 == 0 } ?? true
        }
        let script =
            "import os, sys, time\nf = os.open(sys.argv[1], os.O_WRONLY)\ni = 0\nwhile True:\n    i += 1\n    os.pwrite(f, i.to_bytes(8, 'little'), int(sys.argv[2]) + (i % 50 * 4096 if sys.argv[2] != '64' else 0))"
        let pageWriter = try RunningCommand("python3", ["-c", script, path, "65536"])
        try waitUntil { !isZero(at: 65_536) }
        for round in 0..<5 { #expect(try capture(into: "r\(round)").findings.isEmpty) }
        pageWriter.signal(SIGKILL)
        let committer = try RunningCommand("python3", ["-c", script, path, "64"])
        defer { committer.signal(SIGKILL) }
        try waitUntil { !isZero(at: 65) }
        // On a busy machine a capture may pass without a commit.
        var report = CaptureReport()
        for round in 0..<100 where report.findings.isEmpty { report = try capture(into: "torn\(round)") }
        #expect(report.findings.map(\.code) == ["file-changed"])
        #expect(report.findings.first?.message.contains("possibly torn") == true)
    }

    @Test func realBoltDatabasesAreKnown() throws {
        let fixture = URL(filePath: #filePath).resolvingSymlinksInPath().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "Fixtures/etcd/snap-3.6.14.db")
        let bytes = try Data(contentsOf: fixture)
        #expect(bytes.withUnsafeBytes { DatabaseKind(prefix: $0) } == .bolt)
        #expect(bytes.withUnsafeBytes { BoltMeta.both(in: $0) }.count == 2)
        #expect(bytes.prefix(100).withUnsafeBytes { BoltMeta.both(in: $0) }.count == 1)
        #expect(bytes.prefix(60).withUnsafeBytes { DatabaseKind(prefix: $0) } == nil)
    }
}
