import Age
import Foundation
import HostIO
import SealedArchive
import TestSupport
import Testing

@testable import Operations

/// Collects what is written, in memory.
private final class MemorySink: ByteSink {
    private(set) var bytes: [UInt8] = []
    func write(_ bytes: UnsafeRawBufferPointer) { self.bytes.append(contentsOf: bytes) }
}

@Suite struct KeysTests {
    let scratch: TemporaryDirectory
    let first: X25519Identity
    let second: X25519Identity

    init() throws {
        scratch = try TemporaryDirectory()
        first = try X25519Identity.generate()
        second = try X25519Identity.generate()
    }

    private func text(_ identity: X25519Identity) -> String { String(decoding: identity.encoded(), as: UTF8.self) }

    /// Files of keys as editors and shells of Windows write them.
    @Test(arguments: [String.Encoding.utf16LittleEndian, .utf16BigEndian, .utf8])
    func filesOfWindows(encoding: String.Encoding) throws {
        let identity = try X25519Identity.generate()
        let secret = String(decoding: identity.encoded(), as: UTF8.self)
        for mark in ["\u{FEFF}", ""] {
            func write(_ text: String, _ name: String) throws -> String {
                let path = scratch.file(name)
                try #require("\(mark)\(text)".data(using: encoding)).write(to: URL(filePath: path))
                return path
            }
            let identities = try write("# mine\r\n\(secret)\r\n", "identity.txt")
            #expect(try Keys.identities(files: [identities], passphraseFile: nil).count == 1)
            let recipients = try write("# mine\r\n\(identity.recipient.string)\r\n", "recipients.txt")
            #expect(try Keys.recipients([], files: [recipients]).map(\.string) == [identity.recipient.string])
            let passphrase = try write("correct horse\r\n", "passphrase.txt")
            #expect(try Keys.passphrase(passphrase, for: "x") == Array("correct horse".utf8))
            #expect(
                try KeyDescription.read(identities, passphraseFile: nil).map(\.recipient) == [identity.recipient.string]
            )
            #expect(
                try KeyDescription.read(recipients, passphraseFile: nil).map(\.fingerprint) == [
                    identity.recipient.fingerprint
                ])
        }
    }

    /// Lines may end with CR alone, and an error counts them.
    @Test(arguments: ["\r", "\n", "\r\n"])
    func everyKindOfLineEnd(end: String) throws {
        let identities = ["# mine", text(first), "", text(second), ""].joined(separator: end)
        let path = try scratch.write(identities, to: "identities.txt")
        #expect(try Keys.identities(files: [path], passphraseFile: nil).count == 2)
        let recipients = try scratch.write(
            ["# ours", first.recipient.string, second.recipient.string].joined(separator: end), to: "recipients.txt")
        #expect(try Keys.recipients([], files: [recipients]).count == 2)
        let wrong = try scratch.write(["# ours", "", "wrong"].joined(separator: end), to: "wrong.txt")
        let error = #expect(throws: AgeError.self) { try Keys.recipients([], files: [wrong]) }
        #expect(error?.location == .line(3))
    }

    /// Nobody is asked for a passphrase that a file does not have.
    @Test(arguments: ["", "-a"])
    func anIdentityFileThatIsSealedForAKey(armor: String) throws {
        let key = try scratch.write(text(first), to: "key.txt")
        let sealed = scratch.file("sealed.age")
        try run("sh", ["-ec", "age \(armor) -r \(second.recipient.string) -o '\(sealed)' '\(key)'"])
        let passphrase = try scratch.write("x", to: "passphrase.txt")
        for file in [nil, passphrase] {
            let error = #expect(throws: AgeError.self) {
                try Keys.identities(files: [sealed], passphraseFile: file) { _ in
                    Issue.record("a passphrase was asked for")
                    return nil
                }
            }
            #expect(error?.message.contains("another age key (X25519)") == true, "\(error?.message ?? "")")
        }
    }

    @Test func aWrongPassphraseFileIsNamed() throws {
        let right = try scratch.write("right", to: "right.txt")
        let wrong = try scratch.write("wrong", to: "wrong.txt")
        let key = scratch.file("protected.txt")
        _ = try KeyGeneration.run(
            .x25519, output: key, passphrase: Keys.passphrase(right, for: "x"), standardOutput: MemorySink())
        for open in [
            { try Keys.identities(files: [key], passphraseFile: wrong).count },
            { try KeyDescription.read(key, passphraseFile: wrong).count },
        ] {
            let error = #expect(throws: AgeError.self) { _ = try open() }
            #expect(error?.hint?.contains("wrong.txt") == true && error?.hint?.contains("type") == false)
        }
    }

    @Test func aKeyIsTakenOnce() throws {
        let file = try scratch.write(first.recipient.string, to: "recipients.txt")
        #expect(try Keys.recipients([first.recipient.string], files: [file]).count == 1)
    }

    /// What is no file of keys is called by its name.
    @Test(arguments: [("zip", "504b0304"), ("gzip", "1f8b08"), ("SQLite", "53514c69746520666f726d6174203300")])
    func otherFilesAreNamed(noun: String, start: String) throws {
        let bytes = stride(from: 0, to: start.count, by: 2).map { index in
            UInt8(start.dropFirst(index).prefix(2), radix: 16) ?? 0
        }
        try Data(bytes + [UInt8](repeating: 7, count: 100)).write(to: URL(filePath: scratch.file("file")))
        for read in [
            { _ = try Keys.identities(files: [scratch.file("file")], passphraseFile: nil) },
            { _ = try Keys.recipients([], files: [scratch.file("file")]) },
        ] as [() throws -> Void] {
            let error = #expect(throws: Failure.self) { try read() }
            #expect(error?.code == .usage && error?.message.contains(noun) == true, "\(error?.message ?? "")")
        }
    }

    @Test func recipientsComeFromStringsAndFilesInOrder() throws {
        let file = try scratch.write("# comment\n\n\(second.recipient.string)\n", to: "recipients")
        let recipients = try Keys.recipients([first.recipient.string], files: [file])
        #expect(recipients.map(\.string) == [first.recipient.string, second.recipient.string])
        let records = Keys.records(recipients)
        #expect(records.allSatisfy { $0.type == "X25519" && $0.fingerprint.hasPrefix("SHA256:") })
        #expect(records[0] != records[1])
    }

    @Test func noRecipientIsAUsageErrorThatTellsTheWay() throws {
        let error = #expect(throws: Failure.self) { try Keys.recipients([], files: []) }
        #expect(error?.code == .usage && error?.hint?.contains("keygen") == true)
        let missing = #expect(throws: SystemCallError.self) {
            try Keys.recipients([], files: [scratch.file("none")])
        }
        #expect(missing?.failure.code == .notFound)
    }

    @Test func anIdentityInARecipientsPlaceIsNotEchoed() throws {
        let secret = text(first)
        let file = try scratch.write(secret + "\n", to: "recipients")
        let attempts: [() throws -> Void] = [
            { _ = try Keys.recipients([secret], files: []) },
            { _ = try Keys.recipients([secret.lowercased()], files: []) },
            { _ = try Keys.recipients([], files: [file]) },
        ]
        for attempt in attempts {
            let error = try #require(throws: (any Error).self) { try attempt() }
            let failure = Failure(wrapping: error)
            #expect(failure.code == .usage)
            let told = "\(error) \(failure) \(failure.hint ?? "")".uppercased()
            #expect(!told.contains(secret.dropFirst(20).prefix(12).uppercased()))
            #expect(told.contains("IDENTITY"))
        }
    }

    @Test(arguments: ["", "age1", "age1qqqq", "ssh-ed25519 AAAA", "age1yubikey1qqqq", "hello", "age1\0"])
    func otherTextIsAUsageError(text: String) throws {
        let error = try #require(throws: (any Error).self) { try Keys.recipients([text], files: []) }
        #expect(Failure(wrapping: error).code == .usage)
    }

    @Test func identitiesComeFromFiles() throws {
        let one = try scratch.write("# created: x\n\(text(first))\n", to: "one")
        let two = try scratch.write("\(text(second))\n", to: "two")
        #expect(try Keys.identities(files: [one, two], passphraseFile: nil).count == 2)
        let empty = try scratch.write("# nothing\n", to: "empty")
        #expect(throws: (any Error).self) { try Keys.identities(files: [empty], passphraseFile: nil) }
        try run("truncate", ["-s", "17M", scratch.file("huge")])
        let huge = #expect(throws: Failure.self) {
            try Keys.identities(files: [scratch.file("huge")], passphraseFile: nil)
        }
        #expect(huge?.code == .usage)
    }

    @Test func passphrasesAreTheFirstLine() throws {
        let path = try scratch.write("correct horse \r\nsecond\n", to: "passphrase")
        #expect(try Keys.passphrase(path, for: "x") == Array("correct horse ".utf8))
        let error = #expect(throws: Failure.self) { try Keys.passphrase(nil, for: "x.key") }
        #expect(error?.code == .usage && error?.message.contains("\"x.key\"") == true)
    }

    @Test(arguments: KeyKind.allCases)
    func keygenMakesAFileThatOpensAndNeverOverwrites(kind: KeyKind) throws {
        let sink = MemorySink()
        let path = scratch.file("key.txt")
        let recipient = try KeyGeneration.run(kind, output: path, passphrase: nil, standardOutput: sink)
        #expect(sink.bytes.isEmpty)
        #expect(try run("stat", ["-c", "%a", path]).text == "600\n")
        #expect(try Keys.recipients([recipient], files: []).count == 1)
        #expect(try Keys.identities(files: [path], passphraseFile: nil).count == 1)
        let before = try Data(contentsOf: URL(filePath: path))
        let error = #expect(throws: Failure.self) {
            try KeyGeneration.run(kind, output: path, passphrase: nil, standardOutput: sink)
        }
        #expect(error?.message.contains("exists") == true)
        #expect(try Data(contentsOf: URL(filePath: path)) == before)
        #expect(try OpenDirectory(path: scratch.path).utf8Names() == ["key.txt"])
        _ = try KeyGeneration.run(kind, output: nil, passphrase: nil, standardOutput: sink)
        #expect(String(decoding: sink.bytes, as: UTF8.self).contains("AGE-SECRET-KEY-"))
    }

    @Test func protectedIdentitiesNeedTheirPassphrase() throws {
        let path = scratch.file("key.txt")
        let sink = MemorySink()
        _ = try KeyGeneration.run(.x25519, output: path, passphrase: Array("pass".utf8), standardOutput: sink)
        #expect(!(try String(contentsOfFile: path, encoding: .utf8)).contains("AGE-SECRET-KEY-"))
        let right = try scratch.write("pass\n", to: "right")
        let wrong = try scratch.write("wrong\n", to: "wrong")
        #expect(try Keys.identities(files: [path], passphraseFile: right).count == 1)
        let error = try #require(throws: (any Error).self) { try Keys.identities(files: [path], passphraseFile: wrong) }
        #expect(Failure(wrapping: error).code == .untrusted)
        let none = #expect(throws: Failure.self) { try Keys.identities(files: [path], passphraseFile: nil) }
        #expect(none?.settings == [.passphraseFile])
    }
}
