internal import HostIO

/// The strings of native recipients.
public enum Recipients {
    /// Reads one recipient: `age1…` or `age1pq1…`.
    ///
    /// - Throws: ``AgeError`` of kind `key`, with a hint for the types that are not supported.
    public static func parse(_ string: String) throws(AgeError) -> any Recipient {
        do throws(AgeError) {
            guard !published.contains(string.lowercased()) else { throw example }
            if string.hasPrefix("age1pq1") { return try HybridRecipient(string) }
            if let refusal = refusal(of: string) { throw refusal }
            return try X25519Recipient(string)
        } catch {
            throw isPlaceholder(string) ? example : error
        }
    }

    /// Checks that a file can be encrypted for all of them together: at least one, and all with the same labels.
    ///
    /// - Throws: ``AgeError`` of kind `recipients`.
    public static func requireCompatible(_ recipients: [any Recipient]) throws(AgeError) {
        try checkTogether(recipients)
    }

    /// Recipients of documents, whose private halves nobody has, or everybody: of this program's README and age's.
    private static let published: Set<String> = [
        "age1fussvs4u3z2t245dhkpqrn3rcppdu2a64j0frr90850t04fg0p3st7dhr4",
        "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
        "age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg",
        "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa",
    ]
    /// Parts of what documents write in place of a recipient.
    private static let placeholders = [
        "replace", "example", "your", "…", "...", "<", "xxxx", "public-key", "public_key",
    ]

    private static let example = AgeError(
        .key, "the recipient is the example of a document, and no key of yours",
        hint: "put your own public key in its place: `etcd-snap keygen` makes a key pair and prints it")

    private static func isPlaceholder(_ string: String) -> Bool {
        let text = string.lowercased()
        return text == "age1" || text.hasPrefix("age1") && placeholders.contains { text.contains($0) }
    }

    private static let useNativeKeys = "use a native key, age1… or age1pq1…, as age-keygen makes"

    private static func refusal(of string: String) -> AgeError? {
        if string.hasPrefix("ssh-") || string.hasPrefix("ecdsa-") || string.hasPrefix("sk-") {
            return AgeError(.key, "the recipient is an SSH key, which is not supported", hint: useNativeKeys)
        }
        if string.uppercased().hasPrefix("AGE-SECRET-KEY-") || string.uppercased().hasPrefix("AGE-PLUGIN-") {
            return AgeError(
                .key, "an identity, which is secret, stands in place of a recipient",
                hint: "name its public half, as age-keygen -y prints it, and treat the identity as disclosed if others "
                    + "can read this place")
        }
        if let separator = string.first(where: { $0 == "," || $0 == ";" }) {
            return AgeError(
                .key, "the recipient has \"\(separator)\" in it, and is one key only",
                hint: "name each key by itself: repeat the flag, or give it an element or a line of its own")
        }
        // The data of Bech32 has no 1, so a second one ends the name of a plugin.
        if string.hasPrefix("age1"), let split = string.lastIndex(of: "1"),
            split > string.index(string.startIndex, offsetBy: 3)
        {
            let plugin = string[..<split].dropFirst(4).filter { $0.isASCII && ($0.isLetter || $0.isNumber) }.prefix(32)
            return AgeError(
                .key, "the recipient is for the age plugin \(quoted(String(plugin))), and plugins are not supported",
                hint: useNativeKeys)
        }
        return nil
    }
}

/// A file of recipients: one a line, empty lines and lines that begin with `#` apart.
public enum RecipientsFile {
    /// The most bytes in a file of recipients or identities, as in age.
    public static let byteCountLimit = 16 << 20
    /// The most bytes in a line, as in age.
    private static let lineByteCountLimit = 8 << 10

    /// Reads the recipients in a file, in order.
    ///
    /// - Parameter name: what errors call the file; they give the number of a line, never its text.
    /// - Throws: ``AgeError`` of kind `key` if a line is not a recipient, or there is none; ``Failure`` with the
    ///   code `usage` for what is no text.
    public static func parse(_ bytes: [UInt8], name: String) throws -> [any Recipient] {
        let bytes = try convertedToUTF8(bytes, name: name) ?? bytes
        try refuseOtherKinds(bytes, name: name, insteadOf: "a file of recipients")
        var recipients: [any Recipient] = []
        for (number, line) in try keyLines(bytes, name: name) {
            guard line.count <= lineByteCountLimit else {
                throw AgeError(
                    .key, "line \(number) of \(quoted(name)) is longer than \(lineByteCountLimit) bytes",
                    at: .line(number))
            }
            do {
                recipients.append(try Recipients.parse(String(ascii: line)))
            } catch {
                throw error.inLine(number, of: name)
            }
        }
        if recipients.isEmpty { throw AgeError(.key, "\(quoted(name)) holds no recipient") }
        return recipients
    }

    /// Whether the first line that counts is a recipient, of age or of SSH, and none of a file of identities, which would be secret.
    ///
    /// - Throws: ``AgeError`` and ``Failure`` as ``parse(_:name:)``.
    public static func beginsWithRecipient(_ bytes: [UInt8], name: String) throws -> Bool {
        func begins(_ text: [UInt8]) throws -> Bool {
            guard let line = try keyLines(text, name: name).first?.line else { return false }
            return ["age1", "ssh-", "ecdsa-", "sk-"].contains { line.starts(with: $0.utf8) }
        }
        guard var converted = try convertedToUTF8(bytes, name: name) else { return try begins(bytes) }
        defer { wipe(&converted) }
        return try begins(converted)
    }
}

/// Refuses a file that is known to be something else than keys; what begins like a key is for the keys' own words.
func refuseOtherKinds(_ bytes: [UInt8], name: String, insteadOf expected: String) throws(Failure) {
    let head = Array(bytes.prefix(FileKind.headByteCount))
    guard let kind = FileKind(head, byteCount: bytes.count), kind != .pem, kind != .empty else { return }
    throw kind.failure(name, insteadOf: expected, code: .usage)
}

/// The lines of a file of keys that are neither empty nor comments, with their numbers from 1.
func keyLines(_ bytes: [UInt8], name: String) throws(AgeError) -> [(number: Int, line: ArraySlice<UInt8>)] {
    guard bytes.count <= RecipientsFile.byteCountLimit else {
        throw AgeError(
            .key,
            "\(quoted(name)) has \(bytes.count) bytes, but a file of keys at most \(RecipientsFile.byteCountLimit)",
            hint: "check the path")
    }
    let carriageReturn = UInt8(ascii: "\r")
    // Lines end with LF, CR and LF, or, as old editors of the Mac write them, CR alone.
    let ends = bytes.indices.filter { index in
        bytes[index] == newline || bytes[index] == carriageReturn && bytes[(index + 1)...].first != newline
    }
    let starts = [bytes.startIndex] + ends.map { $0 + 1 }
    return zip(starts, ends + [bytes.endIndex]).enumerated()
        .map { number, range in
            let line = bytes[range.0..<range.1]
            return (number: number + 1, line: line.last == carriageReturn ? line.dropLast() : line)
        }
        .filter { !$0.line.isEmpty && $0.line.first != UInt8(ascii: "#") }
}

extension AgeError {
    /// The error of one line in a file.
    func inLine(_ number: Int, of name: String) -> AgeError {
        AgeError(kind, "line \(number) of \(quoted(name)): \(message)", at: .line(number), hint: hint)
    }
}
