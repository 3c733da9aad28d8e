import Age
import Testing

@Suite struct HeaderTests {
    static let mac = String(repeating: "A", count: 43)

    static func fixedHeaderBytes() throws -> [UInt8] { Array(try Fixture.bytes("x25519-fixed.age").prefix(168)) }

    @Test func fixedFileIsReadAndWrittenByteForByte() throws {
        let file = try Fixture.bytes("x25519-fixed.age")
        #expect(try decryptRandomAccess(file, with: [Fixture.fixed()]) == Fixture.hello)
        let key = try fileKey()
        let stanza = try Fixture.fixed().recipient.wrap(key, ephemeralForTests: [UInt8](repeating: 7, count: 32))
        var encryptor = try Encryptor(
            header: Header(stanzas: [stanza], fileKey: key), fileKey: key, payloadNonce: Array(16..<32))
        #expect(try drain(&encryptor, Fixture.hello) == file)
    }

    @Test(arguments: ["x25519-fixed.age", "x25519-rage.age", "pq-1.3.2.age", "scrypt-1.1.1.age", "scrypt-rage.age"])
    func parsingAndWritingAreInverse(name: String) throws {
        let file = try Fixture.bytes(name)
        let header = try parseHeader(file)
        #expect(header.serialized == header.bytes)
        #expect(header.bytes == Array(file.prefix(header.byteCount)))
    }

    /// Whatever is accepted has one spelling only: random edits are refused, or are written again as they were read.
    @Test func acceptedEditsAreCanonical() throws {
        let original = try parseHeader(Fixture.bytes("x25519-rage.age")).bytes
        let alphabet = Array("AQBf/+=- >\n\r~\u{1}\u{7F}".utf8)
        var random = pattern(60_000).makeIterator()
        func next(below limit: Int) -> Int { (Int(random.next() ?? 0) << 8 | Int(random.next() ?? 0)) % limit }
        var acceptedCount = 0
        for _ in 0..<5000 {
            var edited = original
            let index = next(below: original.count)
            switch next(below: 3) {
            case 0: edited[index] = alphabet[next(below: alphabet.count)]
            case 1: edited.insert(alphabet[next(below: alphabet.count)], at: index)
            default: edited.remove(at: index)
            }
            guard let header = try? parseHeader(edited) else { continue }
            acceptedCount += 1
            #expect(header.serialized == header.bytes)
            #expect(edited.starts(with: header.bytes))
        }
        #expect(acceptedCount > 100)
    }

    @Test(arguments: [0, 1, 46, 47, 48, 49, 95, 96, 97, 144])
    func bodiesOfAllShapesRoundTrip(byteCount: Int) throws {
        let stanzas = [
            Stanza(type: "odd", arguments: ["a", "!~"], body: pattern(byteCount)),
            Stanza(type: "X", arguments: [], body: []),
        ]
        let header = try Header(stanzas: stanzas, fileKey: fileKey())
        let parsed = try parseHeader(header.bytes + [1, 2, 3])
        #expect(parsed == header && parsed.stanzas == stanzas)
        #expect(parsed.isAuthentic(fileKey: try fileKey()))
        #expect(!parsed.isAuthentic(fileKey: .generate()))
    }

    @Test func piecesOfAnySizeGiveTheSameHeader() throws {
        let bytes = try Fixture.bytes("pq-1.3.2.age")
        let whole = try parseHeader(bytes)
        for pieceByteCount in [1, 2, 63, 64, 65] {
            var parser = HeaderParser(name: "test")
            var consumedCount = 0
            try forEachPiece(of: bytes, pieceByteCount) { consumedCount += try parser.parse($0) }
            #expect(try parser.finish() == whole)
            #expect(consumedCount == whole.byteCount)
        }
    }

    @Test func everyTruncationIsAHeaderFailure() throws {
        let file = try Fixture.bytes("x25519-fixed.age")
        for count in 0..<(168 + 16) {
            let cut = Array(file.prefix(count))
            #expect(kind { _ = try decryptRandomAccess(cut, with: [Fixture.fixed()]) } == .header, "cut at \(count)")
            #expect(kind { _ = try decryptStream(cut, with: [Fixture.fixed()]) } == .header, "cut at \(count)")
        }
    }

    @Test func everyFlippedBitIsFoundAndOfTheRightKind() throws {
        let file = try Fixture.bytes("x25519-fixed.age")
        // Where the parts of this file's header end; the last byte of each is its line feed.
        let versionEnd = 22, stanzaEnd = 120, dashesEnd = 124, headerEnd = 168
        for index in 0..<headerEnd {
            for bit in 0..<8 {
                var flipped = file
                flipped[index] ^= 1 << bit
                let found = try #require(kind { _ = try decryptRandomAccess(flipped, with: [Fixture.fixed()]) })
                let allowed: [AgeError.Kind] =
                    switch index {
                    case 0..<versionEnd, stanzaEnd..<dashesEnd, headerEnd - 1: [.header]
                    case versionEnd..<stanzaEnd: [.header, .noMatch]
                    default: [.header, .headerMAC]
                    }
                #expect(allowed.contains(found), "bit \(bit) of byte \(index)")
            }
        }
    }

    @Test func aChangedForeignStanzaBreaksTheMAC() throws {
        let mine = try X25519Identity.generate()
        let other = try X25519Identity.generate()
        let file = try encrypt(Fixture.hello, for: [other.recipient, mine.recipient])
        let body = try parseHeader(file).stanzas[0].body
        #expect(body.count == 32)
        var changed = file
        // The first character of the first stanza's body.
        let index = 22 + 54
        changed[index] = changed[index] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
        #expect(kind { _ = try decryptRandomAccess(changed, with: [mine]) } == .headerMAC)
        #expect(try decryptRandomAccess(file, with: [mine]) == Fixture.hello)
    }

    /// Each breaks one rule of the grammar.
    @Test(arguments: [
        "age-encryption.org/v2\n-> X a\n\n--- \(mac)\n", "age-encryption.org/v1\r\n-> X a\n\n--- \(mac)\n",
        "age-encryption.org/v1\n--- \(mac)\n", "age-encryption.org/v1\n\n-> X\n\n--- \(mac)\n",
        "age-encryption.org/v1\n->X\n\n--- \(mac)\n", "age-encryption.org/v1\n-> \n\n--- \(mac)\n",
        "age-encryption.org/v1\n-> X  a\n\n--- \(mac)\n", "age-encryption.org/v1\n-> X a \n\n--- \(mac)\n",
        "age-encryption.org/v1\n->  X\n\n--- \(mac)\n", "age-encryption.org/v1\n-> X\ta\n\n--- \(mac)\n",
        "age-encryption.org/v1\n-> X é\n\n--- \(mac)\n", "age-encryption.org/v1\n-> X a\r\n\n--- \(mac)\n",
        "age-encryption.org/v1\n-> X a\n--- \(mac)\n",  // no body
        "age-encryption.org/v1\n-> X a\n" + String(repeating: "A", count: 64) + "\n--- \(mac)\n",  // no short line
        "age-encryption.org/v1\n-> X a\n" + String(repeating: "A", count: 68) + "\n--- \(mac)\n",
        "age-encryption.org/v1\n-> X a\nAA==\n--- \(mac)\n", "age-encryption.org/v1\n-> X a\nA\n--- \(mac)\n",
        "age-encryption.org/v1\n-> X a\nAB\n--- \(mac)\n", "age-encryption.org/v1\n-> X a\nAAB\n--- \(mac)\n",
        "age-encryption.org/v1\n-> X a\nA-_A\n--- \(mac)\n", "age-encryption.org/v1\n-> X a\nAA AA\n--- \(mac)\n",
        "age-encryption.org/v1\n-> X a\nAAAA\n\n--- \(mac)\n", "age-encryption.org/v1\n-> X a\n\n---\(mac)\n",
        "age-encryption.org/v1\n-> X a\n\n--- \(mac)A\n", "age-encryption.org/v1\n-> X a\n\n--- \(mac) \n",
        "age-encryption.org/v1\n-> X a\n\n--- \(mac)\r\n", "age-encryption.org/v1\n-> X a\n\n---  \(mac)\n",
        "age-encryption.org/v1\n-> X a\n\n--- \(mac.dropLast())B\n",
        "age-encryption.org/v1\n-> X a\n\n--- \(mac.dropLast())\n",
        "age-encryption.org/v1\n-> X a\n\n--- \(mac)=\n", "age-encryption.org/v1\n-> X a\n\n---\n", "not age", "\n",
    ])
    func malformedHeaders(text: String) {
        #expect(kind { _ = try parseHeader(Array(text.utf8)) } == .header)
    }

    @Test func limits() throws {
        let stanza = Stanza(type: "X", arguments: [], body: [])
        let many = [Stanza](repeating: stanza, count: 1024)
        #expect(try parseHeader(Header(stanzas: many, fileKey: fileKey()).bytes).stanzas.count == 1024)
        #expect(kind { _ = try Header(stanzas: many + [stanza], fileKey: fileKey()) } == .recipients)
        let text = "age-encryption.org/v1\n" + String(repeating: "-> X\n\n", count: 1025) + "--- \(Self.mac)\n"
        #expect(kind { _ = try parseHeader(Array(text.utf8)) } == .header)
        let arguments = String(repeating: " a", count: 128)
        let full = "age-encryption.org/v1\n-> X\(arguments)\n\n--- \(Self.mac)\n"
        #expect(try parseHeader(Array(full.utf8)).stanzas[0].arguments.count == 128)
        let over = "age-encryption.org/v1\n-> X\(arguments) a\n\n--- \(Self.mac)\n"
        #expect(kind { _ = try parseHeader(Array(over.utf8)) } == .header)
    }

    @Test func theLengthLimitIsExact() throws {
        // What a header with one stanza of one argument has besides the argument.
        let rest = "age-encryption.org/v1\n-> X \n\n--- \(Self.mac)\n".utf8.count
        for excess in [0, 1] {
            let argument = String(repeating: "a", count: Header.byteCountLimit - rest + excess)
            let bytes = Array("age-encryption.org/v1\n-> X \(argument)\n\n--- \(Self.mac)\n".utf8)
            if excess == 0 {
                #expect(try parseHeader(bytes).byteCount == Header.byteCountLimit)
            } else {
                #expect(kind { _ = try parseHeader(bytes) } == .header)
            }
        }
        let endless = [UInt8](repeating: UInt8(ascii: "a"), count: 3 << 20)
        #expect(kind { _ = try parseHeader(Array("age-encryption.org/v1\n-> ".utf8) + endless) } == .header)
    }

    @Test func rewrapKeepsThePayload() throws {
        let old = try X25519Identity.generate()
        let new = try HybridIdentity.generate()
        let file = try encrypt(pattern(100_000), for: [old.recipient])
        let header = try parseHeader(file)
        let key = try header.unlock(with: [old], name: "test")
        let rewrapped = try Header(recipients: [new.recipient], fileKey: key)
        let moved = rewrapped.bytes + file.dropFirst(header.byteCount)
        #expect(try decryptRandomAccess(moved, with: [new]) == pattern(100_000))
        #expect(kind { _ = try decryptRandomAccess(moved, with: [old]) } == .noMatch)
    }
}

@Suite struct UnlockTests {
    private func header(_ stanzas: [Stanza]) throws -> Header { try Header(stanzas: stanzas, fileKey: fileKey()) }

    @Test func foreignFilesTellWhatTheyNeed() throws {
        let header = try Header(
            recipients: [X25519Identity.generate().recipient, X25519Identity.generate().recipient], fileKey: fileKey())
        let identities: [any Identity] = [try Fixture.fixed(), try HybridIdentity.generate()]
        let error = try #require(ageError { _ = try header.unlock(with: identities, name: "a.age") })
        #expect(error.kind == .noMatch)
        #expect(error.message == "none of 2 identities opens \"a.age\"")
        #expect(error.hint?.contains("2 stanzas of type X25519") == true)
        #expect(kind { _ = try header.unlock(with: [], name: "a.age") } == .noMatch)
    }

    @Test func malformedStanzasOfMyTypeAreFatalEvenBesideAGoodOne() throws {
        let identity = try Fixture.fixed()
        let good = try identity.recipient.wrap(fileKey())
        let share = good[0].arguments[0]
        let zero = String(repeating: "A", count: 43)
        let bad = [
            Stanza(type: "X25519", arguments: [], body: good[0].body),
            Stanza(type: "X25519", arguments: [share, "a"], body: good[0].body),
            Stanza(type: "X25519", arguments: [String(share.dropLast(2))], body: good[0].body),
            Stanza(type: "X25519", arguments: [share + "="], body: good[0].body),
            Stanza(type: "X25519", arguments: [share], body: Array(good[0].body.dropLast())),
            Stanza(type: "X25519", arguments: [share], body: good[0].body + [0]),
            Stanza(type: "X25519", arguments: [zero], body: good[0].body),
        ]
        for stanza in bad {
            #expect(kind { _ = try header([stanza] + good).unlock(with: [identity], name: "x") } == .header)
        }
        let foreign = Stanza(type: "x25519", arguments: [], body: [])
        #expect(try same(header([foreign] + good).unlock(with: [identity], name: "x"), fileKey()))
    }

    @Test func malformedHybridStanzasAreFatal() throws {
        let identity = try HybridIdentity.generate()
        let good = try identity.recipient.wrap(fileKey())[0]
        let share = good.arguments[0]
        // The X25519 part is the last 32 bytes: all zero gives no secrecy.
        let zeroShare = share.dropLast(44) + String(repeating: "A", count: 44)
        let bad = [
            Stanza(type: good.type, arguments: [], body: good.body),
            Stanza(type: good.type, arguments: [String(share.dropLast(4))], body: good.body),
            Stanza(type: good.type, arguments: [share], body: good.body + [0]),
            Stanza(type: good.type, arguments: [String(zeroShare)], body: good.body),
        ]
        for stanza in bad {
            #expect(kind { _ = try header([stanza]).unlock(with: [identity], name: "x") } == .header)
        }
        // A share that is merely another one is not ours.
        let other = share.hasPrefix("A") ? "B" + share.dropFirst() : "A" + share.dropFirst()
        let changed = Stanza(type: good.type, arguments: [String(other)], body: good.body)
        #expect(kind { _ = try header([changed]).unlock(with: [identity], name: "x") } == .noMatch)
        #expect(try same(header([good]).unlock(with: [identity], name: "x"), fileKey()))
    }

    @Test func passphraseStanzasAreAlone() throws {
        let scrypt = try ScryptRecipient(passphrase: Fixture.passphrase, logN: 4).wrap(fileKey())
        let identity = try Fixture.fixed()
        let mixed = try header(scrypt + identity.recipient.wrap(fileKey()))
        let passphrase = try ScryptIdentity(passphrase: Fixture.passphrase)
        #expect(kind { _ = try mixed.unlock(with: [identity], name: "x") } == .header)
        #expect(kind { _ = try mixed.unlock(with: [passphrase], name: "x") } == .header)
        #expect(kind { _ = try header(scrypt + scrypt).unlock(with: [passphrase], name: "x") } == .header)
        #expect(try same(header(scrypt).unlock(with: [identity, passphrase], name: "x"), fileKey()))
        let wrong = try ScryptIdentity(passphrase: Array("battery staple".utf8))
        let error = try #require(ageError { _ = try header(scrypt).unlock(with: [wrong], name: "x") })
        #expect(error.kind == .noMatch && error.message.contains("passphrase"))
    }

    @Test(arguments: ["0", "018", "+1", "-1", "1.0", "1e1", "23", "99", "100", "18446744073709551634", "4294967298"])
    func workFactorsOutOfRangeAreRefusedAtOnce(logN: String) throws {
        let good = try ScryptRecipient(passphrase: Fixture.passphrase, logN: 4).wrap(fileKey())[0]
        let stanza = Stanza(type: "scrypt", arguments: [good.arguments[0], logN], body: good.body)
        let identity = try ScryptIdentity(passphrase: Fixture.passphrase)
        #expect(kind { _ = try header([stanza]).unlock(with: [identity], name: "x") } == .header)
    }

    @Test func malformedPassphraseStanzas() throws {
        let good = try ScryptRecipient(passphrase: Fixture.passphrase, logN: 4).wrap(fileKey())[0]
        let identity = try ScryptIdentity(passphrase: Fixture.passphrase)
        let bad = [
            Stanza(type: "scrypt", arguments: [good.arguments[0]], body: good.body),
            Stanza(type: "scrypt", arguments: good.arguments + ["x"], body: good.body),
            Stanza(type: "scrypt", arguments: ["AAAA", "4"], body: good.body),
            Stanza(type: "scrypt", arguments: good.arguments, body: good.body + [1]),
        ]
        for stanza in bad {
            #expect(kind { _ = try header([stanza]).unlock(with: [identity], name: "x") } == .header)
        }
    }

    @Test func filesOfOtherProgramsOpen() throws {
        let identities = try Fixture.identities("x25519.key")
        let hybrid = try Fixture.identities("pq.key")
        let passphrase = try ScryptIdentity(passphrase: Fixture.passphrase)
        #expect(try decryptRandomAccess(Fixture.bytes("x25519-rage.age"), with: identities) == Fixture.hello)
        #expect(try decryptRandomAccess(Fixture.bytes("pq-1.3.2.age"), with: hybrid) == Fixture.hello)
        #expect(try decryptRandomAccess(Fixture.bytes("scrypt-1.1.1.age"), with: [passphrase]) == Fixture.hello)
        #expect(try decryptRandomAccess(Fixture.bytes("scrypt-rage.age"), with: [passphrase]) == Fixture.hello)
        #expect(try decryptStream(Fixture.bytes("x25519-twice-1.3.2.age.txt"), with: identities) == Fixture.hello)
    }

    /// The rule on labels is for writers: a mixed file, which an older age can write, is read.
    @Test func mixedFilesAreRead() throws {
        let hybrid = try HybridIdentity.generate()
        let classic = try Fixture.fixed()
        let mixed = try header(hybrid.recipient.wrap(fileKey()) + classic.recipient.wrap(fileKey()))
        #expect(try same(mixed.unlock(with: [classic], name: "x"), fileKey()))
        #expect(try same(mixed.unlock(with: [hybrid], name: "x"), fileKey()))
    }

    private func same(_ one: FileKey, _ other: FileKey) -> Bool {
        one.withUnsafeBytes { one in other.withUnsafeBytes { one.elementsEqual($0) } }
    }
}
