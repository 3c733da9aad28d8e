import Foundation
import HostIO
import SystemPackage
import TestSupport
import Testing

@testable import SealedArchive

/// Programs that read tar files.
enum TarProgram: String, CaseIterable {
    case gnu = "tar"
    case libarchive = "bsdtar"

    func extract(_ archive: String, to directory: String) throws {
        let attributes = self == .gnu ? ["--xattrs", "--xattrs-include=*", "--numeric-owner"] : ["--xattrs"]
        let result = try run(
            rawValue, ["-x", "-p", "-f", archive, "-C", directory] + attributes, environment: ["LC_ALL": "C.UTF-8"])
        // GNU tar says so of names that are not UTF-8 and of times before 1970, and takes them as they are.
        let known = ["keyword 'hdrcharset'", "implausibly old time stamp"]
        let warnings = result.errorText.split(separator: "\n").filter { line in !known.contains { line.contains($0) } }
        #expect(warnings.isEmpty)
    }
}

@Suite struct TarTests {
    private func write(_ members: [TestMember]) throws -> [UInt8] {
        var tar: [UInt8] = []
        let writer = try PaxWriter { tar.append(contentsOf: $0) }
        for member in members {
            try writer.begin(member.metadata)
            try member.bytes.withUnsafeBytes { try writer.write($0) }
            try writer.end()
            #expect(writer.byteCount % 512 == 0)
        }
        try writer.finish()
        #expect(writer.byteCount == tar.count)
        return tar
    }

    private func read(_ tar: [UInt8], pieceSize: Int = 1000) throws -> [(EntryMetadata, [UInt8])] {
        var offset = 0
        return try tar.withUnsafeBytes { bytes in
            let reader = try PaxReader {
                guard offset < bytes.count else { return nil }
                defer { offset += pieceSize }
                return UnsafeRawBufferPointer(rebasing: bytes[offset..<min(bytes.count, offset + pieceSize)])
            }
            var members: [(EntryMetadata, [UInt8])] = []
            while let metadata = try reader.next() {
                var content: [UInt8] = []
                while let piece = try reader.data() { content.append(contentsOf: piece) }
                members.append((metadata, content))
            }
            return members
        }
    }

    /// Everything that a member can be.
    static let zoo: [TestMember] = {
        let long = String(repeating: "n", count: 250)
        let deep = (0..<12).map { "\(long.prefix(100))\($0)" }.joined(separator: "/")
        var broken = TestMember.file("x", Array("broken name".utf8))
        broken.metadata.path = Array("bad-".utf8) + [0xFF, 0xC3, 0x0A, 0x20]
        var attributed = TestMember.file("attributed", Array("xattrs".utf8))
        attributed.metadata.mode = 0o4751
        attributed.metadata.userID = 4321
        attributed.metadata.groupID = 3_000_000
        attributed.metadata.userName = "häns"
        attributed.metadata.modificationNanoseconds = 123_456_789
        attributed.metadata.extendedAttributes = [
            ExtendedAttribute(name: "user.binary", value: Data([0, 1, 0x0A, 0x3D, 0xFF])),
            ExtendedAttribute(name: "user.text", value: Data("value".utf8)),
        ]
        var named = TestMember.file("strangely attributed", Array("xattrs".utf8))
        named.metadata.modificationSeconds = -86_400
        named.metadata.modificationNanoseconds = 250_000_000
        named.metadata.extendedAttributes = [
            "user.%41", "user.%zz", "user.=", "user.a%3Db=c", "user.sp ace", "user.tab\t\n", "user.x", "user.é",
            "user.日本",
        ].map { ExtendedAttribute(name: $0, value: Data("17 SCHILY.xattr.xxxxxx=\n\($0)".utf8)) }
        for byte in [0xFE, 0xFF] as [UInt8] {
            named.metadata.extendedAttributes.append(
                ExtendedAttribute(name: Array("user.".utf8) + [byte], value: Data([byte])))
        }
        return [
            .directory("dir"), .file("dir/empty", []), .file("dir/\(long)", pattern(513)), .file(deep, pattern(1)),
            .file("dir/ümläut 日本\n", pattern(512)), broken, attributed, named, .link("dir/link", to: "../attributed"),
            .link("long-link", to: deep), .link("dir/second", to: "attributed", kind: .hardLink),
        ]
    }()

    @Test func readsWhatItWrites() throws {
        for pieceSize in [1, 511, 1000, 1 << 20] {
            let members = try read(try write(Self.zoo), pieceSize: pieceSize)
            #expect(members.map(\.0) == Self.zoo.map(\.metadata))
            #expect(members.map(\.1) == Self.zoo.map(\.bytes))
        }
    }

    /// A page that could not be locked leaves it behind, for one.
    @Test func anEarlierErrorIsNoneOfTheTar() throws {
        var tar: [UInt8] = []
        let writer = try PaxWriter { tar.append(contentsOf: $0) }
        var metadata = TestMember.file("x", []).metadata
        metadata.path = Array("bad-".utf8) + [0xFF]
        errno = ENOMEM
        try writer.begin(metadata)
        try writer.end()
        try writer.finish()
        errno = ENOMEM
        #expect(try read(tar).map(\.0.path) == [metadata.path])
    }

    @Test(arguments: TarProgram.allCases)
    func otherProgramsReadIt(program: TarProgram) throws {
        let scratch = try TemporaryDirectory()
        let tar = scratch.file("x.tar")
        try Data(try write(Self.zoo)).write(to: URL(filePath: tar))
        let root = try OpenDirectory.make(path: scratch.file("out"))
        try program.extract(tar, to: root.path)
        for member in Self.zoo where geteuid() == 0 || member.metadata.userID == 0 {
            let names = try #require(EntryName.components(of: member.metadata.path))
            let parent = try names.dropLast().reduce(root) { try $0.openDirectory($1) }
            let name = try #require(names.last)
            let attributes = try parent.attributes(of: name)
            switch member.metadata.kind {
            case .file:
                let descriptor = try parent.openFile(name)
                defer { try? descriptor.close() }
                var content = [UInt8](repeating: 0, count: member.bytes.count + 1)
                let count = try content.withUnsafeMutableBytes { try readFully(descriptor, name: "", at: 0, into: $0) }
                #expect(Array(content.prefix(count)) == member.bytes)
                #expect(attributes.mode == member.metadata.mode)
                // libarchive reads fractions of times before 1970 with the wrong sign.
                guard program == .gnu || member.metadata.modificationSeconds >= 0 else { break }
                #expect(attributes.modificationSeconds == member.metadata.modificationSeconds)
                #expect(attributes.modificationNanoseconds == member.metadata.modificationNanoseconds)
            case .directory: #expect(attributes.mode == member.metadata.mode)
            case .symbolicLink: #expect(try parent.readLink(name) == member.metadata.linkTarget)
            case .hardLink: #expect(attributes.linkCount == 2)
            }
        }
        let name = try #require(EntryName("attributed".utf8))
        let found = try root.extendedAttributes(of: name).filter { $0.name.starts(with: "user.".utf8) }
        #expect(found.map(\.value) == [[0, 1, 0x0A, 0x3D, 0xFF], Array("value".utf8)])
    }

    /// Names of attributes are any bytes; `=`, which ends a keyword, has a form that GNU tar knows.
    @Test func gnuTarKeepsNamesOfAttributes() throws {
        let member = try #require(Self.zoo.first { $0.metadata.displayPath == "strangely attributed" })
        let scratch = try TemporaryDirectory()
        try Data(try write([member])).write(to: URL(filePath: scratch.file("x.tar")))
        let root = try OpenDirectory.make(path: scratch.file("out"))
        try TarProgram.gnu.extract(scratch.file("x.tar"), to: root.path)
        let name = try #require(EntryName(member.metadata.path))
        let found = try root.extendedAttributes(of: name).filter { $0.name.starts(with: "user.".utf8) }
        #expect(found.map(\.name) == member.metadata.extendedAttributes.map(\.name))
        #expect(found.map { Data($0.value) } == member.metadata.extendedAttributes.map(\.value))
    }

    /// As archives made by earlier versions have them.
    @Test func namesInTheFormOfLibarchiveAreRead() {
        for (keyword, name) in [("user.sp%20ace", "user.sp ace"), ("user.%C3%A9", "user.é"), ("user.%", "user.%")] {
            #expect(AttributeKeyword.name(Array(keyword.utf8)) == Array(name.utf8))
        }
    }

    @Test(
        arguments: [
            (0, 0), (0, 5), (-1, 0), (-2, 999_999_999), (-2, 1), (-86_400, 250_000_000), (1, 999_999_999), (.min, 0),
            (.min, 1),
            (.max, 5),
        ] as [(Int64, Int)])
    func timesComeBack(seconds: Int64, nanoseconds: Int) throws {
        let time = PaxTime(seconds: seconds, nanoseconds: nanoseconds)
        let written = time.written
        #expect(PaxTime(read: written.seconds, written.nanoseconds) == time)
        #expect(written.seconds.signum() == seconds.signum() || seconds == 0)
    }

    /// The last second before 1970 is kept, and not its fraction.
    @Test func theLastSecondBefore1970HasNoFraction() {
        #expect(PaxTime(seconds: -1, nanoseconds: 5).written == PaxTime(seconds: -1, nanoseconds: 0))
    }

    /// What is more is left out of a capture: see that readers take as much.
    @Test(arguments: TarProgram.allCases) func manyAttributesAreRead(program: TarProgram) throws {
        var member = TestMember.file("many", [1])
        member.metadata.extendedAttributes = (10..<26).map {
            ExtendedAttribute(name: "user.\($0)", value: Data(repeating: 7, count: 60 << 10))
        }
        let tar = try write([member])
        #expect(try read(tar).map(\.0) == [member.metadata])
        let scratch = try TemporaryDirectory()
        try Data(tar).write(to: URL(filePath: scratch.file("x.tar")))
        #expect(try run(program.rawValue, ["-tf", scratch.file("x.tar")]).text == "many\n")
    }

    /// The size field of ustar ends at 8 GiB, pax goes on; only the header is written.
    @Test(arguments: TarProgram.allCases)
    func saysSizesPastEightGibibytes(program: TarProgram) throws {
        let size = 9 << 30
        var tar: [UInt8] = []
        do {
            let writer = try PaxWriter { tar.append(contentsOf: $0) }
            try writer.begin(EntryMetadata(path: "etcd/big.db", byteCount: size, time: backupTime))
            #expect(writer.byteCount == tar.count)
        }
        // The writer was dropped in the middle of the member and must not have filled it up.
        #expect(tar.count <= 8192)
        let scratch = try TemporaryDirectory()
        try Data(tar).write(to: URL(filePath: scratch.file("x.tar")))
        let listing = try run(program.rawValue, ["-tvf", scratch.file("x.tar")], allowsFailure: true)
        #expect(listing.text.contains("\(size)") && listing.text.contains("etcd/big.db"))
    }

    @Test func refusesMoreBytesThanTheHeaderSays() throws {
        var count = 0
        let writer = try PaxWriter { count += $0.count }
        try writer.begin(EntryMetadata(path: "a", byteCount: 3, time: backupTime))
        #expect(throws: Failure.self) { try Array("four".utf8).withUnsafeBytes { try writer.write($0) } }
    }

    @Test func refusesWhatAnArchiveNeverHolds() throws {
        let scratch = try TemporaryDirectory()
        #expect(mkfifo(scratch.file("fifo"), 0o600) == 0)
        let tar = try run("tar", ["-c", "-C", scratch.path, "fifo"]).output
        let error = #expect(throws: Failure.self) { try read(Array(tar)) }
        #expect(error?.code == .integrity)
        #expect(error?.message.contains("\"fifo\"") == true)
    }

    @Test func refusesEveryTruncationInsideAMember() throws {
        let tar = try write([.file("a", pattern(700)), .file("b", pattern(600, seed: 2))])
        let whole = try read(tar).map(\.1)
        for count in 0..<tar.count - 1024 {
            let members = try? read(Array(tar.prefix(count))).map(\.1)
            // libarchive takes a tar without its end marker; what it gives must be whole members.
            if let members { #expect(members == Array(whole.prefix(members.count))) }
        }
    }
}
