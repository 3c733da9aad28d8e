import Age
import Foundation
import HostIO
import TestSupport
import Testing

@testable import SealedArchive

/// Numbers that somebody made up: whatever they are, an archive is refused and nothing is allocated for them.
@Suite(.timeLimit(.minutes(45))) struct HostileNumberTests {
    let laboratory: Laboratory
    let members: [TestMember]
    let manifest: Manifest

    init() throws {
        laboratory = try Laboratory()
        members = [.file("files/a", pattern(1_000)), .file("files/b", pattern(500)), .snapshot(pattern(100))]
        var manifest = try laboratory.archive(members).manifest
        manifest.etcd = [snapshotRecord()]
        self.manifest = manifest
    }

    private func refusal(_ change: (inout Manifest) -> Void) throws -> Failure? {
        var manifest = manifest
        change(&manifest)
        return laboratory.refusal(of: try laboratory.forge(members, manifest: manifest))
    }

    private func expectIntegrity(
        naming name: String, _ change: (inout Manifest) -> Void, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let failure = try refusal(change)
        #expect(failure?.code == .integrity, sourceLocation: sourceLocation)
        #expect(
            failure?.message.contains(name) == true, "\(String(describing: failure))", sourceLocation: sourceLocation)
    }

    @Test func withoutAChangeItIsWhole() throws { #expect(try refusal { _ in } == nil) }

    @Test func placesOfMembers() throws {
        for value in [Int.max, Int.min, -1, 1 << 62] {
            try expectIntegrity(naming: "lies outside the tar") { $0.entries[1].offset = value }
            try expectIntegrity(naming: "lies outside the tar") { $0.entries[1].size = value }
        }
        // In the tar, and in each other.
        try expectIntegrity(naming: "or in another member") { $0.entries[2].offset = $0.entries[1].offset }
        try expectIntegrity(naming: "or in another member") { $0.entries[1].size += 1024 }
    }

    /// What `verify` hashes is what is read by the offset of the manifest.
    @Test func anOffsetThatPointsElsewhere() throws {
        try expectIntegrity(naming: "the manifest says at") { $0.entries[1].offset += 1 }
        try expectIntegrity(naming: "the manifest says at") { $0.entries[2].offset -= 12 }
    }

    @Test func aFileWithoutDigest() throws {
        try expectIntegrity(naming: "no sha256 of the file \"files/b\"") { $0.entries[2].sha256 = nil }
    }

    /// The header, the first member, is repeated in the manifest.
    @Test func aManifestOfAnotherArchive() throws {
        try expectIntegrity(naming: "is not the header that the manifest repeats") { $0.archive.node = "other" }
        try expectIntegrity(naming: "is not the header that the manifest repeats") { $0.archive.requires = nil }
    }

    @Test func numbersOfSnapshots() throws {
        for size in [Int.max, Int.min, -1, 1 << 56] {
            try expectIntegrity(naming: "databaseSize") { $0.etcd[0].databaseSize = size }
        }
        try expectIntegrity(naming: "databaseSize") {
            $0.etcd = Array(repeating: $0.etcd[0], count: 50)
            for index in $0.etcd.indices { $0.etcd[index].databaseSize = 1 << 10 }
        }
        try expectIntegrity(naming: "revision") { $0.etcd[0].revision = .max }
        try expectIntegrity(naming: "sequence") { $0.sequence = .max }
    }

    @Test func sumsOfASidecar() throws {
        let (_, manifest, summary) = try laboratory.archive(members)
        var full = manifest
        full.etcd = [snapshotRecord()]
        let sidecar = Sidecar(
            manifest: full, sealed: summary, recipients: [], completedAt: backupTime, sequence: 1,
            previousSidecarSHA256: nil)
        _ = try Sidecar.decode(DocumentCoding.encode(sidecar), name: "doc")
        var many = sidecar
        many.object.tarSize = 1 << 56
        many.etcd = Array(repeating: sidecar.etcd[0], count: 300)
        for index in many.etcd.indices { many.etcd[index].databaseSize = 1 << 55 }
        var header = sidecar
        header.object.headerSize = header.object.size + 1
        var large = sidecar
        large.object.size = .max
        for (document, field) in [(many, "etcd.databaseSize"), (header, "headerSize"), (large, "object.size")] {
            let error = try #require(throws: Failure.self) {
                try Sidecar.decode(DocumentCoding.encode(document), name: "doc")
            }
            #expect(error.code == .integrity && error.message.contains(field), "\(error)")
        }
    }

    /// Two members whose sizes are together more than an `Int`, as GNU tar and pax write sparse ones.
    @Test(arguments: ["GNU", "pax 1.0", "plain"])
    func membersThatClaimExbibytes(form: String) throws {
        let script = """
            import io, sys, tarfile
            form, out = sys.argv[1], tarfile.open(fileobj=sys.stdout.buffer, mode='w|', format=tarfile.PAX_FORMAT)
            for name in ('files/a', 'files/b'):
                info = tarfile.TarInfo(name)
                body = b''
                if form == 'GNU':
                    info.type = tarfile.GNUTYPE_SPARSE
                    buf = bytearray(info.create_gnu_header(info.get_info(), 'utf-8', 'strict'))
                    size = lambda n: b'\\x80' + n.to_bytes(11, 'big')
                    buf[386:398], buf[398:410], buf[483:495] = size(2**62), size(0), size(2**62)
                    buf[148:156] = b' ' * 8
                    buf[148:156] = b'%06o\\0 ' % sum(buf)
                    out.fileobj.write(bytes(buf))
                    continue
                if form == 'pax 1.0':
                    body = (b'1\\n%d\\n0\\n' % 2**62).ljust(512, b'\\0')
                    info.pax_headers = {'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.name': name,
                        'GNU.sparse.realsize': str(2**62)}
                else: info.pax_headers = {'size': str(2**62)}
                info.size = len(body)
                out.addfile(info, io.BytesIO(body))
            out.close()
            """
        let tar = Array(try run("python3", ["-c", script, form]).output)
        try #require(tar.count >= 1024)
        let failure = laboratory.refusal(of: try laboratory.archive(ofTar: tar))
        #expect(failure?.code == .integrity, "\(String(describing: failure))")
        #expect(failure?.message.contains("does not fit a tar") == true, "\(String(describing: failure))")
    }

    /// A hole in a member of which the manifest has the digest of what is not a hole.
    @Test func aSparseMemberThatFits() throws {
        let script = """
            import io, sys, tarfile
            out = tarfile.open(fileobj=sys.stdout.buffer, mode='w|', format=tarfile.PAX_FORMAT)
            info = tarfile.TarInfo('files/a')
            body = b'1\\n4\\n4\\n'.ljust(512, b'\\0') + b'abcd'
            info.pax_headers = {'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.name': 'files/a',
                'GNU.sparse.realsize': '12'}
            info.size = len(body)
            out.addfile(info, io.BytesIO(body))
            out.close()
            """
        let bytes = try laboratory.archive(ofTar: Array(try run("python3", ["-c", script]).output))
        let reader = try laboratory.open(bytes)
        let error = try #require(throws: Failure.self) {
            try reader.forEachMember(workerCount: 1) { try $0.forEachPiece { _ in } }
        }
        #expect(error.code == .integrity && error.message.contains("\"files/a\" of 12 bytes has holes"))
    }

    @Test func aManifestThatNobodyCouldRead() throws {
        let writer = try ArchiveWriter(
            to: MemorySink(), recipients: [laboratory.identity.recipient], header: makeHeader(),
            options: laboratory.options)
        #expect(writer.manifestSizeLimit == 128 << 20)
        writer.manifestSizeLimit = 1000
        for index in 0..<10 { try writer.add(TestMember.file("files/\(index)", []).metadata, role: EntryRole.include) }
        let error = try #require(throws: Failure.self) { try writer.finish(Manifest(archive: writer.header)) }
        #expect(error.code == .failed && error.message.contains("at most 1000 are read"))
        writer.abandon()
    }
}

extension Laboratory {
    /// An archive of any tar, whose manifest says nothing of it.
    func archive(ofTar tar: [UInt8]) throws -> [UInt8] {
        let manifest = try DocumentCoding.encode(Manifest(archive: makeHeader()))
        let content = tar + manifest
        let frame = Array(try run("zstd", ["-q", "-c"], input: Data(content)).output)
        var table = SeekTable()
        table.frames.append(
            .init(compressedSize: UInt32(frame.count), decompressedSize: UInt32(content.count)))
        let locator = ManifestLocator(
            offset: tar.count, byteCount: manifest.count, sha256: sha256(manifest)
        ).encode()
        table.frames.append(.init(compressedSize: UInt32(locator.count), decompressedSize: 0))
        return try seal(frame + locator + table.encode())
    }
}
