internal import HostIO
internal import Crypto
internal import FoundationEssentials

/// The public half of a post-quantum age key, `age1pq1…`.
///
/// ML-KEM-768 and X25519 together (C2SP age.md, "The mlkem768x25519 recipient type"): readers need age 1.3 or later.
public struct HybridRecipient: Recipient, Equatable {
    static let stanzaType = "mlkem768x25519"
    static let humanReadablePart = "age1pq"
    static let keyByteCount = MLKEM768.encapsulationKeyByteCount + 32
    fileprivate static let encapsulatedKeyByteCount = 1088 + 32

    let key: [UInt8]

    /// Reads `age1pq1…`, in lower case.
    ///
    /// - Throws: ``AgeError`` of kind `key`, also if the key is not one that ML-KEM allows.
    public init(_ string: String) throws(AgeError) {
        key = try KeyText.decode(string.utf8, as: .recipient, part: Self.humanReadablePart, count: Self.keyByteCount)
        guard MLKEM768.hasReducedCoefficients(key) else {
            throw AgeError(
                .key, "the recipient is malformed: its ML-KEM key has a coefficient that is not below the modulus")
        }
    }

    fileprivate init(key: [UInt8]) { self.key = key }

    /// `age1pq1` and 1952 more characters.
    public var string: String {
        key.withUnsafeBytes { String(ascii: Bech32.encode(humanReadablePart: Self.humanReadablePart, payload: $0)) }
    }
    /// `postquantum`.
    public var labels: Set<String> { ["postquantum"] }
    /// `mlkem768x25519`.
    public var stanzaType: String { Self.stanzaType }
    /// The fingerprint of the 1216-byte key.
    public var fingerprint: String? { Age.fingerprint(ofKey: key) }

    /// One stanza with a fresh encapsulation.
    public func wrap(_ fileKey: FileKey) throws -> [Stanza] {
        do {
            let publicKey = try XWingMLKEM768X25519.PublicKey(rawRepresentation: key)
            var sender = try HPKE.Sender(recipientKey: publicKey, ciphersuite: hpkeSuite, info: hpkeInfo)
            let body = try fileKey.withUnsafeBytes { try sender.seal($0) }
            let share = String(ascii: Base64.encode(sender.encapsulatedKey))
            return [Stanza(type: Self.stanzaType, arguments: [share], body: Array(body))]
        } catch {
            throw AgeError(
                .recipients, "recipient \(string.prefix(20))… can't be encrypted for: \(error)",
                hint: "remove it: no key generator makes such a recipient")
        }
    }
}

/// A post-quantum age key, `AGE-SECRET-KEY-PQ-1…`.
public struct HybridIdentity: KeyIdentity {
    static let humanReadablePart = "AGE-SECRET-KEY-PQ-"
    private static let seedByteCount = 32

    private let seed: SecretBytes
    /// The public half.
    public let recipient: HybridRecipient

    /// A fresh key from the system's cryptographic generator.
    ///
    /// - Throws: ``AgeError`` of kind `library`.
    public static func generate() throws -> HybridIdentity {
        try HybridIdentity(seed: SecretBytes(randomCount: seedByteCount))
    }

    /// Reads the bytes of `AGE-SECRET-KEY-PQ-1…`, in upper case; they are the caller's to wipe.
    ///
    /// - Throws: ``AgeError`` of kind `key`.
    public init(_ text: some Collection<UInt8>) throws {
        var seed = try KeyText.decode(text, as: .identity, part: Self.humanReadablePart, count: Self.seedByteCount)
        defer { wipe(&seed) }
        try self.init(seed: seed.withUnsafeBytes { SecretBytes(copying: $0) })
    }

    private init(seed: SecretBytes) throws {
        self.seed = seed
        recipient = HybridRecipient(key: Array(try Self.privateKey(seed).publicKey.rawRepresentation))
    }

    /// `AGE-SECRET-KEY-PQ-1` and 58 more characters.
    public func encoded() -> [UInt8] {
        seed.withUnsafeBytes { Bech32.encode(humanReadablePart: Self.humanReadablePart, payload: $0) }
    }

    /// Tries each mlkem768x25519 stanza.
    public func unwrap(_ stanzas: [Stanza]) throws -> FileKey? {
        for stanza in stanzas where stanza.type == HybridRecipient.stanzaType {
            if let fileKey = try unwrap(stanza) { return fileKey }
        }
        return nil
    }

    private func unwrap(_ stanza: Stanza) throws -> FileKey? {
        let share = try stanza.onlyArgument(byteCount: HybridRecipient.encapsulatedKeyByteCount)
        try stanza.checkBodyLength()
        let privateKey = try Self.privateKey(seed)
        guard
            var opener = try? HPKE.Recipient(
                privateKey: privateKey, ciphersuite: hpkeSuite, info: hpkeInfo, encapsulatedKey: Data(share))
        else { throw stanza.malformed("its share is not one that encapsulation makes") }
        // ML-KEM gives another secret for a foreign share, so only the tag tells that the stanza is not ours.
        guard var plaintext = try? opener.open(stanza.body) else { return nil }
        defer { plaintext.withUnsafeMutableBytes { wipe($0) } }
        return try plaintext.withUnsafeBytes { try FileKey(copying: $0) }
    }

    private static func privateKey(_ seed: SecretBytes) throws(AgeError) -> XWingMLKEM768X25519.PrivateKey {
        var bytes = seed.withUnsafeBytes { Array($0) }
        defer { wipe(&bytes) }
        do {
            return try XWingMLKEM768X25519.PrivateKey(seedRepresentation: bytes, publicKey: nil)
        } catch { throw .library("use a post-quantum key") }
    }
}

private let hpkeSuite = HPKE.Ciphersuite(kem: .XWingMLKEM768X25519, kdf: .HKDF_SHA256, aead: .chaChaPoly)
/// Unlike in the other recipient types there is no version in it.
private let hpkeInfo = Data("age-encryption.org/mlkem768x25519".utf8)

/// Parameters of ML-KEM-768 (FIPS 203).
private enum MLKEM768 {
    static let encapsulationKeyByteCount = 1184
    /// k = 3 polynomials of 256 coefficients in 12 bits each; the rest of the key is the seed of the matrix.
    static let coefficientByteCount = 1152
    static let modulus = 3329

    /// FIPS 203, section 7.2, "modulus check"; swift-crypto looks at it only when encapsulating.
    static func hasReducedCoefficients(_ key: [UInt8]) -> Bool {
        stride(from: 0, to: coefficientByteCount, by: 3).allSatisfy { index in
            let first = Int(key[index]) | Int(key[index + 1] & 0x0F) << 8
            let second = Int(key[index + 1]) >> 4 | Int(key[index + 2]) << 4
            return first < modulus && second < modulus
        }
    }
}
