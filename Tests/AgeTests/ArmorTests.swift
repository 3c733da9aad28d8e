import Age
import Testing

@Suite struct ArmorTests {
    static let begin = "-----BEGIN AGE ENCRYPTED FILE-----"
    static let end = "-----END AGE ENCRYPTED FILE-----"
    static let full = String(repeating: "QUJD", count: 16)

    private func decode(_ text: String) throws -> [UInt8] { try Armor.decode(Array(text.utf8), name: "test") }

    @Test func ageMadeArmorIsReadAndWrittenByteForByte() throws {
        let text = try Fixture.bytes("x25519-twice-1.3.2.age.txt")
        let file = try Armor.decode(text, name: "test")
        #expect(file.starts(with: "age-encryption.org/v1\n".utf8))
        #expect(Armor.encode(file) == text)
    }

    @Test(arguments: [1, 2, 3, 46, 47, 48, 49, 50, 95, 96, 97, 1000])
    func allLengthsRoundTrip(byteCount: Int) throws {
        let text = Armor.encode(pattern(byteCount))
        #expect(try Armor.decode(text, name: "test") == pattern(byteCount))
        for pieceByteCount in [1, 3, 65] {
            var decoder = ArmorDecoder(name: "test")
            var file: [UInt8] = []
            try forEachPiece(of: text, pieceByteCount) { file += try decoder.decode($0) }
            try decoder.finish()
            #expect(file == pattern(byteCount))
        }
    }

    @Test(arguments: [
        "\(begin)\nQUJD\n\(end)", "\(begin)\r\nQUJD\r\n\(end)\r\n", " \n\t\r\n\(begin)\nQUJD\n\(end)\n\n  \t\n",
        "\(begin)\r\nQUJD\n\(end)", "\(begin)\nQUJD\n\(end)\r",
        String(repeating: "\n", count: 1024) + "\(begin)\nQUJD\n\(end)\n",
    ])
    func allowedForms(text: String) throws {
        #expect(try decode(text) == Array("ABC".utf8))
    }

    @Test(arguments: [
        "", begin, "\(begin)\n", "\(begin)\n\(end)\n", "\(begin)\nQUJD\n", "\(begin)\nQUJD\n\(end.dropLast())\n",
        "x\n\(begin)\nQUJD\n\(end)\n", "\(begin)\nQUJD\n\(end)\nx", "\(begin)\nQUJD\n\(end) x\n",
        "\(begin)\n\nQUJD\n\(end)\n", "\(begin)\nQUJD\n\n\(end)\n", "\(begin)\n\(full)\n\n\(end)\n",  // blank lines
        "\(begin)\nQUJD\nQUJD\n\(end)\n",  // a short inner line
        "\(begin)\n\(full)Q\n\(end)\n", "\(begin)\n\(full)QUJD\n\(end)\n",  // long lines
        "\(begin)\nQUJD \n\(end)\n", "\(begin)\n QUJD\n\(end)\n", "\(begin)\nQU JD\n\(end)\n",
        "\(begin)\nQUJ\rD\n\(end)\n", "\(begin)\rQUJD\r\(end)\r",  // a CR alone
        "\(begin)\nQUI\n\(end)\n", "\(begin)\nQQ\n\(end)\n",  // padding missing
        "\(begin)\nQUJ=\n\(end)\n", "\(begin)\nQR==\n\(end)\n",  // spare bits
        "\(begin)\nQQ==QUJD\n\(end)\n", "\(begin)\nQUI=\nQUJD\n\(end)\n", "\(begin)\nQUJD====\n\(end)\n",
        "\(begin)\nQ===\n\(end)\n", "\(begin)\n====\n\(end)\n", "\(begin)\nQU-_\n\(end)\n",
        "\(begin) \nQUJD\n\(end)\n", "\(begin)\nVersion: 1\n\nQUJD\n\(end)\n", "\(begin)QUJD\n\(end)\n",
        String(repeating: "\n", count: 1025) + "\(begin)\nQUJD\n\(end)\n",
        "\(begin)\nQUJD\n\(end)\n" + String(repeating: "\n", count: 1100),
        "\(begin)\nQUJD\n\(end)\n\(begin)\nQUJD\n\(end)\n",
    ])
    func refusedForms(text: String) {
        #expect(kind { _ = try decode(text) } == .armor)
    }

    @Test func errorsNameTheLine() throws {
        let text = "\(Self.begin)\n\(Self.full)\n\(Self.full)\nQQ\n\(Self.end)\n"
        #expect(try #require(ageError { _ = try decode(text) }).location == .line(4))
    }

    @Test func everyTruncationOfAnArmoredFileFails() throws {
        let identities = try Fixture.identities("x25519.key")
        let text = try Fixture.bytes("x25519-twice-1.3.2.age.txt")
        #expect(try decryptStream(text.dropLast(), with: identities) == Fixture.hello)
        for count in 0..<(text.count - 1) {
            let kind = kind { _ = try decryptStream(Array(text.prefix(count)), with: identities) }
            #expect(kind == .armor || (kind == .header && count < Self.begin.utf8.count), "cut at \(count)")
        }
    }

    @Test func sniffing() {
        #expect(Armor.isArmored(prefix: Array(Self.begin.utf8)) == true)
        #expect(Armor.isArmored(prefix: Array("\n  \(Self.begin)".utf8)) == true)
        #expect(Armor.isArmored(prefix: Array(Self.begin.utf8.dropLast())) == nil)
        #expect(Armor.isArmored(prefix: []) == nil)
        #expect(Armor.isArmored(prefix: Array("age-encryption.org/v1\n".utf8)) == false)
        #expect(Armor.isArmored(prefix: [UInt8](repeating: 32, count: 1025)) == false)
    }
}
