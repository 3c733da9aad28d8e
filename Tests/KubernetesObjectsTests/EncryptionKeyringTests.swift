import Crypto
import CryptoExtras
import Foundation
import HostIO
import Testing

@testable import KubernetesObjects

/// Trials on values that are sealed here; the whole backup tries those of a real API server.
@Suite struct EncryptionKeyringTests {
    private static let path = Array("/registry/secrets/default/a".utf8)
    private static let plain = Array("k8s\0".utf8) + (0..<100).map { UInt8($0) }

    private func key(_ provider: String, _ fill: UInt8, count: Int = 32, name: String = "key1") -> EncryptionKeyring.Key
    {
        let bytes = [UInt8](repeating: fill, count: count)
        return EncryptionKeyring.Key(
            provider: provider, name: name, secret: bytes.withUnsafeBytes { SecretBytes(copying: $0) })
    }

    private func trial(
        _ keyring: EncryptionKeyring, _ sealed: [UInt8], at path: [UInt8] = path, label: Int = 0
    ) -> EncryptionKeyring.Trial {
        sealed.withUnsafeBytes { sealed in
            path.withUnsafeBytes { keyring.trial(label: label, sealed: sealed, key: $0) }
        }
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
        let right = EncryptionKeyring([key("aescbc", 1, count: count)])
        let wrong = EncryptionKeyring([key("aescbc", 2, count: count)])
        let both = EncryptionKeyring([key("aescbc", 2, count: count), key("aescbc", 1, count: count)])
        let sealed = try cbc(1, Self.plain, count: count)
        #expect(trial(right, sealed) == .opens && trial(both, sealed) == .opens && trial(wrong, sealed) == .refused)
        let box = try gcm(1, Self.plain, Self.path, count: count)
        #expect(trial(EncryptionKeyring([key("aesgcm", 1, count: count)]), box) == .opens)
        #expect(trial(EncryptionKeyring([key("aesgcm", 2, count: count)]), box) == .refused)
        // The path is authenticated: a value that was copied to another key does not open for the API server either.
        #expect(trial(EncryptionKeyring([key("aesgcm", 1, count: count)]), box, at: Array("/x".utf8)) == .refused)
    }

    /// Padding that is right by chance does not make a proof of a wrong secret.
    @Test func thousandsOfWrongSecretsNeverOpen() throws {
        let sealed = try cbc(1, Self.plain)
        var unknownCount = 0
        for index in 0..<4096 {
            let secret = withUnsafeBytes(of: UInt64(index)) { Array($0) } + [UInt8](repeating: 0xEE, count: 24)
            let wrong = EncryptionKeyring.Key(
                provider: "aescbc", name: "key1", secret: secret.withUnsafeBytes { SecretBytes(copying: $0) })
            let result = trial(EncryptionKeyring([wrong]), sealed)
            #expect(result != .opens)
            if result == .unknown { unknownCount += 1 }
        }
        #expect(unknownCount < 64)
    }

    @Test(arguments: 0..<40) func everyLengthOfAPlaintextOpens(count: Int) throws {
        let plain = Array(("{\"kind\":\"Secret\"}" + String(repeating: " ", count: 40)).utf8.prefix(count))
        #expect(trial(EncryptionKeyring([key("aescbc", 1)]), try cbc(1, plain)) == .opens)
        #expect(trial(EncryptionKeyring([key("aesgcm", 1)]), try gcm(1, plain, Self.path)) == .opens)
    }

    @Test func whatIsCutOrNotOfThatFormIsRefused() throws {
        let sealed = try cbc(1, Self.plain)
        let box = try gcm(1, Self.plain, Self.path)
        for count in [0, 1, 15, 16, 31, 33, sealed.count - 1] {
            #expect(trial(EncryptionKeyring([key("aescbc", 1)]), Array(sealed.prefix(count))) == .refused)
        }
        for count in [0, 1, 12, 27, box.count - 1] {
            #expect(trial(EncryptionKeyring([key("aesgcm", 1)]), Array(box.prefix(count))) == .refused)
            #expect(trial(EncryptionKeyring([key("secretbox", 1)]), Array(box.prefix(count))) == .refused)
        }
    }

    @Test func aKMSAndBadSecretsAreNotJudged() {
        let keyring = EncryptionKeyring(
            [key("aescbc", 1, count: 5, name: "short"), key("secretbox", 1, count: 16, name: "half")],
            others: ["kms:v2:vault"])
        #expect(keyring.labels.indices.allSatisfy { trial(keyring, [1, 2, 3], label: $0) == .unknown })
    }

    @Test func longerNamesGoFirst() {
        let names = ["key", "key:2", "aescbckey-2026-03-09T09:46:54+01:00"]
        let keyring = EncryptionKeyring(names.map { key("aescbc", 1, name: $0) })
        #expect(keyring.labels == names.reversed().map { "aescbc:v1:\($0)" })
    }
}
