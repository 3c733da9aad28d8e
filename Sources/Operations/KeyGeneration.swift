import Age
import FoundationEssentials
import HostIO
import SystemPackage

/// The kinds of key pair that ``KeyGeneration`` makes.
public enum KeyKind: String, Sendable, CaseIterable {
    /// X25519, which every age opens.
    case x25519
    /// ML-KEM-768 with X25519, which resists quantum computers; it needs age 1.3 or later, or this program.
    case hybrid = "pq"
}

/// Makes key pairs in age-keygen's format.
public enum KeyGeneration {
    /// A new key pair.
    ///
    /// - Parameters:
    ///   - output: the file for the identity, mode 0600, which must not exist; nil gives it to `standardOutput`.
    ///   - passphrase: protects the identity file when given.
    /// - Returns: the public key.
    public static func run(
        _ kind: KeyKind, output: String?, passphrase: [UInt8]?, standardOutput: any ByteSink
    ) throws -> String {
        var (document, recipient) = try make(kind)
        defer { wipe(&document) }
        if let passphrase {
            try write(try seal(document, passphrase: passphrase), to: output, standardOutput)
        } else {
            try write(document, to: output, standardOutput)
        }
        return recipient
    }

    private static func write(_ bytes: [UInt8], to output: String?, _ standardOutput: any ByteSink) throws {
        guard let output else { return try standardOutput.write(bytes) }
        let (directory, name) = try OutputFile.place(output)
        let file = try PendingFile(in: directory, name: name, isSecret: true)
        try file.write(bytes)
        do {
            try file.publish()
        } catch let error as SystemCallError where error.errno == .fileExists {
            throw Failure(
                .failed, "\(quoted(output)) exists", hint: "name another file: an identity is never overwritten")
        }
    }

    private static func make(_ kind: KeyKind) throws -> ([UInt8], String) {
        switch kind {
        case .x25519:
            let identity = try X25519Identity.generate()
            return (IdentityFile.render(identity, createdAt: Date()), identity.recipient.string)
        case .hybrid:
            let identity = try HybridIdentity.generate()
            return (IdentityFile.render(identity, createdAt: Date()), identity.recipient.string)
        }
    }

    private static func seal(_ document: [UInt8], passphrase: [UInt8]) throws -> [UInt8] {
        let sink = MemorySink()
        var encryptor = try Encryptor(recipients: [ScryptRecipient(passphrase: passphrase)])
        sink.bytes = encryptor.headerBytes
        try document.withUnsafeBytes { try encryptor.write($0, to: sink.write) }
        try encryptor.finish(to: sink.write)
        return Armor.encode(sink.bytes)
    }
}

/// Collects bytes in memory.
private final class MemorySink: ByteSink {
    var bytes: [UInt8] = []

    func write(_ bytes: UnsafeRawBufferPointer) { self.bytes.append(contentsOf: bytes) }
}

/// A public key, as people compare it.
public struct KeyDescription: Codable, Sendable, Equatable {
    /// The recipient: `age1…`.
    public var recipient: String
    /// The type of its stanza: `X25519`, `mlkem768x25519`.
    public var type: String
    /// Its fingerprint, as sidecars have it.
    public var fingerprint: String

    init(_ recipient: any Recipient) {
        self.recipient = recipient.string
        type = recipient.stanzaType
        fingerprint = recipient.fingerprint ?? ""
    }

    /// The key of a recipient's text.
    public init(_ text: String) throws { self.init(try Recipients.parse(text)) }

    /// The public keys of a file of identities or of recipients, in order.
    ///
    /// - Parameters:
    ///   - passphraseFile: the file of the passphrase that protects the identities.
    ///   - asking: asks for it where no such file is named.
    /// - Throws: ``AgeError``, ``Failure``.
    public static func read(
        _ path: String, passphraseFile: String?, asking: PassphraseQuestion? = nil
    ) throws -> [KeyDescription] {
        var bytes = try Keys.readSecret(path)
        defer { wipe(&bytes) }
        if try RecipientsFile.beginsWithRecipient(bytes, name: path) {
            return try RecipientsFile.parse(bytes, name: path).map { KeyDescription($0) }
        }
        return try Keys.namingPassphraseFile(passphraseFile) {
            try IdentityFile.parse(bytes, name: path) {
                try Keys.passphrase(passphraseFile, for: path, asking: asking)
            }
        }.map { KeyDescription($0.recipient) }
    }
}
