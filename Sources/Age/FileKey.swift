internal import CCrypto
internal import Crypto
import HostIO

/// The 16 random bytes that the keys of one age file come from (C2SP age.md, "File key").
///
/// Wiped when the last reference goes, and never printed. Whoever has the file key reads that file, and only that one.
public struct FileKey: Sendable, CustomStringConvertible, CustomReflectable {
    /// The length of a file key.
    public static let byteCount = 16

    let secret: SecretBytes

    /// A fresh key from the system's cryptographic generator.
    public static func generate() -> FileKey { FileKey(secret: SecretBytes(randomCount: byteCount)) }

    /// Copies a key that a custodian handed over; the original is the caller's to wipe.
    ///
    /// - Throws: ``AgeError`` of kind `key` unless there are 16 bytes.
    public init(copying bytes: UnsafeRawBufferPointer) throws(AgeError) {
        guard bytes.count == Self.byteCount else {
            throw AgeError(.key, "a file key has \(Self.byteCount) bytes, not \(bytes.count)")
        }
        secret = SecretBytes(copying: bytes)
    }

    private init(secret: SecretBytes) { self.secret = secret }

    /// Lends the key's bytes; do not keep a copy.
    public func withUnsafeBytes<Result, E: Error>(
        _ body: (UnsafeRawBufferPointer) throws(E) -> Result
    ) throws(E) -> Result {
        try secret.withUnsafeBytes(body)
    }

    /// Says nothing about the key.
    public var description: String { "file key" }
    /// Shows nothing of the key.
    public var customMirror: Mirror { Mirror(self, children: []) }

    /// The key of the header's MAC.
    var headerKey: SymmetricKey { derived(salt: [], info: "header") }

    /// The key of the payload's chunks.
    func payloadKey(nonce: [UInt8]) -> SecretBytes {
        derived(salt: nonce, info: "payload").withUnsafeBytes { SecretBytes(copying: $0) }
    }

    private func derived(salt: [UInt8], info: String) -> SymmetricKey {
        let material = secret.withUnsafeBytes { SymmetricKey(data: $0) }
        return HKDF<SHA256>.deriveKey(
            inputKeyMaterial: material, salt: salt, info: Array(info.utf8), outputByteCount: 32)
    }
}

/// The body of a native stanza: the file key sealed under a wrapping key that is used once, hence the zero nonce
/// (C2SP age.md, "X25519 recipient stanza").
enum WrappedFileKey {
    static let byteCount = FileKey.byteCount + AEADContext.tagByteCount

    static func seal(_ fileKey: FileKey, under wrapKey: SecretBytes) throws(AgeError) -> [UInt8] {
        let context = try AEADContext(key: wrapKey)
        var body = [UInt8](repeating: 0, count: byteCount)
        try fileKey.withUnsafeBytes { (key) throws(AgeError) in
            try AEADContext.zeroNonce.withBytes { (nonce) throws(AgeError) in
                try body.withMutableBytes { (room) throws(AgeError) in try context.seal(key, nonce: nonce, into: room) }
            }
        }
        return body
    }

    /// The file key, or nil if the body was sealed under another key.
    static func open(_ body: [UInt8], under wrapKey: SecretBytes) throws(AgeError) -> FileKey? {
        precondition(body.count == byteCount, "the length of a stanza's body is to be checked before it is opened")
        let context = try AEADContext(key: wrapKey)
        var isAuthentic = false
        let secret = try SecretBytes(count: FileKey.byteCount) { (room) throws(AgeError) in
            isAuthentic = try body.withBytes { (sealed) throws(AgeError) in
                try AEADContext.zeroNonce.withBytes { (nonce) throws(AgeError) in
                    try context.open(sealed, nonce: nonce, into: room)
                }
            }
        }
        guard isAuthentic else { return nil }
        return try secret.withUnsafeBytes { (bytes) throws(AgeError) in try FileKey(copying: bytes) }
    }
}

extension Array where Element == UInt8 {
    /// `withUnsafeBytes` that keeps the type of the error.
    func withBytes<Result, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> Result) throws(E) -> Result {
        try withUnsafeBufferPointer { (bytes) throws(E) in try body(UnsafeRawBufferPointer(bytes)) }
    }

    /// `withUnsafeMutableBytes` that keeps the type of the error.
    mutating func withMutableBytes<Result, E: Error>(
        _ body: (UnsafeMutableRawBufferPointer) throws(E) -> Result
    ) throws(E) -> Result {
        try withUnsafeMutableBufferPointer { (bytes) throws(E) in try body(UnsafeMutableRawBufferPointer(bytes)) }
    }
}
