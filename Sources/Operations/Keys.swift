import Age
import FoundationEssentials
import HostIO
import SealedArchive
import SystemPackage

/// Loads public and private keys from text and files.
public enum Keys {
    /// The recipients from strings and files, in order.
    ///
    /// - Throws: ``Failure`` with the code `usage` if there is none, or ``AgeError``.
    public static func recipients(_ strings: [String], files: [String]) throws -> [any Recipient] {
        var recipients = try strings.map { try Recipients.parse($0) }
        for path in files {
            let file = try RandomAccessFile(path: path)
            recipients += try RecipientsFile.parse(try read(file), name: path)
        }
        guard !recipients.isEmpty else {
            throw Failure(
                .usage, "there is no recipient to seal the archive for",
                hint: "make a key pair with `etcd-snap keygen` on another host, keep it there, "
                    + "and name its public key here or in the configuration",
                settings: [.recipient, .recipientsFile])
        }
        try Recipients.requireCompatible(recipients)
        return recipients
    }

    /// The identities in files, in order.
    ///
    /// - Parameter passphraseFile: the file whose first line opens identity files that are protected by a passphrase.
    public static func identities(files: [String], passphraseFile: String?) throws -> [any Identity] {
        try files.flatMap { path in
            var bytes = try readSecret(path)
            defer { wipe(&bytes) }
            return try IdentityFile.parse(bytes, name: path) { try passphrase(passphraseFile, for: path) }
        }
    }

    /// The first line of a passphrase file.
    ///
    /// - Throws: ``Failure`` with the code `usage` if none is named.
    public static func passphrase(_ path: String?, for subject: String) throws -> [UInt8] {
        guard let path else {
            throw Failure(
                .usage, "\(quoted(subject)) is protected by a passphrase",
                hint: "put the passphrase into a file that only you can read, and name that",
                settings: [.passphraseFile])
        }
        var bytes = try readSecret(path)
        defer { wipe(&bytes) }
        return Array(bytes.prefix { $0 != 0x0A && $0 != 0x0D })
    }

    /// What opens an age file that is sealed with a passphrase itself.
    public static func passphraseIdentity(_ path: String) throws -> any Identity {
        var passphrase = try passphrase(path, for: path)
        defer { wipe(&passphrase) }
        return try ScryptIdentity(passphrase: passphrase)
    }

    /// What the sidecar says of recipients.
    static func records(_ recipients: [any Recipient]) -> [Sidecar.RecipientRecord] {
        recipients.map { Sidecar.RecipientRecord(type: $0.stanzaType, fingerprint: $0.fingerprint ?? "") }
    }

    private static let maximumFileSize = 16 << 20

    /// Reads a file of secrets, a pipe such as a shell's `<(command)`, or standard input for `-`: a key from a vault need
    /// never be on a disk.
    private static func readSecret(_ path: String) throws -> [UInt8] {
        let descriptor = try path == "-" ? .standardInput : openForReading(path)
        defer { if path != "-" { try? descriptor.close() } }
        let block = ByteBlock(capacity: 64 << 10)
        defer { block.wipe() }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(block.capacity)
        repeat {
            try block.fill { try readSome(descriptor, name: path, into: $0) }
            block.withUnsafeBytes { bytes.append(contentsOf: $0) }
            guard bytes.count <= maximumFileSize else {
                throw Failure(
                    .usage, "\(quoted(path)) has more than \(maximumFileSize) bytes, too many for a file of keys")
            }
        } while block.count > 0
        return bytes
    }

    private static func read(_ file: RandomAccessFile) throws -> [UInt8] {
        guard file.byteCount <= maximumFileSize else {
            throw Failure(.usage, "\(quoted(file.name)) has \(file.byteCount) bytes, too many for a file of keys")
        }
        return try file.bytes(at: 0, count: file.byteCount)
    }
}

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
        let file = try PendingFile(in: directory, name: name)
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
