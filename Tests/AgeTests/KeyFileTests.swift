import Age
import Testing

@Suite struct KeyFileTests {
    private let recipient = Fixture.fixedRecipient
    private let identity = Fixture.fixedIdentity

    private func recipients(_ text: String) throws -> [String] {
        try RecipientsFile.parse(Array(text.utf8), name: "keys.txt").map { $0.string }
    }

    private func identities(_ text: String) throws -> [String] {
        try IdentityFile.parse(Array(text.utf8), name: "keys.txt", passphrase: nil).map { $0.recipient.string }
    }

    @Test func commentsEmptyLinesAndLineEndsAreSkipped() throws {
        #expect(try recipients("# a\n\n\(recipient)\r\n#\(recipient)\n\(recipient)") == [recipient, recipient])
        #expect(try identities("# a\n\r\n\(identity)\r\n\n") == [recipient])
    }

    @Test func malformedLinesAreNamedAndNeverShown() throws {
        let broken = identity.dropLast() + "Q"
        for text in ["#\n \(identity)\n", "#\n\(identity) \n", "#\n\(broken)\n", "#\n\(identity.lowercased())\n"] {
            let error = try #require(ageError { _ = try identities(text) })
            #expect(error.kind == .key && error.location == .line(2))
            #expect(error.message.hasPrefix("line 2 of \"keys.txt\""))
            #expect(!"\(error.failure)\(error.hint ?? "")".contains("GFPYYSJZ"))
        }
        for text in ["\n\(identity)\n", "\n \(recipient)\n", "\n\(recipient)\t\n", "\nssh-ed25519 AAAA\n"] {
            let error = try #require(ageError { _ = try recipients(text) })
            #expect(error.kind == .key && error.location == .line(2))
            #expect(!"\(error.failure)\(error.hint ?? "")".contains("GFPYYSJZ"))
        }
    }

    /// age takes no blanks either, and says nothing of them.
    @Test func blanksAroundAKeyAreNamed() throws {
        for text in ["  \(identity)", "\t\(identity)", "\(identity)  "] {
            let error = try #require(ageError { _ = try identities(text) })
            #expect(error.message.contains("has blanks") && error.hint?.contains("remove the blanks") == true)
        }
        let error = try #require(ageError { _ = try recipients(" \(recipient)") })
        #expect(error.message.contains("has blanks before it"))
    }

    @Test func filesWithoutKeysAreRefused() {
        for text in ["", "# only\n", "\n\n"] {
            #expect(kind { _ = try recipients(text) } == .key)
            #expect(kind { _ = try identities(text) } == .key)
        }
    }

    @Test func limits() {
        #expect(kind { _ = try recipients(String(repeating: "#", count: (16 << 20) + 1)) } == .key)
        #expect(kind { _ = try recipients(String(repeating: "a", count: 8193) + "\n\(recipient)") } == .key)
    }

    @Test func protectedFilesOpenWithTheirPassphrase() throws {
        let bytes = try Fixture.bytes("x25519-protected-1.1.1.key.txt")
        let plain = try Fixture.identities("x25519.key").map { $0.recipient.string }
        let opened = try IdentityFile.parse(bytes, name: "k") { Fixture.passphrase }
        #expect(opened.map { $0.recipient.string } == plain)
        let binary = try Armor.decode(bytes, name: "k")
        #expect(try IdentityFile.parse(binary, name: "k") { Fixture.passphrase }.count == 1)
        #expect(kind { _ = try IdentityFile.parse(binary, name: "k") { Array("wrong".utf8) } } == .noMatch)
        let unattended = try #require(ageError { _ = try IdentityFile.parse(bytes, name: "k", passphrase: nil) })
        #expect(unattended.kind == .key && unattended.hint != nil)
        let damaged = Array(binary.dropLast())
        #expect(kind { _ = try IdentityFile.parse(damaged, name: "k") { Fixture.passphrase } } == .payload)
    }
}
