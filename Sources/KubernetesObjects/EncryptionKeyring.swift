internal import CSodium
import Crypto
import CryptoExtras
import FoundationEssentials
import HostIO

/// The keys of the apiserver's encryption at rest, to try whether they open what is stored.
///
/// Nothing that is decrypted leaves this type, and what libraries give back is wiped.
public struct EncryptionKeyring: Sendable {
    /// A key of a provider.
    public struct Key: Sendable {
        /// `aescbc`, `aesgcm` or `secretbox`.
        public var provider: String
        /// The name, which stands before each value; it may have colons.
        public var name: String
        /// The secret.
        public var secret: SecretBytes

        /// A key from its parts.
        public init(provider: String, name: String, secret: SecretBytes) {
            self.provider = provider
            self.name = name
            self.secret = secret
        }

        /// What stands before each value that it has encrypted, without `k8s:enc:` and the last colon.
        public var label: String { "\(provider):v1:\(name)" }
    }

    /// What came of a trial.
    public enum Trial: Sendable, Equatable {
        /// One of the secrets of the name opens the value.
        case opens
        /// None does.
        case refused
        /// It can't be told: the key is a KMS's, or the value proves nothing.
        case unknown
    }

    /// What stands before values, longest first, so that a name which begins with another is found before that.
    public let labels: [String]
    private let ciphers: [[Cipher]]

    /// A keyring.
    ///
    /// - Parameters:
    ///   - keys: those of all configurations; several may have one name.
    ///   - others: further labels that are known and can't be tried, such as `kms:v2:vault`.
    public init(_ keys: [Key], others: Set<String> = []) {
        let byLabel = Dictionary(grouping: keys, by: \.label)
        labels = Set(byLabel.keys).union(others).sorted { ($1.utf8.count, $0) < ($0.utf8.count, $1) }
        ciphers = labels.map { label in (byLabel[label] ?? []).map(Cipher.init) }
    }

    /// Tries whether a value opens.
    ///
    /// - Parameters:
    ///   - label: the index of its label in ``labels``.
    ///   - sealed: what is behind the label and its colon.
    ///   - key: the key under which it is stored in etcd, which `aesgcm` authenticates too.
    public func trial(label: Int, sealed: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) -> Trial {
        var result = ciphers[label].isEmpty ? Trial.unknown : .refused
        for cipher in ciphers[label] {
            switch cipher.trial(sealed, key: key) {
            case .opens: return .opens
            case .unknown: result = .unknown
            case .refused: break
            }
        }
        return result
    }
}

/// One key ready for use.
private enum Cipher: Sendable {
    case cbc(SymmetricKey)
    case gcm(SymmetricKey)
    case secretbox(SecretBytes)
    case other

    init(_ key: EncryptionKeyring.Key) {
        let isAES = [16, 24, 32].contains(key.secret.count)
        switch key.provider {
        case "aescbc" where isAES: self = .cbc(key.secret.withUnsafeBytes { SymmetricKey(data: $0) })
        case "aesgcm" where isAES: self = .gcm(key.secret.withUnsafeBytes { SymmetricKey(data: $0) })
        case "secretbox" where key.secret.count == 32: self = .secretbox(key.secret)
        default: self = .other
        }
    }

    func trial(_ sealed: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) -> EncryptionKeyring.Trial {
        switch self {
        case .cbc(let secret): CBC.trial(sealed, secret)
        case .gcm(let secret): GCM.opens(sealed, secret, authenticating: key) ? .opens : .refused
        case .secretbox(let secret): SecretBox.opens(sealed, secret) ? .opens : .refused
        case .other: .unknown
        }
    }
}

/// AES-CBC with PKCS#7 padding behind a block of initial values.
///
/// Source: Kubernetes 1.36 `apiserver/pkg/storage/value/encrypt/aes/aes.go`, `cbc.TransformFromStorage`. It authenticates
/// nothing, so the padding and the beginning of an object have to tell: a wrong secret gives a padding that looks right once
/// in 255 times.
private enum CBC {
    private static let blockByteCount = 16
    /// How much padding is proof by itself: chance gives four such bytes once in 2^32.
    private static let provingPaddingCount = 4

    static func trial(_ sealed: UnsafeRawBufferPointer, _ secret: SymmetricKey) -> EncryptionKeyring.Trial {
        guard sealed.count >= 2 * blockByteCount, sealed.count % blockByteCount == 0,
            var last = block(sealed, at: sealed.count - blockByteCount, secret),
            var first = block(sealed, at: blockByteCount, secret)
        else { return .refused }
        defer {
            last.wipe()
            first.wipe()
        }
        let count = Int(last[blockByteCount - 1])
        guard (1...blockByteCount).contains(count), last.suffix(count).allSatisfy({ Int($0) == count }) else {
            return .refused
        }
        if count >= provingPaddingCount || beginsAnObject(first) { return .opens }
        return .unknown
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
