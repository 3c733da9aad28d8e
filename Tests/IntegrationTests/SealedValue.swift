import Crypto
import CryptoExtras
import Foundation
import TestSupport

/// Values as the API server stores them under encryption at rest, really sealed.
///
/// `k8s.io/apiserver` 1.36: prefixes in `pkg/server/options/encryptionconfig/config.go`, forms in
/// `pkg/storage/value/encrypt/{aes,secretbox,envelope}`.
enum SealedValue {
    /// AES-CBC with PKCS#7 padding behind its vector of 16 bytes.
    static func aescbc(_ plaintext: Data, key: SymmetricKey, name: String) throws -> Data {
        let vector = randomBytes(16)
        let sealed = try AES._CBC.encrypt(plaintext, using: key, iv: AES._CBC.IV(ivBytes: vector))
        return Data("k8s:enc:aescbc:v1:\(name):".utf8) + vector + sealed
    }

    /// AES-GCM behind its nonce of 12 bytes; the key in etcd is authenticated with it.
    static func aesgcm(_ plaintext: Data, key: SymmetricKey, name: String, at path: String) throws -> Data {
        Data("k8s:enc:aesgcm:v1:\(name):".utf8) + (try gcm(plaintext, key, at: path))
    }

    /// NaCl's secretbox behind its nonce of 24 bytes.
    static func secretbox(_ plaintext: Data, key: SymmetricKey, name: String) throws -> Data {
        let nonce = randomBytes(24)
        let sealed = try SecretBox.seal(Array(plaintext), key: key.withUnsafeBytes { Array($0) }, nonce: nonce)
        return Data("k8s:enc:secretbox:v1:\(name):".utf8) + nonce + sealed
    }

    /// An envelope of the first KMS protocol: the length of the plugin's answer, the answer, AES-CBC under what it holds.
    static func kmsV1(_ plaintext: Data, plugin: String) throws -> Data {
        let key = SymmetricKey(size: .bits256)
        let wrapped = try wrappedByPlugin(key)
        let vector = randomBytes(16)
        let sealed = try AES._CBC.encrypt(plaintext, using: key, iv: AES._CBC.IV(ivBytes: vector))
        let count = UInt16(wrapped.count)
        return Data("k8s:enc:kms:v1:\(plugin):".utf8) + [UInt8(count >> 8), UInt8(count & 0xFF)] + wrapped + vector
            + sealed
    }

    /// An envelope of the second KMS protocol: `EncryptedObject` {1 data, 2 key ID, 3 the plugin's answer}.
    static func kmsV2(_ plaintext: Data, plugin: String, at path: String) throws -> Data {
        let key = SymmetricKey(size: .bits256)
        let fields = [try gcm(plaintext, key, at: path), Data("key-1".utf8), try wrappedByPlugin(key)]
        let message = fields.enumerated().reduce(Data()) { message, field in
            message + [UInt8(field.offset + 1) << 3 | 2] + varint(field.element.count) + field.element
        }
        return Data("k8s:enc:kms:v2:\(plugin):".utf8) + message
    }

    private static func gcm(_ plaintext: Data, _ key: SymmetricKey, at path: String) throws -> Data {
        let box = try AES.GCM.seal(plaintext, using: key, authenticating: Data(path.utf8))
        guard let combined = box.combined else { throw TestSupportError("a nonce of 12 bytes has a combined form") }
        return combined
    }

    /// What only the plugin can open.
    private static func wrappedByPlugin(_ key: SymmetricKey) throws -> Data {
        try gcm(key.withUnsafeBytes { Data($0) }, SymmetricKey(size: .bits256), at: "plugin")
    }

    private static func varint(_ value: Int) -> [UInt8] {
        value < 0x80 ? [UInt8(value)] : [UInt8(value & 0x7F) | 0x80] + varint(value >> 7)
    }

    private static func randomBytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8.random(in: 0...255) } }
}

/// XSalsa20 and Poly1305 as NaCl's `crypto_secretbox` puts them together; the authenticator is openssl's.
///
/// Sources: D. J. Bernstein, "Extending the Salsa20 nonce" and "The Salsa20 family of stream ciphers".
enum SecretBox {
    /// The tag of 16 bytes and the ciphertext.
    static func seal(_ plaintext: [UInt8], key: [UInt8], nonce: [UInt8]) throws -> [UInt8] {
        let subkey = block(key, Array(nonce[..<16]), isHash: true)
        // The first 32 bytes of the stream are the authenticator's key.
        let stream = (0...(plaintext.count + 32) / 64).flatMap { index in
            block(
                subkey, Array(nonce[16...]) + (0..<8).map { UInt8(truncatingIfNeeded: index >> (8 * $0)) },
                isHash: false)
        }
        let sealed = zip(plaintext, stream[32...]).map { $0 ^ $1 }
        return try poly1305(sealed, key: Array(stream[..<32])) + sealed
    }

    private static func poly1305(_ message: [UInt8], key: [UInt8]) throws -> [UInt8] {
        let hexadecimal = key.map { String(format: "%02x", $0) }.joined()
        let arguments = ["mac", "-binary", "-macopt", "hexkey:\(hexadecimal)", "POLY1305"]
        return Array(try run("openssl", arguments, input: Data(message)).output)
    }

    /// A block of Salsa20, or the 32 bytes of HSalsa20; `input` is nonce and counter.
    private static func block(_ key: [UInt8], _ input: [UInt8], isHash: Bool) -> [UInt8] {
        func words(_ bytes: some Collection<UInt8>) -> [UInt32] {
            let bytes = Array(bytes)
            return stride(from: 0, to: bytes.count, by: 4).map { start in
                bytes[start..<start + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
            }
        }
        let constants = words("expand 32-byte k".utf8)
        let (low, high, middle) = (words(key[..<16]), words(key[16...]), words(input))
        let start =
            [constants[0]] + low + [constants[1]] + middle + [constants[2]] + high + [constants[3]]
        var state = start
        for _ in 0..<10 { doubleRound(&state) }
        let result =
            isHash ? [0, 5, 10, 15, 6, 7, 8, 9].map { state[$0] } : zip(state, start).map { $0 &+ $1 }
        return result.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } }
    }

    private static func doubleRound(_ state: inout [UInt32]) {
        for column in [[0, 4, 8, 12], [5, 9, 13, 1], [10, 14, 2, 6], [15, 3, 7, 11]] { quarterRound(&state, column) }
        for row in [[0, 1, 2, 3], [5, 6, 7, 4], [10, 11, 8, 9], [15, 12, 13, 14]] { quarterRound(&state, row) }
    }

    private static func quarterRound(_ state: inout [UInt32], _ place: [Int]) {
        for (step, distance) in [7, 9, 13, 18].enumerated() {
            let sum = state[place[step]] &+ state[place[(step + 3) % 4]]
            state[place[(step + 1) % 4]] ^= sum << UInt32(distance) | sum >> UInt32(32 - distance)
        }
    }
}
