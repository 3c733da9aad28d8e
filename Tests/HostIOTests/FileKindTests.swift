import Foundation
import TestSupport
import Testing

@testable import HostIO

@Suite struct FileKindTests {
    let scratch: TemporaryDirectory

    init() throws { scratch = try TemporaryDirectory() }

    private func kind(_ name: String) throws -> FileKind? {
        let bytes = Array(try Data(contentsOf: URL(filePath: scratch.file(name))))
        return FileKind(Array(bytes.prefix(FileKind.headByteCount)), byteCount: bytes.count)
    }

    /// What the programs themselves write.
    @Test(arguments: [
        ("gzip -k plain", "plain.gz", FileKind.gzip), ("bzip2 -k plain", "plain.bz2", .bzip2),
        ("xz -k plain", "plain.xz", .xz), ("zstd -q plain", "plain.zst", .zstd),
        ("tar cf all.tar plain", "all.tar", .tar),
        ("python3 -m zipfile -c all.zip plain", "all.zip", .zip),
        (
            "python3 -c 'import sqlite3; c = sqlite3.connect(\"state.db\"); c.execute(\"create table t (a)\"); c.commit()'",
            "state.db", .sqlite
        ),
        ("openssl genpkey -algorithm ed25519 -out key.pem", "key.pem", .pem),
        ("openssl enc -aes-256-cbc -pbkdf2 -k pass -in plain -out sealed", "sealed", .openssl),
        ("age-keygen -o k 2>/dev/null; age -r $(age-keygen -y k) -o a.age plain", "a.age", .age),
        ("age-keygen -o k 2>/dev/null; age -a -r $(age-keygen -y k) -o a.age plain", "a.age", .armoredAge),
        (
            "gpg --homedir . --batch --passphrase x --pinentry-mode loopback --symmetric -o sealed.gpg plain; gpgconf --homedir . --kill all",
            "sealed.gpg", .pgp
        ),
        ("cp $(command -v cat) program", "program", .elf),
        ("printf '\\357\\273\\277<!DOCTYPE html>' > page", "page", .html),
        ("printf '\\n<?xml version=1.0?>' > error", "error", .xml), ("echo '{}' > d", "d", .json),
        (": > none", "none", .empty),
    ])
    func tellsWhatProgramsWrite(command: String, name: String, expected: FileKind) throws {
        try scratch.write(String(repeating: "some text\n", count: 100), to: "plain")
        try run("sh", ["-ec", "cd '\(scratch.path)'; \(command)"])
        #expect(try kind(name) == expected)
    }

    @Test func leavesOthersUnnamed() throws {
        for text in ["some text", "AGE-SECRET-KEY-1", "age1xyz", "a: b"] {
            try scratch.write(text, to: "text")
            #expect(try kind("text") == nil)
        }
        #expect(FileKind([UInt8](repeating: 0, count: 4096), byteCount: 4096) == nil)
        #expect(FileKind([8], byteCount: 1) == nil)
    }

    /// Beginnings that gpg writes: of a passphrase's file, of a key's of both kinds, and of a signed file.
    @Test(arguments: [
        "8c0d04090302f1c9d9a1b2", "c30d04090302f1c9d9a1b2", "85020c03aabbccddeeff112201",
        "845e03aabbccddeeff1122120107",
        "c1c04c03aabbccddeeff112201", "a3019bcd00112233445566",
    ])
    func tellsOpenPGP(start: String) {
        let digits = Array(start.utf8)
        let bytes = stride(from: 0, to: digits.count, by: 2).map {
            UInt8(String(decoding: digits[$0..<$0 + 2], as: UTF8.self), radix: 16) ?? 0
        }
        let head = bytes + [UInt8](repeating: 0x42, count: 64)
        #expect(FileKind(head, byteCount: 830) == .pgp)
        #expect(FileKind(Array(head.dropFirst()), byteCount: 829) == nil)
    }

    @Test func everyKindHasWords() {
        for kind in FileKind.allCases { #expect(!kind.noun.isEmpty && !kind.advice.isEmpty) }
    }
}

@Suite struct TextEncodingTests {
    static let text = "# ключ 🔑\r\nAGE-SECRET-KEY-1\n"

    @Test(
        arguments: [
            (String.Encoding.utf16LittleEndian, [0xFF, 0xFE]), (.utf16BigEndian, [0xFE, 0xFF]),
            (.utf8, [0xEF, 0xBB, 0xBF]),
        ] as [(String.Encoding, [UInt8])])
    func readsWhatWindowsWrites(encoding: String.Encoding, mark: [UInt8]) throws {
        let bytes = mark + Array(try #require(Self.text.data(using: encoding)))
        #expect(try convertedToUTF8(bytes, name: "x") == Array(Self.text.utf8))
    }

    @Test(arguments: [String.Encoding.utf16LittleEndian, .utf16BigEndian])
    func readsUTF16WithoutAMark(encoding: String.Encoding) throws {
        let bytes = Array(try #require(Self.text.data(using: encoding)))
        #expect(try convertedToUTF8(bytes, name: "x") == Array(Self.text.utf8))
    }

    @Test func leavesUTF8Alone() throws {
        for text in [Self.text, "", "a", "ab", "\0\0\0\0", "age1"] {
            #expect(try convertedToUTF8(Array(text.utf8), name: "x") == nil)
        }
    }

    @Test(
        arguments: [
            [0xFF, 0xFE, 0x41], [0xFF, 0xFE, 0x00, 0xD8], [0xFF, 0xFE, 0x00, 0xDC, 0x41, 0],
            [0xFF, 0xFE, 0x00, 0xD8, 0x41, 0],
            [0xFF, 0xFE, 0, 0, 0x41, 0, 0, 0], [0, 0, 0xFE, 0xFF],
        ] as [[UInt8]])
    func namesWhatCannotBeRead(bytes: [UInt8]) {
        let error = #expect(throws: Failure.self) { try convertedToUTF8(bytes, name: "key.txt") }
        #expect(
            error?.code == .usage && error?.message.contains("UTF-") == true && error?.hint?.contains("UTF-8") == true)
    }
}
