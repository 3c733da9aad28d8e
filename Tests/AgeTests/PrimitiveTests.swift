import Age
import HostIO
import Testing

@Suite struct SHA256HasherTests {
    /// FIPS 180-4's example messages, as NIST publishes them.
    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
    ])
    func knownDigests(message: String, digest: String) {
        #expect(hex(SHA256Hasher.digest(of: Array(message.utf8))) == digest)
    }

    @Test func clonesAndResets() {
        var hasher = SHA256Hasher()
        hasher.update(Array("ab".utf8))
        var copy = hasher.clone()
        hasher.update(Array("c".utf8))
        copy.update(Array("x".utf8))
        #expect(hasher.finalize() == SHA256Hasher.digest(of: Array("abc".utf8)))
        #expect(copy.finalize() == SHA256Hasher.digest(of: Array("abx".utf8)))
        // Finishing begins anew.
        hasher.update(Array("abc".utf8))
        #expect(hasher.finalize() == SHA256Hasher.digest(of: Array("abc".utf8)))
        hasher.update(Array("junk".utf8))
        hasher.reset()
        #expect(hasher.finalize() == SHA256Hasher.digest(of: []))
    }
}

@Suite struct SecrecyTests {
    @Test func keysAreNotPrinted() throws {
        let key = try fileKey()
        let identity = try Fixture.fixed()
        var dumped = ""
        dump(key, to: &dumped)
        dump(identity, to: &dumped)
        let texts = ["\(key)", String(reflecting: key), "\(identity)", String(reflecting: identity), dumped]
        for text in texts {
            #expect(!text.isEmpty)
            for secret in ["66, 66", "42 42", "4242", "1, 2, 3", "010203", "AGE-SECRET", "BCQk"] {
                #expect(!text.contains(secret))
            }
        }
        #expect("\(identity)" == "identity of \(Fixture.fixedRecipient)")
    }

    @Test func fileKeysHaveSixteenBytes() {
        #expect(kind { _ = try fileKey([UInt8](repeating: 0, count: 15)) } == .key)
        #expect(kind { _ = try fileKey([UInt8](repeating: 0, count: 17)) } == .key)
    }

    @Test(arguments: AgeError.Kind.allCases)
    func everyKindHasAnExitCode(kind: AgeError.Kind) {
        let expected: Failure.Code =
            switch kind {
            case .header, .payload, .armor: .integrity
            case .headerMAC, .noMatch: .untrusted
            case .key, .recipients: .usage
            case .library: .failed
            }
        #expect(AgeError(kind, "text").failure.code == expected)
    }
}

func hex(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}
