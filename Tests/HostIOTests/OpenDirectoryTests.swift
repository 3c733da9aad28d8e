import Foundation
import HostIO
import SystemPackage
import TestSupport
import Testing

@Suite struct OpenDirectoryTests {
    let scratch: TemporaryDirectory
    let directory: OpenDirectory

    init() throws {
        scratch = try TemporaryDirectory()
        directory = try OpenDirectory(path: scratch.path)
    }

    @Test func listsNamesAsBytesInOrder() throws {
        for name in [Array("b".utf8), Array("a".utf8), brokenName, Array("a\nb".utf8)] {
            try directory.createFile(#require(EntryName(name))).close()
        }
        #expect(try directory.names() == [Array("a".utf8), Array("a\nb".utf8), Array("b".utf8), brokenName])
        #expect(try directory.utf8Names() == ["a", "a\nb", "b"])
    }

    @Test func listsAgainFromTheBeginning() throws {
        try scratch.write("", to: "a")
        #expect(try directory.names() == directory.names())
        try scratch.write("", to: "b")
        #expect(try directory.names().count == 2)
    }

    @Test func followsNoLink() throws {
        try scratch.write("secret", to: "file")
        _ = try directory.makeDirectory("real")
        symlink("real", scratch.file("link"))
        symlink("file", scratch.file("filelink"))
        #expect(throws: SystemCallError.self) { try directory.openDirectory("link") }
        #expect(throws: SystemCallError.self) { try directory.openDirectory(entry("link")) }
        #expect(throws: SystemCallError.self) { try directory.makeDirectory("link") }
        #expect(throws: SystemCallError.self) { try directory.makeDirectory(entry("link")) }
        #expect(throws: SystemCallError.self) { try directory.openFile(entry("filelink")) }
        #expect(throws: SystemCallError.self) { try directory.createFile(entry("filelink")) }
        #expect(!directory.isDirectory("link"))
        #expect(directory.contains("link"))
        #expect(try directory.attributes(of: entry("link")).kind == .symbolicLink)
        #expect(try directory.readLink(entry("link")) == Array("real".utf8))
        #expect(try contents(scratch.file("file")) == Array("secret".utf8))
    }

    @Test func makesDirectoriesForThisUserOnly() throws {
        _ = try OpenDirectory.make(path: scratch.file("a/b/c"))
        for path in ["a", "a/b", "a/b/c"] { #expect(try mode(scratch.file(path)) == 0o700) }
        let again = try OpenDirectory.make(path: scratch.file("a/b/c"))
        #expect(again.path == scratch.file("a/b/c"))
        try scratch.write("", to: "file")
        #expect(throws: SystemCallError.self) { try OpenDirectory.make(path: scratch.file("file/below")) }
    }

    @Test func removesATreeAndNothingOutside() throws {
        let outside = try TemporaryDirectory()
        try outside.write("stays", to: "kept")
        let tree = try directory.makeDirectory("tree")
        let broken = try #require(EntryName(brokenName))
        let below = try tree.makeDirectory(broken)
        try below.createFile(broken).close()
        try below.createFile(entry("plain")).close()
        try tree.makeSymbolicLink(entry("out"), to: Array(outside.path.utf8))
        try below.makeSymbolicLink(broken.bytes == brokenName ? entry("file") : broken, to: Array("../../x".utf8))
        #expect(mkfifo(scratch.file("tree/fifo"), 0o600) == 0)
        try directory.removeTree("tree")
        #expect(try directory.names().isEmpty)
        #expect(try contents(outside.file("kept")) == Array("stays".utf8))
    }

    @Test func removesALinkAndNotItsTarget() throws {
        let target = try directory.makeDirectory("target")
        try target.createFile(entry("kept")).close()
        symlink("target", scratch.file("link"))
        try directory.removeTree("link")
        try directory.removeTree("missing")
        #expect(try directory.utf8Names() == ["target"])
        #expect(try target.names().count == 1)
        try directory.removeFile("missing")
        #expect(throws: SystemCallError.self) { try directory.removeFile("target") }
        #expect(throws: SystemCallError.self) { try directory.removeEmptyDirectory("target") }
    }

    @Test func renamesWithoutReplacing() throws {
        try scratch.write("new", to: "new")
        try scratch.write("old", to: "old")
        #expect(throws: SystemCallError.self) { try directory.rename("new", to: "old", replacing: false) }
        #expect(try contents(scratch.file("old")) == Array("old".utf8))
        try directory.rename("new", to: "old", replacing: true)
        #expect(try contents(scratch.file("old")) == Array("new".utf8))
        #expect(try directory.utf8Names() == ["old"])
    }

    @Test func keepsExtendedAttributesAsBytes() throws {
        let name = try #require(EntryName(brokenName))
        try directory.createFile(name).close()
        try directory.setExtendedAttribute(of: name, Array("user.b".utf8), [0, 1, 255])
        try directory.setExtendedAttribute(of: name, Array("user.a".utf8), [])
        let brokenAttribute = Array("user.z".utf8) + [0xFF, 0x20, 0xFE]
        try directory.setExtendedAttribute(of: name, brokenAttribute, [7])
        let attributes = try directory.extendedAttributes(of: name).filter { $0.name.starts(with: "user.".utf8) }
        #expect(attributes.map(\.name) == [Array("user.a".utf8), Array("user.b".utf8), brokenAttribute])
        #expect(attributes.map(\.value) == [[], [0, 1, 255], [7]])
    }

    @Test func tellsWhatAnEntryIs() throws {
        try scratch.write("12345", to: "file")
        #expect(chmod(scratch.file("file"), 0o4751) == 0)
        #expect(mkfifo(scratch.file("fifo"), 0o600) == 0)
        try directory.makeHardLink(entry("second"), to: entry("file"), in: directory)
        try directory.setModificationTime(of: entry("file"), seconds: 1_700_000_000, nanoseconds: 123_456_789)
        let file = try directory.attributes(of: entry("file"))
        #expect(file.kind == .file && file.byteCount == 5 && file.mode == 0o4751 && file.linkCount == 2)
        #expect(file.modificationSeconds == 1_700_000_000 && file.modificationNanoseconds == 123_456_789)
        #expect(try directory.attributes(of: entry("second")).identity == file.identity)
        #expect(try directory.attributes(of: entry("fifo")).kind == .fifo)
        #expect(try directory.attributes().kind == .directory)
    }

    @Test func missingNamesAreNotFound() throws {
        let error = #expect(throws: SystemCallError.self) { try OpenDirectory(path: scratch.file("none")) }
        #expect(error?.failure.code == .notFound)
        #expect(throws: SystemCallError.self) { try directory.attributes(of: entry("none")) }
    }

    @Test func knowsTheSpace() throws {
        let available = try directory.availableByteCount()
        #expect(available > 0)
        #expect(try directory.totalByteCount() >= available)
    }
}

@Suite struct RandomAccessTests {
    @Test func readsByPosition() throws {
        let scratch = try TemporaryDirectory()
        let file = try RandomAccessFile(path: scratch.write("0123456789", to: "file"))
        #expect(file.byteCount == 10)
        #expect(try file.bytes(at: 3, count: 4) == Array("3456".utf8))
        #expect(try file.bytes(at: 8, count: 4) == Array("89".utf8))
        #expect(try file.bytes(at: 10, count: 4).isEmpty)
        let part = ByteRange(of: file, offset: 2, byteCount: 5)
        #expect(try part.bytes(at: 1, count: 100) == Array("3456".utf8))
        #expect(try part.bytes(at: 5, count: 1).isEmpty)
        #expect(try part.bytes(at: 6, count: 1).isEmpty)
    }

    @Test func refusesWhatIsNoFile() throws {
        let scratch = try TemporaryDirectory()
        #expect(mkfifo(scratch.file("fifo"), 0o600) == 0)
        #expect(throws: Failure.self) { try RandomAccessFile(path: scratch.file("fifo")) }
        #expect(throws: Failure.self) { try RandomAccessFile(path: scratch.path) }
        #expect(throws: SystemCallError.self) { try RandomAccessFile(path: scratch.file("none")) }
    }
}
