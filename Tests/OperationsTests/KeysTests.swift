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
