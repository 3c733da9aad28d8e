import Age
import ArchiveStore
import HostIO
import SealedArchive
import SystemPackage

/// Asks for the passphrase of something; gives nil if nobody can be asked.
///
/// The answer is secret: wipe it after use.
public typealias PassphraseQuestion = @Sendable (_ subject: String) throws -> [UInt8]?

/// Loads public and private keys from text and files.
public enum Keys {
    /// The recipients from strings and files, in order.
    ///
    /// - Throws: ``Failure`` with the code `usage` if there is none, or ``AgeError``.
    public static func recipients(_ strings: [String], files: [String]) throws -> [any Recipient] {
        var recipients = try strings.map { try Recipients.parse($0) }
        for path in files {
            // A pipe too, as in age: the public keys may come out of another command.
            recipients += try RecipientsFile.parse(try readSecret(path), name: path)
        }
        guard !recipients.isEmpty else {
            throw Failure(
                .usage, "there is no recipient to seal the archive for",
                hint: "make a key pair with `etcd-snap keygen` on another host, keep it there, "
                    + "and name its public key here or in the configuration",
                settings: [.recipient, .recipientsFile])
        }
        recipients = withoutRepetitions(recipients)
        try Recipients.requireCompatible(recipients)
        return recipients
    }

    /// Each key once: a file of recipients may name one that is named beside it too.
    static func withoutRepetitions(_ recipients: [any Recipient]) -> [any Recipient] {
        var known: Set<String> = []
        return recipients.filter { known.insert($0.string).inserted }
    }

    /// The identities in files, in order.
    ///
    /// - Parameters:
    ///   - passphraseFile: the file whose first line opens identity files that are protected by a passphrase.
    ///   - asking: asks for the passphrase of such a file where no file of it is named.
    public static func identities(
        files: [String], passphraseFile: String?, asking: PassphraseQuestion? = nil
    ) throws -> [any Identity] {
        try files.flatMap { path -> [any Identity] in
            var bytes = try readSecret(path)
            defer { wipe(&bytes) }
            return try namingPassphraseFile(passphraseFile) {
                try IdentityFile.parse(bytes, name: path) {
                    try passphrase(passphraseFile, for: path, asking: asking)
                }
            }
        }
    }

    /// Runs what opens a file with a passphrase; an error names the file that a wrong one was read from.
    public static func namingPassphraseFile<Result>(_ path: String?, _ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch var error as AgeError where error.kind == .noMatch && path != nil {
            error.hint = "it is the first line of \(quoted(path ?? "")): name the file of the right one"
            throw error
        }
    }

    /// The first line of a passphrase file, or what is answered on the terminal.
    ///
    /// It is secret: wipe it after use.
    ///
    /// - Throws: ``Failure`` with the code `usage` if no file is named and nobody can be asked.
    public static func passphrase(
        _ path: String?, for subject: String, asking: PassphraseQuestion? = nil
    ) throws -> [UInt8] {
        guard let path else {
            if let answer = try asking?(subject) { return answer }
            throw Failure(
                .usage, "\(quoted(subject)) is protected by a passphrase, and there is no terminal to ask for it",
                hint: "put the passphrase into a file that only you can read, and name that",
                settings: [.passphraseFile])
        }
        var bytes = try readSecret(path)
        defer { wipe(&bytes) }
        if var text = try convertedToUTF8(bytes, name: path) {
            defer { wipe(&text) }
            return firstLine(text)
        }
        return firstLine(bytes)
    }

    private static func firstLine(_ text: [UInt8]) -> [UInt8] { Array(text.prefix { $0 != 0x0A && $0 != 0x0D }) }

    /// What opens an age file that is sealed with a passphrase itself.
    public static func passphraseIdentity(_ path: String) throws -> any Identity {
        var passphrase = try passphrase(path, for: path)
        defer { wipe(&passphrase) }
        return try ScryptIdentity(passphrase: passphrase)
    }

    /// What opens an age file that is sealed with a passphrase itself, which is asked for when the file turns out to be one.
    ///
    /// - Parameter subject: what the question calls the file.
    public static func askedIdentity(for subject: String, asking: @escaping PassphraseQuestion) -> any Identity {
        AskedPassphraseIdentity(subject: subject, asking: asking)
    }

    /// What the sidecar says of recipients.
    ///
    /// - Parameter labels: their labels by their fingerprints.
    static func records(
        _ recipients: [any Recipient], labels: [String: String] = [:]
    ) -> [Sidecar.RecipientRecord] {
        recipients.map {
            let fingerprint = $0.fingerprint ?? ""
            return Sidecar.RecipientRecord(
                type: $0.stanzaType, fingerprint: fingerprint, label: labels[fingerprint])
        }
    }

    private static let maximumFileSize = 16 << 20

    /// Reads a file of secrets, a pipe such as a shell's `<(command)`, or standard input for `-`: a key from a vault need
    /// never be on a disk.
    static func readSecret(_ path: String) throws -> [UInt8] {
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
}

/// Opens a file that is sealed with a passphrase, by the one that is asked for then.
private struct AskedPassphraseIdentity: Identity {
    let subject: String
    let asking: PassphraseQuestion

    func unwrap(_ stanzas: [Stanza]) throws -> FileKey? {
        guard stanzas.contains(where: { $0.type == ScryptIdentity.stanzaType }) else {
            throw Failure(
                .usage, "there is no identity to open \(quoted(subject)) with", hint: "name the file of your key",
                settings: [.identity])
        }
        var passphrase = try Keys.passphrase(nil, for: subject, asking: asking)
        defer { wipe(&passphrase) }
        return try ScryptIdentity(passphrase: passphrase).unwrap(stanzas)
    }
}
