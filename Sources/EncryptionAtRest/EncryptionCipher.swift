internal import CSodium
import Crypto
import CryptoExtras
import FoundationEssentials
import HostIO

/// A key of the apiserver's encryption at rest, to try whether it opens what is stored.
///
/// What libraries give back is wiped; what is decrypted leaves this type only by ``open(_:key:)``, in memory that is wiped.
enum EncryptionCipher: Sendable {
    /// What came of a trial.
    enum Trial: Sendable, Equatable {
        /// The secret opens the value.
        case opens
        /// It does not.
        case refused
        /// It can't be told: the key is a KMS's, or one that no API server starts with.
        case unknown
    }

    case cbc(SymmetricKey)
    case gcm(SymmetricKey)
    case secretbox(SecretBytes)
    case other

    /// - Parameters:
    ///   - provider: `aescbc`, `aesgcm` or `secretbox`; others can't be tried.
    init(provider: String, secret: SecretBytes) {
        let isAES = [16, 24, 32].contains(secret.count)
        switch provider {
        case "aescbc" where isAES: self = .cbc(secret.withUnsafeBytes { SymmetricKey(data: $0) })
        case "aesgcm" where isAES: self = .gcm(secret.withUnsafeBytes { SymmetricKey(data: $0) })
        case "secretbox" where secret.count == 32: self = .secretbox(secret)
        default: self = .other
        }
    }

    /// Tries whether a value opens.
    ///
    /// - Parameters:
    ///   - sealed: what is behind the name and its colon.
    ///   - key: the key under which it is stored in etcd, which `aesgcm` authenticates too.
    func trial(_ sealed: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) -> Trial {
        switch self {
        case .cbc(let secret): CBC.opens(sealed, secret) ? .opens : .refused
        case .gcm(let secret): GCM.opens(sealed, secret, authenticating: key) ? .opens : .refused
        case .secretbox(let secret): SecretBox.opens(sealed, secret) ? .opens : .refused
        case .other: .unknown
        }
    }

    /// Decrypts a value; nil if the secret does not open it, or can't be tried.
    func open(_ sealed: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) -> SecretBytes? {
        switch self {
        case .cbc(let secret): CBC.open(sealed, secret)
        case .gcm(let secret): GCM.open(sealed, secret, authenticating: key)
        case .secretbox(let secret): SecretBox.open(sealed, secret)
        case .other: nil
        }
    }
}

/// AES-CBC with PKCS#7 padding behind a block of initial values.
///
/// Source: Kubernetes 1.36 `apiserver/pkg/storage/value/encrypt/aes/aes.go`, `cbc.TransformFromStorage`. It authenticates
/// nothing, so the padding and the beginning of an object have to tell: a wrong secret gives a padding that looks right once
/// in 255 times, and then the beginning of an object once in 50,000.
private enum CBC {
    private static let blockByteCount = 16
    /// How much padding is proof by itself: chance gives four such bytes once in 2^32.
    private static let provingPaddingCount = 4

    static func opens(_ sealed: UnsafeRawBufferPointer, _ secret: SymmetricKey) -> Bool {
        guard sealed.count >= 2 * blockByteCount, sealed.count % blockByteCount == 0,
            var last = block(sealed, at: sealed.count - blockByteCount, secret),
            var first = block(sealed, at: blockByteCount, secret)
        else { return false }
        defer {
            last.wipe()
            first.wipe()
        }
        let count = Int(last[blockByteCount - 1])
        guard (1...blockByteCount).contains(count), last.suffix(count).allSatisfy({ Int($0) == count }) else {
            return false
        }
        return count >= provingPaddingCount || beginsAnObject(first)
    }

    static func open(_ sealed: UnsafeRawBufferPointer, _ secret: SymmetricKey) -> SecretBytes? {
        guard opens(sealed, secret), let vector = try? AES._CBC.IV(ivBytes: Array(sealed[..<blockByteCount])),
            var plain = try? AES._CBC.decrypt(Array(sealed[blockByteCount...]), using: secret, iv: vector)
        else { return nil }
        return plain.movedIntoSecretBytes()
    }

    /// What the apiserver stores: protobuf behind `k8s` and a zero, CBOR behind its tag, JSON; or else any text.
    ///
    /// Source: Kubernetes 1.36 `apimachinery/pkg/runtime/serializer/protobuf/protobuf.go`, `protoEncodingPrefix`; RFC 8949,
    /// section 3.4.6.
    private static func beginsAnObject(_ block: [UInt8]) -> Bool {
        let beginnings: [[UInt8]] = [[0x6B, 0x38, 0x73, 0], [0xD9, 0xD9, 0xF7], Array("{\"".utf8), Array("{\n".utf8)]
        return beginnings.contains { block.starts(with: $0) }
            || block.dropLast(provingPaddingCount).allSatisfy { (0x20..<0x7F).contains($0) || $0 == 0x0A || $0 == 0x09 }
    }

    /// The block at an offset, decrypted by itself: it needs only the one before.
    private static func block(_ sealed: UnsafeRawBufferPointer, at offset: Int, _ secret: SymmetricKey) -> [UInt8]? {
        guard let vector = try? AES._CBC.IV(ivBytes: Array(sealed[(offset - blockByteCount)..<offset])),
            var plain = try? AES._CBC.decrypt(
                Array(sealed[offset..<(offset + blockByteCount)]), using: secret, iv: vector, noPadding: true)
        else { return nil }
        defer { plain.resetBytes(in: 0..<plain.count) }
        return plain.count == blockByteCount ? Array(plain) : nil
    }
}

/// AES-GCM: a nonce of 12 bytes, the ciphertext, a tag of 16.
///
/// Source: Kubernetes 1.36 `aes.go`, `gcm.TransformFromStorage`; what is authenticated besides is the path in etcd
/// (`apiserver/pkg/storage/etcd3/store.go`, `authenticatedDataString`).
private enum GCM {
    static func opens(
        _ sealed: UnsafeRawBufferPointer, _ secret: SymmetricKey, authenticating key: UnsafeRawBufferPointer
    ) -> Bool {
        guard sealed.count >= 28, let box = try? AES.GCM.SealedBox(combined: sealed),
            var plain = try? AES.GCM.open(box, using: secret, authenticating: key)
        else { return false }
        plain.resetBytes(in: 0..<plain.count)
        return true
    }
}

extension GCM {
    static func open(
        _ sealed: UnsafeRawBufferPointer, _ secret: SymmetricKey, authenticating key: UnsafeRawBufferPointer
    ) -> SecretBytes? {
        guard sealed.count >= 28, let box = try? AES.GCM.SealedBox(combined: sealed),
            var plain = try? AES.GCM.open(box, using: secret, authenticating: key)
        else { return nil }
        return plain.movedIntoSecretBytes()
    }
}

extension Data {
    /// The bytes where they are wiped, and zeros here.
    fileprivate mutating func movedIntoSecretBytes() -> SecretBytes {
        defer { resetBytes(in: 0..<count) }
        return withUnsafeBytes { SecretBytes(copying: $0) }
    }
}

/// XSalsa20 and Poly1305: a nonce of 24 bytes, a tag of 16, the ciphertext.
///
/// Source: Kubernetes 1.36 `apiserver/pkg/storage/value/encrypt/secretbox/secretbox.go`; libsodium's
/// `crypto_secretbox_open_detached`, which only compares the tag where it is given no place for the message.
private enum SecretBox {
    static func opens(_ sealed: UnsafeRawBufferPointer, _ secret: SecretBytes) -> Bool {
        guard sealed.count >= 40, let start = sealed.bindMemory(to: UInt8.self).baseAddress else { return false }
        return secret.withUnsafeBytes { key in
            guard let key = key.bindMemory(to: UInt8.self).baseAddress else { return false }
            return crypto_secretbox_open_detached(
                nil, start + 40, start + 24, UInt64(sealed.count - 40), start, key) == 0
        }
    }
}

extension SecretBox {
    static func open(_ sealed: UnsafeRawBufferPointer, _ secret: SecretBytes) -> SecretBytes? {
        guard opens(sealed, secret), let start = sealed.bindMemory(to: UInt8.self).baseAddress else { return nil }
        let count = sealed.count - 40
        return SecretBytes(count: count) { plain in
            secret.withUnsafeBytes { key in
                guard let key = key.bindMemory(to: UInt8.self).baseAddress,
                    let plain = plain.bindMemory(to: UInt8.self).baseAddress
                else { return }
                _ = crypto_secretbox_open_detached(plain, start + 40, start + 24, UInt64(count), start, key)
            }
        }
    }
}
