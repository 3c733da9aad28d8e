import Crypto
import CryptoExtras
import Foundation
import HostIO
import Testing

@testable import EncryptionAtRest

/// Trials on values that are sealed here; the whole backup tries those of a real API server.
@Suite struct EncryptionCipherTests {
    private static let path = Array("/registry/secrets/default/a".utf8)
    private static let plain = Array("k8s\0".utf8) + (0..<100).map { UInt8($0) }

    private func cipher(_ provider: String, _ fill: UInt8, count: Int = 32) -> EncryptionCipher {
        cipher(provider, [UInt8](repeating: fill, count: count))
    }

    private func cipher(_ provider: String, _ secret: [UInt8]) -> EncryptionCipher {
        EncryptionCipher(provider: provider, secret: secret.withUnsafeBytes { SecretBytes(copying: $0) })
    }

    private func trial(
        _ cipher: EncryptionCipher, _ sealed: [UInt8], at path: [UInt8] = path
    ) -> EncryptionCipher.Trial {
        sealed.withUnsafeBytes { sealed in path.withUnsafeBytes { cipher.trial(sealed, key: $0) } }
    }

    private func cbc(_ fill: UInt8, _ plain: [UInt8], count: Int = 32) throws -> [UInt8] {
        let vector = [UInt8](repeating: 9, count: 16)
        let secret = SymmetricKey(data: [UInt8](repeating: fill, count: count))
        return vector + (try AES._CBC.encrypt(plain, using: secret, iv: AES._CBC.IV(ivBytes: vector)))
    }

    private func gcm(_ fill: UInt8, _ plain: [UInt8], _ path: [UInt8], count: Int = 32) throws -> [UInt8] {
        let secret = SymmetricKey(data: [UInt8](repeating: fill, count: count))
        return Array(try AES.GCM.seal(plain, using: secret, authenticating: path).combined ?? Data())
    }

    @Test(arguments: [16, 24, 32]) func aesOpensWithItsSecretOnly(count: Int) throws {
        let sealed = try cbc(1, Self.plain, count: count)
        #expect(trial(cipher("aescbc", 1, count: count), sealed) == .opens)
        #expect(trial(cipher("aescbc", 2, count: count), sealed) == .refused)
        let box = try gcm(1, Self.plain, Self.path, count: count)
        #expect(trial(cipher("aesgcm", 1, count: count), box) == .opens)
        #expect(trial(cipher("aesgcm", 2, count: count), box) == .refused)
        // The path is authenticated: a value that was copied to another key does not open for the API server either.
        #expect(trial(cipher("aesgcm", 1, count: count), box, at: Array("/x".utf8)) == .refused)
    }

    /// One wrong secret in 255 gives a padding that looks right, and none of them is taken for the right one.
    @Test func thousandsOfWrongSecretsNeverOpen() throws {
        let sealed = try cbc(1, Self.plain)
        for index in 0..<4096 {
            let secret = withUnsafeBytes(of: UInt64(index)) { Array($0) } + [UInt8](repeating: 0xEE, count: 24)
            #expect(trial(cipher("aescbc", secret), sealed) == .refused)
        }
    }

    @Test(arguments: 0..<40) func everyLengthOfAPlaintextOpens(count: Int) throws {
        let plain = Array(("{\"kind\":\"Secret\"}" + String(repeating: " ", count: 40)).utf8.prefix(count))
        #expect(trial(cipher("aescbc", 1), try cbc(1, plain)) == .opens)
        #expect(trial(cipher("aesgcm", 1), try gcm(1, plain, Self.path)) == .opens)
    }

    @Test func whatIsCutOrNotOfThatFormIsRefused() throws {
        let sealed = try cbc(1, Self.plain)
        let box = try gcm(1, Self.plain, Self.path)
        for count in [0, 1, 15, 16, 31, 33, sealed.count - 1] {
            #expect(trial(cipher("aescbc", 1), Array(sealed.prefix(count))) == .refused)
        }
        for count in [0, 1, 12, 27, box.count - 1] {
            #expect(trial(cipher("aesgcm", 1), Array(box.prefix(count))) == .refused)
            #expect(trial(cipher("secretbox", 1), Array(box.prefix(count))) == .refused)
        }
    }

    @Test func badSecretsAreNotTried() {
        for bad in [cipher("aescbc", 1, count: 5), cipher("secretbox", 1, count: 16), cipher("other", 1), .other] {
            #expect(trial(bad, [1, 2, 3]) == .unknown)
        }
    }

    private func opened(_ cipher: EncryptionCipher, _ sealed: [UInt8], at path: [UInt8] = path) -> [UInt8]? {
        let plain = sealed.withUnsafeBytes { sealed in path.withUnsafeBytes { cipher.open(sealed, key: $0) } }
        return plain?.withBytes { copy $0 }
    }

    @Test func whatOpensIsDecrypted() throws {
        let sealed = try cbc(1, Self.plain)
        #expect(opened(cipher("aescbc", 1), sealed) == Self.plain)
        #expect(opened(cipher("aescbc", 2), sealed) == nil)
        #expect(opened(cipher("aescbc", 1), Array(sealed.dropLast())) == nil)
        let box = try gcm(1, Self.plain, Self.path)
        #expect(opened(cipher("aesgcm", 1), box) == Self.plain)
        #expect(opened(cipher("aesgcm", 2), box) == nil && opened(cipher("aesgcm", 1), box, at: [1]) == nil)
        #expect(opened(cipher("secretbox", 1), box) == nil && opened(.other, sealed) == nil)
        for count in [16, 24, 32] {
            #expect(opened(cipher("aescbc", 1, count: count), try cbc(1, Self.plain, count: count)) == Self.plain)
        }
        #expect(opened(cipher("aesgcm", 1), try gcm(1, [], Self.path)) == [])
    }
}
