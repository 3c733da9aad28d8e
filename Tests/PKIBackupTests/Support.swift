import Age
import Foundation
import HostIO
import SealedArchive
import TestSupport
import Testing

@testable import NodeFiles
@testable import PKIBackup

let backupTime = Date(timeIntervalSince1970: 1_795_402_800)

/// Collects what is written, in memory.
final class MemorySink: ByteSink {
    private(set) var bytes: [UInt8] = []
    func write(_ bytes: UnsafeRawBufferPointer) { self.bytes.append(contentsOf: bytes) }
}

/// Bytes in memory, to read at random.
struct MemoryBytes: RandomAccessBytes {
    var name = "memory"
    var bytes: [UInt8]
    var byteCount: Int { bytes.count }

    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let part = bytes[min(offset, bytes.count)..<min(bytes.count, offset + buffer.count)]
        buffer.copyBytes(from: part)
        return part.count
    }
}

/// Captures into an archive in memory and places from it.
struct Laboratory {
    let identity: X25519Identity
    let scratch: TemporaryDirectory

    init() throws {
        identity = try X25519Identity.generate()
        scratch = try TemporaryDirectory()
    }

    func makeWriter(_ sink: any ByteSink) throws -> ArchiveWriter {
        try ArchiveWriter(
            to: sink, recipients: [identity.recipient],
            header: ArchiveHeader(id: BackupID(time: backupTime), cluster: "c", node: "n", createdAt: backupTime),
            options: CompressionOptions(frameSize: 64 << 10, coreCount: 2))
    }

    /// An archive of what `fill` writes.
    func archive(_ fill: (ArchiveWriter) throws -> Void) throws -> (reader: ArchiveReader, manifest: Manifest) {
        let sink = MemorySink()
        let writer = try makeWriter(sink)
        try fill(writer)
        _ = try writer.finish(Manifest(archive: writer.header))
        let reader = try ArchiveReader(MemoryBytes(bytes: sink.bytes), identities: [identity])
        return (reader, try reader.readManifest())
    }

    /// Captures paths; the reports come with the archive.
    func capture(
        _ paths: [String], exclude: [String] = []
    ) throws -> (reader: ArchiveReader, manifest: Manifest, report: CaptureReport) {
        var report = CaptureReport()
        let (reader, manifest) = try archive { writer in
            let capture = ControlPlaneCapture(into: writer, exclude: exclude)
            for path in paths { try capture.capture([FileReference(including: path)]) }
            report = capture.report
        }
        return (reader, manifest, report)
    }

    /// Places every member below `target`, checking it against the manifest.
    @discardableResult
    func place(_ reader: ArchiveReader, in target: String) throws -> FilePlacement {
        let placement = FilePlacement(root: try OpenDirectory.make(path: target))
        var checker = try MemberChecker(reader)
        try reader.forEachMember { member in
            try checker.begin(member)
            try placement.place(member) { checker.update($0) }
            try checker.end()
        }
        try checker.finish()
        try placement.finish()
        return placement
    }

    /// Captures paths, places them, and compares the trees at `path` by rsync and diff.
    func expectRoundTrip(
        of path: String, include: [String]? = nil, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let (reader, _, report) = try capture(include ?? [path])
        #expect(report.findings.isEmpty && report.skipped.isEmpty, sourceLocation: sourceLocation)
        let target = scratch.file("restored")
        // Others than root may not give the directories above to their owners.
        #expect(try place(reader, in: target).refusals.count == 0 || !isRoot, sourceLocation: sourceLocation)
        let copy = "\(target)/files\(path)"
        let changes = try run(
            "rsync", ["-aHAXn", "--delete", "--itemize-changes", "--checksum", "\(path)/", "\(copy)/"]
        ).text
        #expect(changes == "", sourceLocation: sourceLocation)
        let differences = try run("diff", ["-r", "--no-dereference", path, copy], allowsFailure: true)
        #expect(differences.status == 0, "\(differences.text)", sourceLocation: sourceLocation)
    }
}

/// Whether the tests run as root, who may change owners and make devices.
let isRoot = geteuid() == 0

/// Runs a shell script in a directory.
func shell(_ script: String, in directory: String) throws {
    try run("sh", ["-e", "-c", "cd \"$1\"\n\(script)", "sh", directory])
}

/// Runs `body` with another user's access to files, which setfsuid(2) gives to this thread alone.
func withFileUser<Result>(_ user: UInt32, _ body: () throws -> Result) throws -> Result {
    typealias SetFileUser = @convention(c) (UInt32) -> CInt
    let symbol = try #require(dlsym(nil, "setfsuid"))
    let setFileUser = unsafeBitCast(symbol, to: SetFileUser.self)
    _ = setFileUser(user)
    defer { _ = setFileUser(0) }
    return try body()
}
