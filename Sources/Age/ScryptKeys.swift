internal import CCrypto
import HostIO

/// A passphrase to encrypt with (C2SP age.md, "The scrypt recipient type"); it can't be used with other recipients.
public struct ScryptRecipient: Recipient {
    static let stanzaType = "scrypt"
    /// The work factor that age writes: 256 MiB of memory and about a second.
    public static let defaultLogN = 18
    fileprivate static let saltByteCount = 16
    fileprivate static let saltPrefix = Array("age-encryption.org/v1/scrypt".utf8)

    private let passphrase: SecretBytes
    private let logN: Int
    /// One random label, so that no other recipient has the same.
    public let labels: Set<String>

    /// Copies the passphrase in UTF-8; the original is the caller's to wipe.
    ///
    /// - Parameter logN: the base-2 logarithm of the work factor, from 1 to 22; the memory needed is 2^logN KiB.
    /// - Throws: ``AgeError`` of kind `key` if the passphrase is empty.
    public init(passphrase: [UInt8], logN: Int = defaultLogN) throws(AgeError) {
        precondition((1...ScryptIdentity.defaultLogNLimit).contains(logN), "a work factor is out of range")
        self.passphrase = try copiedPassphrase(passphrase)
        self.logN = logN
        labels = ["scrypt-" + String(ascii: Base64.encode(randomBytes(count: 16)))]
    }

    /// `scrypt`: a passphrase is never written down.
    public var string: String { Self.stanzaType }
    /// `scrypt`.
    public var stanzaType: String { Self.stanzaType }
    /// None: there is no public key.
    public var fingerprint: String? { nil }

    /// One stanza with a fresh salt; takes the time and memory of the work factor.
    public func wrap(_ fileKey: FileKey) throws -> [Stanza] {
        let salt = randomBytes(count: Self.saltByteCount)
        let wrapKey = try scryptWrapKey(passphrase: passphrase, salt: salt, logN: logN)
        return [
            Stanza(
                type: Self.stanzaType, arguments: [String(ascii: Base64.encode(salt)), String(logN)],
                body: try WrappedFileKey.seal(fileKey, under: wrapKey))
        ]
    }
}

/// A passphrase to decrypt with.
public struct ScryptIdentity: Identity {
    /// The greatest work factor that age accepts unasked: 4 GiB of memory.
    public static let defaultLogNLimit = 22

    private let passphrase: SecretBytes
    private let logNLimit: Int

    /// Copies the passphrase in UTF-8; the original is the caller's to wipe.
    ///
    /// - Parameter logNLimit: the greatest work factor, as a base-2 logarithm of at most 30, that a file may ask for.
    /// - Throws: ``AgeError`` of kind `key` if the passphrase is empty.
    public init(passphrase: [UInt8], logNLimit: Int = defaultLogNLimit) throws(AgeError) {
        precondition((1...30).contains(logNLimit), "a limit on the work factor is out of range")
        self.passphrase = try copiedPassphrase(passphrase)
        self.logNLimit = logNLimit
    }

    /// Opens the one stanza, if it is of type scrypt; takes the time and memory of its work factor.
    public func unwrap(_ stanzas: [Stanza]) throws -> FileKey? {
        guard let stanza = stanzas.first(where: { $0.type == ScryptRecipient.stanzaType }) else { return nil }
        try Self.checkAlone(stanzas)
        let (salt, logN) = try Self.arguments(of: stanza)
        try stanza.checkBodyLength()
        guard logN <= logNLimit else {
            throw AgeError(
                .header, "the passphrase stanza asks for work factor 2^\(logN), more than the 2^\(logNLimit) allowed",
                hint: "the file is damaged or made to exhaust memory")
        }
        let wrapKey = try scryptWrapKey(passphrase: passphrase, salt: salt, logN: logN)
        return try WrappedFileKey.open(stanza.body, under: wrapKey)
    }

    /// Refuses a header that has a scrypt stanza among others, whatever the identities are: whoever knows a
    /// passphrase would otherwise believe that only they could have made the file.
    static func checkAlone(_ stanzas: [Stanza]) throws(AgeError) {
        guard stanzas.count > 1, stanzas.contains(where: { $0.type == ScryptRecipient.stanzaType }) else { return }
        throw AgeError(
            .header, "the header has a passphrase stanza among \(stanzas.count), which must be alone",
            hint: "the file is damaged, or was written by a faulty program")
    }

    private static func arguments(of stanza: Stanza) throws(AgeError) -> (salt: [UInt8], logN: Int) {
        guard stanza.arguments.count == 2, let salt = Base64.decode(stanza.arguments[0].utf8, as: .unpadded),
            salt.count == ScryptRecipient.saltByteCount
        else { throw stanza.malformed("it needs a salt of \(ScryptRecipient.saltByteCount) bytes and a work factor") }
        let digits = stanza.arguments[1].utf8
        // Two digits are enough for every work factor there is, and can't overflow.
        guard (1...2).contains(digits.count), digits.allSatisfy({ (0x30...0x39).contains($0) }), digits.first != 0x30,
            let logN = Int(stanza.arguments[1])
        else { throw stanza.malformed("its work factor is not a number from 1 to 99 without leading zeros") }
        return (salt, logN)
    }
}

private func copiedPassphrase(_ passphrase: [UInt8]) throws(AgeError) -> SecretBytes {
    guard !passphrase.isEmpty else { throw AgeError(.key, "the passphrase is empty") }
    return passphrase.withUnsafeBytes { SecretBytes(copying: $0) }
}

private func scryptWrapKey(passphrase: SecretBytes, salt: [UInt8], logN: Int) throws(AgeError) -> SecretBytes {
    let neededKiB = 1 << logN
    if let limit = memoryLimitByteCount(), limit >> 10 < neededKiB + 32 << 10 {
        throw AgeError(
            .key,
            "a passphrase takes \(neededKiB) KiB of memory, and the control group allows \(limit >> 10) KiB in all",
            hint: "raise its memory.max (MemoryMax= of a unit), or use a key file without a passphrase")
    }
    let salt = ScryptRecipient.saltPrefix + salt
    return try SecretBytes(count: 32) { (key) throws(AgeError) in
        let result = passphrase.withUnsafeBytes { phrase -> CInt in
            guard let key = key.assumingMemoryBound(to: UInt8.self).baseAddress else {
                return CInt(CCRYPTO_LIBRARY_FAILURE)
            }
            return ccrypto_scrypt(
                phrase.assumingMemoryBound(to: UInt8.self).baseAddress, phrase.count, salt, salt.count, UInt32(logN),
                key,
                32)
        }
        guard result == CInt(CCRYPTO_OK) else {
            throw .library("derive a key from the passphrase, which takes \(1 << logN) KiB of memory")
        }
    }
}
