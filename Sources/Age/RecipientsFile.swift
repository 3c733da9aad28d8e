internal import HostIO

/// The strings of native recipients.
public enum Recipients {
    /// Reads one recipient: `age1…` or `age1pq1…`.
    ///
    /// - Throws: ``AgeError`` of kind `key`, with a hint for the types that are not supported.
    public static func parse(_ string: String) throws(AgeError) -> any Recipient {
        if string.hasPrefix("age1pq1") { return try HybridRecipient(string) }
        if let refusal = refusal(of: string) { throw refusal }
        return try X25519Recipient(string)
    }

    /// Checks that a file can be encrypted for all of them together: at least one, and all with the same labels.
    ///
    /// - Throws: ``AgeError`` of kind `recipients`.
    public static func requireCompatible(_ recipients: [any Recipient]) throws(AgeError) {
        try checkTogether(recipients)
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
    /// - Throws: ``AgeError`` of kind `key` if a line is not a recipient, or there is none.
    public static func parse(_ bytes: [UInt8], name: String) throws(AgeError) -> [any Recipient] {
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
}

/// The lines of a file of keys that are neither empty nor comments, with their numbers from 1.
func keyLines(_ bytes: [UInt8], name: String) throws(AgeError) -> [(number: Int, line: ArraySlice<UInt8>)] {
    guard bytes.count <= RecipientsFile.byteCountLimit else {
        throw AgeError(
            .key,
            "\(quoted(name)) has \(bytes.count) bytes, but a file of keys at most \(RecipientsFile.byteCountLimit)",
            hint: "check the path")
    }
    return bytes.split(separator: newline, omittingEmptySubsequences: false).enumerated()
        .map { (number: $0 + 1, line: $1.last == UInt8(ascii: "\r") ? $1.dropLast() : $1) }
        .filter { !$0.line.isEmpty && $0.line.first != UInt8(ascii: "#") }
}

extension AgeError {
    /// The error of one line in a file.
    func inLine(_ number: Int, of name: String) -> AgeError {
        AgeError(kind, "line \(number) of \(quoted(name)): \(message)", at: .line(number), hint: hint)
    }
}
