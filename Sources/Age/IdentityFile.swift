public import FoundationEssentials
internal import HostIO

/// A file of identities, in the form that age-keygen writes and reads, or such a file encrypted with a passphrase.
public enum IdentityFile {
    /// Reads the identities in a file, in order.
    ///
    /// - Parameters:
    ///   - bytes: the file, which is the caller's to wipe.
    ///   - name: what errors call the file; they give the number of a line, never its text.
    ///   - passphrase: asks for the passphrase in UTF-8, if the file needs one; nil if nobody can be asked.
    /// - Throws: ``AgeError`` of kind `key` if a line is not an identity or there is none, or the kinds of any age file
    ///   if it is encrypted; ``Failure`` with the code `usage` for what is no text; the error of `passphrase`.
    public static func parse(
        _ bytes: [UInt8], name: String, passphrase: (() throws -> [UInt8])?
    ) throws -> [any KeyIdentity] {
        if var converted = try convertedToUTF8(bytes, name: name) {
            defer { wipe(&converted) }
            return try parseUTF8(converted, name: name, passphrase: passphrase)
        }
        return try parseUTF8(bytes, name: name, passphrase: passphrase)
    }

    private static func parseUTF8(
        _ bytes: [UInt8], name: String, passphrase: (() throws -> [UInt8])?
    ) throws -> [any KeyIdentity] {
        let isArmored = Armor.isArmored(prefix: bytes) == true
        guard isArmored || bytes.starts(with: "age-encryption.org/".utf8) else {
            return try parsePlain(bytes, name: name)
        }
        var plaintext = try decrypt(bytes, name: name, passphrase: passphrase)
        defer { wipe(&plaintext) }
        if var converted = try convertedToUTF8(plaintext, name: name) {
            defer { wipe(&converted) }
            return try parsePlain(converted, name: name)
        }
        return try parsePlain(plaintext, name: name)
    }

    /// Reads one identity, `AGE-SECRET-KEY-1…` or `AGE-SECRET-KEY-PQ-1…`.
    ///
    /// The text is the caller's to wipe.
    ///
    /// - Throws: ``AgeError`` of kind `key`, with a hint for the types that are not supported.
    public static func parseIdentity(_ text: some Collection<UInt8>) throws -> any KeyIdentity {
        if text.starts(with: HybridIdentity.humanReadablePart.utf8) { return try HybridIdentity(text) }
        if let refusal = refusal(of: text) { throw refusal }
        return try X25519Identity(text)
    }

    /// The file that age-keygen would write for an identity; it is secret: wipe it after use.
    public static func render(_ identity: any KeyIdentity, createdAt: Date) -> [UInt8] {
        let created = createdAt.formatted(.iso8601)
        let comments = "# created: \(created)\n# public key: \(identity.recipient.string)\n"
        var key = identity.encoded()
        defer { wipe(&key) }
        return Array(comments.utf8) + key + [newline]
    }

    private static func parsePlain(_ bytes: [UInt8], name: String) throws -> [any KeyIdentity] {
        try refuseOtherKinds(bytes, name: name, insteadOf: "a file of identities")
        let identities = try keyLines(bytes, name: name).map { number, line in
            do {
                return try parseIdentity(line)
            } catch let error as AgeError {
                throw error.inLine(number, of: name)
            }
        }
        if identities.isEmpty { throw AgeError(.key, "\(quoted(name)) holds no identity") }
        return identities
    }

    private static func decrypt(
        _ bytes: [UInt8], name: String, passphrase: (() throws -> [UInt8])?
    ) throws -> [UInt8] {
        guard bytes.count <= RecipientsFile.byteCountLimit else {
            throw AgeError(.key, "\(quoted(name)) is larger than any file of identities", hint: "check the path")
        }
        try requirePassphrase(bytes, name: name)
        guard let passphrase else {
            throw AgeError(
                .key, "\(quoted(name)) is protected by a passphrase, and nobody can be asked for it",
                hint: "run the command on a terminal, or decrypt the file first")
        }
        var phrase = try passphrase()
        defer { wipe(&phrase) }
        var decryptor = StreamDecryptor(identities: [try ScryptIdentity(passphrase: phrase)], name: name)
        var plaintext: [UInt8] = []
        // So that the array does not grow, which would leave copies of the keys behind.
        plaintext.reserveCapacity(bytes.count)
        do {
            try bytes.withUnsafeBytes { try decryptor.write($0) { plaintext += $0 } }
            try decryptor.finish { plaintext += $0 }
        } catch {
            wipe(&plaintext)
            throw error
        }
        return plaintext
    }

    /// Refuses a file that is sealed for keys before anybody is asked for a passphrase that it does not have.
    private static func requirePassphrase(_ bytes: [UInt8], name: String) throws(AgeError) {
        let binary = Armor.isArmored(prefix: bytes) == true ? try Armor.decode(bytes, name: name) : bytes
        var parser = HeaderParser(name: name)
        _ = try binary.withBytes { (bytes) throws(AgeError) in try parser.parse(bytes) }
        let types = Set(try parser.finish().stanzas.map(\.type))
        guard !types.contains(ScryptIdentity.stanzaType) else { return }
        let shown = types.sorted().prefix(5).map { $0.prefix(32) }.joined(separator: ", ")
        throw AgeError(
            .key, "\(quoted(name)) is itself sealed for another age key (\(shown)), and not with a passphrase",
            hint:
                "open it with that key first, with `age -d` or `etcd-snap unseal`, and pass on what comes out through a "
                + "pipe, so that it is on no disk")
    }

    private static func refusal(of text: some Collection<UInt8>) -> AgeError? {
        if text.starts(with: "-----BEGIN".utf8) {
            return AgeError(
                .key, "the identity is an SSH or PEM key, which is not supported",
                hint: "use a native key, AGE-SECRET-KEY-…, as age-keygen makes")
        }
        if text.starts(with: "AGE-PLUGIN-".utf8) {
            return AgeError(
                .key, "the identity is for an age plugin, and plugins are not supported",
                hint: "decrypt with age itself, or use a native key, AGE-SECRET-KEY-…")
        }
        if text.starts(with: "age1".utf8) {
            return AgeError(
                .key, "a recipient, which is public, stands in place of an identity",
                hint: "give the file that holds AGE-SECRET-KEY-…")
        }
        return nil
    }
}
