import Age
import FoundationEssentials
import Testing

@Suite struct KeyTests {
    @Test func theSpecificationsPairMatches() throws {
        let identity = try Fixture.fixed()
        #expect(identity.recipient.string == Fixture.fixedRecipient)
        #expect(String(decoding: identity.encoded(), as: UTF8.self) == Fixture.fixedIdentity)
        #expect(try X25519Recipient(Fixture.fixedRecipient) == identity.recipient)
    }

    /// The public halves are those that age-keygen wrote beside the identities.
    @Test(arguments: ["x25519.key", "pq.key"])
    func publicHalvesMatchAgeKeygen(name: String) throws {
        let text = String(decoding: try Fixture.bytes(name), as: UTF8.self)
        let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("# public key: ") })
        let identity = try #require(try Fixture.identities(name).first)
        #expect(identity.recipient.string == line.dropFirst("# public key: ".count))
        #expect(try Recipients.parse(identity.recipient.string).string == identity.recipient.string)
        #expect(text.contains(String(decoding: identity.encoded(), as: UTF8.self)))
    }

    @Test func generatedKeysDifferAndRoundTrip() throws {
        let classic = try X25519Identity.generate()
        #expect(classic.recipient != (try X25519Identity.generate()).recipient)
        #expect(classic.encoded().count == 74 && classic.recipient.string.count == 62)
        #expect(try X25519Identity(classic.encoded()).recipient == classic.recipient)
        let hybrid = try HybridIdentity.generate()
        #expect(hybrid.encoded().count == 77 && hybrid.recipient.string.count == 1959)
        #expect(try HybridIdentity(hybrid.encoded()).recipient == hybrid.recipient)
        #expect(try HybridRecipient(hybrid.recipient.string) == hybrid.recipient)
    }

    @Test func fingerprintsAreOfTheKey() throws {
        let recipient = try Fixture.fixed().recipient
        // Base64 of sha256sum over the 32 bytes of the point, by openssl.
        #expect(recipient.fingerprint == "SHA256:gtqzKprt/7SSWnYvh59v3QW4ugqoJaaYaoW3Uf87IeQ")
        #expect(try ScryptRecipient(passphrase: Fixture.passphrase).fingerprint == nil)
    }

    @Test func renderedIdentitiesAreAgeKeygens() throws {
        let bytes = IdentityFile.render(try Fixture.fixed(), createdAt: Date(timeIntervalSince1970: 1_795_392_000))
        #expect(
            String(decoding: bytes, as: UTF8.self) == """
                # created: 2026-11-23T00:00:00Z
                # public key: \(Fixture.fixedRecipient)
                \(Fixture.fixedIdentity)

                """)
        let parsed = try IdentityFile.parse(bytes, name: "x", passphrase: nil)
        #expect(parsed.map { $0.recipient.string } == [Fixture.fixedRecipient])
    }

    /// Each is the string of a 32-byte point with one rule of Bech32 or of age broken.
    @Test(arguments: [
        "", "age", "age1", "age1qqqqqq", "1" + String(Fixture.fixedRecipient.dropFirst(4)),
        Fixture.fixedRecipient.uppercased(), " " + Fixture.fixedRecipient, Fixture.fixedRecipient + " ",
        "Age1" + Fixture.fixedRecipient.dropFirst(4), String(Fixture.fixedRecipient.dropLast()),
        Fixture.fixedRecipient + "q", Fixture.fixedRecipient.replacing("zvkyg", with: "zvkyb"),
        Fixture.fixedRecipient.replacing("k", with: "\u{212A}"),  // KELVIN SIGN, which folds to k
        "age1pyqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq4mnkly",  // Bech32m
        "age1pyqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqpa3h085",  // spare bits set
        "age1pyqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqlxazpm",  // 31 bytes
        "age1pyqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq8r668p",  // 33 bytes
        "agf1pyqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqg6645d",  // another type
        Fixture.fixedIdentity.lowercased(), Fixture.fixedIdentity,
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA x",
        "age1yubikey1qqqqqqqqqq", "age1tag1qqqqqqqqqq", "age1pq1qqqqqqqqqq",
    ])
    func malformedRecipients(string: String) throws {
        let error = try #require(ageError { _ = try Recipients.parse(string) })
        #expect(error.kind == .key)
        if string.count > 20 { #expect(!error.message.contains(string)) }
    }

    @Test func everyWrongCharacterIsFound() throws {
        let characters = Array(Fixture.fixedRecipient.utf8)
        for index in characters.indices {
            var wrong = characters
            wrong[index] = wrong[index] == UInt8(ascii: "q") ? UInt8(ascii: "p") : UInt8(ascii: "q")
            #expect(kind { _ = try Recipients.parse(String(decoding: wrong, as: UTF8.self)) } == .key)
        }
    }

    @Test func unsupportedTypesGetAHint() throws {
        for string in ["ssh-rsa AAAA", "age1yubikey1qqqqqq", "age1tagpq1qqqqqq"] {
            #expect(try #require(ageError { _ = try Recipients.parse(string) }).hint?.contains("native key") == true)
        }
        let identities = ["-----BEGIN OPENSSH PRIVATE KEY-----", "AGE-PLUGIN-YUBIKEY-1QQQQQQ", Fixture.fixedRecipient]
        for string in identities {
            #expect(try #require(ageError { _ = try IdentityFile.parseIdentity(string.utf8) }).hint != nil)
        }
        #expect(kind { _ = try IdentityFile.parseIdentity(Fixture.fixedIdentity.lowercased().utf8) } == .key)
    }

    /// Low-order points of Curve25519: the shared secret with them is zero whatever the private key is.
    @Test(arguments: [
        "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z",  // 0
        "age1qyqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqj7vrya",  // 1
        "age1anlllllllllllllllllllllllllllllllllllllllllllllllals4n2t7m",  // p - 1
        "age1ur4h5lpmgxu2u9jku0a0r87ydtdqnr0tnsetrlvxvgz3vh6fhqqqzyt4v9",  // order 8
    ])
    func lowOrderRecipientsAreRefused(string: String) throws {
        let recipient = try X25519Recipient(string)
        #expect(kind { _ = try recipient.wrap(try fileKey()) } == .recipients)
    }

    @Test func hybridCoefficientsAreBelowTheModulus() throws {
        let identity = try #require(try Fixture.identities("pq.key").first)
        let good = try #require(identity.recipient as? HybridRecipient)
        #expect(try good.wrap(try fileKey()).count == 1)
        let text = String(decoding: try Fixture.bytes("pq-unreduced.recipient"), as: UTF8.self)
        let string = try #require(text.split(separator: "\n").first)
        let error = try #require(ageError { _ = try HybridRecipient(String(string)) })
        #expect(error.kind == .key && error.message.contains("modulus"))
    }

    @Test func labelsMustAgree() throws {
        let classic = try X25519Identity.generate().recipient
        let hybrid = try HybridIdentity.generate().recipient
        let passphrase = try ScryptRecipient(passphrase: [1], logN: 1)
        let other = try ScryptRecipient(passphrase: [1], logN: 1)
        let refused: [[any Recipient]] = [
            [], [classic, hybrid], [hybrid, hybrid, classic], [passphrase, classic], [hybrid, passphrase],
            [passphrase, other],
        ]
        for recipients in refused {
            let error = try #require(ageError { _ = try Header(recipients: recipients, fileKey: .generate()) })
            #expect(error.kind == .recipients && error.hint != nil)
        }
        let allowed: [[any Recipient]] = [[classic, classic], [hybrid, hybrid], [passphrase]]
        for recipients in allowed {
            #expect(try Header(recipients: recipients, fileKey: .generate()).stanzas.count == recipients.count)
        }
    }

    @Test func emptyPassphrasesAreRefused() {
        #expect(kind { _ = try ScryptRecipient(passphrase: []) } == .key)
        #expect(kind { _ = try ScryptIdentity(passphrase: []) } == .key)
    }
}
