internal import HostIO
internal import Crypto
internal import FoundationEssentials

/// The public half of a classic age key, `age1…` (C2SP age.md, "The X25519 recipient type").
public struct X25519Recipient: Recipient, Equatable {
    static let stanzaType = "X25519"
    static let humanReadablePart = "age"
    static let keyByteCount = 32
    fileprivate static let info = Array("age-encryption.org/v1/X25519".utf8)

    let key: [UInt8]

    /// Reads `age1…`, in lower case.
    ///
    /// - Throws: ``AgeError`` of kind `key`.
    public init(_ string: String) throws(AgeError) {
        key = try KeyText.decode(string.utf8, as: .recipient, part: Self.humanReadablePart, count: Self.keyByteCount)
    }

    fileprivate init(key: [UInt8]) { self.key = key }

    /// `age1` and 58 more characters.
    public var string: String {
        key.withUnsafeBytes { String(ascii: Bech32.encode(humanReadablePart: Self.humanReadablePart, payload: $0)) }
    }
    /// None: a classic key.
    public var labels: Set<String> { [] }
    /// `X25519`.
    public var stanzaType: String { Self.stanzaType }
    /// The fingerprint of the 32-byte point.
    public var fingerprint: String? { Age.fingerprint(ofKey: key) }

    /// One stanza with a fresh ephemeral share.
    public func wrap(_ fileKey: FileKey) throws -> [Stanza] {
        [try wrap(fileKey, ephemeral: SecretBytes(randomCount: 32))]
    }

    package func wrap(_ fileKey: FileKey, ephemeralForTests bytes: [UInt8]) throws -> Stanza {
        try wrap(fileKey, ephemeral: bytes.withUnsafeBytes { SecretBytes(copying: $0) })
    }

    private func wrap(_ fileKey: FileKey, ephemeral: SecretBytes) throws -> Stanza {
        let ephemeralKey = try privateKey(ephemeral)
        let share = Array(ephemeralKey.publicKey.rawRepresentation)
        guard let wrapKey = wrapKey(private: ephemeralKey, public: key, share: share, recipient: key) else {
            throw AgeError(
                .recipients, "recipient \(string) is a point of low order, which gives no secrecy",
                hint: "remove it: no key generator makes such a recipient")
        }
        let body = try WrappedFileKey.seal(fileKey, under: wrapKey)
        return Stanza(
            type: Self.stanzaType, arguments: [String(ascii: Base64.encode(share))], body: body)
    }
}

/// A classic age key, `AGE-SECRET-KEY-1…`.
public struct X25519Identity: KeyIdentity {
    static let humanReadablePart = "AGE-SECRET-KEY-"

    private let scalar: SecretBytes
    /// The public half.
    public let recipient: X25519Recipient

    /// A fresh key from the system's cryptographic generator.
    ///
    /// - Throws: ``AgeError`` of kind `library`.
    public static func generate() throws -> X25519Identity {
        try X25519Identity(scalar: SecretBytes(randomCount: X25519Recipient.keyByteCount))
    }

    /// Reads the bytes of `AGE-SECRET-KEY-1…`, in upper case; they are the caller's to wipe.
    ///
    /// - Throws: ``AgeError`` of kind `key`.
    public init(_ text: some Collection<UInt8>) throws {
        var key = try KeyText.decode(
            text, as: .identity, part: Self.humanReadablePart, count: X25519Recipient.keyByteCount)
        defer { wipe(&key) }
        try self.init(scalar: key.withUnsafeBytes { SecretBytes(copying: $0) })
    }

    private init(scalar: SecretBytes) throws {
        self.scalar = scalar
        recipient = X25519Recipient(key: Array(try privateKey(scalar).publicKey.rawRepresentation))
    }

    /// `AGE-SECRET-KEY-1` and 58 more characters.
    public func encoded() -> [UInt8] {
        scalar.withUnsafeBytes { Bech32.encode(humanReadablePart: Self.humanReadablePart, payload: $0) }
    }

    /// Tries each X25519 stanza.
    public func unwrap(_ stanzas: [Stanza]) throws -> FileKey? {
        for stanza in stanzas where stanza.type == X25519Recipient.stanzaType {
            if let fileKey = try unwrap(stanza) { return fileKey }
        }
        return nil
    }

    private func unwrap(_ stanza: Stanza) throws -> FileKey? {
        let share = try stanza.onlyArgument(byteCount: X25519Recipient.keyByteCount)
        try stanza.checkBodyLength()
        guard
            let wrapKey = wrapKey(
                private: try privateKey(scalar), public: share, share: share, recipient: recipient.key)
        else { throw stanza.malformed("its share is a point of low order") }
        return try WrappedFileKey.open(stanza.body, under: wrapKey)
    }
}

private func privateKey(_ scalar: SecretBytes) throws(AgeError) -> Curve25519.KeyAgreement.PrivateKey {
    do {
        return try scalar.withUnsafeBytes { try Curve25519.KeyAgreement.PrivateKey(rawRepresentation: $0) }
    } catch { throw .library("use an X25519 key") }
}

/// The key that seals the file key, or nil if the shared secret is all zero, which swift-crypto does not refuse.
private func wrapKey(
    private key: Curve25519.KeyAgreement.PrivateKey, public point: [UInt8], share: [UInt8], recipient: [UInt8]
) -> SecretBytes? {
    guard let publicKey = try? Curve25519.KeyAgreement.PublicKey(rawRepresentation: point),
        let secret = try? key.sharedSecretFromKeyAgreement(with: publicKey)
    else { return nil }
    let isZero = secret.withUnsafeBytes { $0.reduce(0) { $0 | $1 } == 0 }
    if isZero { return nil }
    let derived = secret.hkdfDerivedSymmetricKey(
        using: SHA256.self, salt: share + recipient, sharedInfo: X25519Recipient.info, outputByteCount: 32)
    return derived.withUnsafeBytes { SecretBytes(copying: $0) }
}

extension Stanza {
    /// The bytes of the one argument that native types have.
    func onlyArgument(byteCount: Int) throws(AgeError) -> [UInt8] {
        guard arguments.count == 1, let bytes = Base64.decode(arguments[0].utf8, as: .unpadded),
            bytes.count == byteCount
        else {
            throw malformed("it needs one argument of \(byteCount) bytes")
        }
        return bytes
    }

    /// Must come before any decryption: a longer body would let one stanza be opened by several keys.
    func checkBodyLength() throws(AgeError) {
        guard body.count == WrappedFileKey.byteCount else {
            throw malformed("its body has \(body.count) bytes, not \(WrappedFileKey.byteCount)")
        }
    }

    func malformed(_ reason: String) -> AgeError {
        AgeError(
            .header, "a stanza of type \(type) is malformed: \(reason)",
            hint: "the file is damaged, or was written by a faulty program")
    }
}
