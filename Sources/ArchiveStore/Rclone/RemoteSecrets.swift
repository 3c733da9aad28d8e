/// A text without the values of `name=value`, but for a few names, which are options of remotes and parameters of signed URLs;
/// without the strings of JSON whose names are those of secrets, and without what follows `Bearer` and `Basic`.
func withoutRemoteSecrets(_ text: String) -> String {
    var scanner = SecretScanner(bytes: Array(text.utf8))
    return scanner.run()
}

/// Copies a text from left to right and leaves secrets out.
private struct SecretScanner {
    let bytes: [UInt8]
    private var position = 0
    private var result: [UInt8] = []

    init(bytes: [UInt8]) { self.bytes = bytes }

    /// Names whose values are shown.
    private static let harmless: Set<String> = [
        "host", "user", "port", "type", "status", "code", "statuscode", "servicecode", "name", "remote", "path",
        "provider", "region", "vendor", "bucket",
    ]
    private static let secretWords = ["pass", "secret", "token", "key", "sig", "credential", "auth"]
    private static let ellipsis = Array("…".utf8)

    mutating func run() -> String {
        while position < bytes.count {
            if let end = endOfOption() ?? endOfMember() ?? endOfToken() {
                result += Self.ellipsis
                position = end
            } else {
                result.append(bytes[position])
                position += 1
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    private func isName(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."):
            true
        default: false
        }
    }

    private func byte(_ index: Int) -> UInt8? { bytes.indices.contains(index) ? bytes[index] : nil }

    /// The name that ends before a position, in lower case.
    private func name(before end: Int) -> String {
        let start = bytes[..<end].lastIndex { !isName($0) }.map { $0 + 1 } ?? 0
        return String(decoding: bytes[start..<end], as: UTF8.self).lowercased()
    }

    // MARK: name=value

    /// The end of the value that begins here, behind the equals sign of an option that may be a secret.
    private func endOfOption() -> Int? {
        guard position > 1, bytes[position - 1] == UInt8(ascii: "=") else { return nil }
        let name = name(before: position - 1)
        guard !name.isEmpty, !Self.harmless.contains(name) else { return nil }
        let end: Int
        if bytes[position] == UInt8(ascii: "\\"), let quote = byte(position + 1), isQuote(quote) {
            end = endOfQuoted(quote, from: position + 2)
        } else if isQuote(bytes[position]) {
            end = endOfQuoted(bytes[position], from: position + 1)
        } else {
            end = bytes[position...].firstIndex { $0 <= 0x20 || Self.delimiters.contains($0) } ?? bytes.count
        }
        return end > position ? end : nil
    }

    private static let delimiters = Set(",:;&\"'()".utf8)

    private func isQuote(_ byte: UInt8) -> Bool { byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") }

    /// The index behind the quote that closes what begins at `start`; a doubled one closes nothing.
    private func endOfQuoted(_ quote: UInt8, from start: Int) -> Int {
        var index = start
        while index < bytes.count {
            if bytes[index] == quote {
                var next = index + 1
                // In a text that is quoted itself, each has a backslash before it.
                if byte(next) == UInt8(ascii: "\\"), byte(next + 1) == quote { next += 1 }
                guard byte(next) == quote else { return index + 1 }
                index = next
            }
            index += 1
        }
        return bytes.count
    }

    // MARK: "name":"value"

    /// The end of the string that begins here, behind the name of a secret, a colon and a quote.
    private func endOfMember() -> Int? {
        guard position > 0, bytes[position - 1] == UInt8(ascii: "\"") else { return nil }
        var index = position - 2
        func skip(_ values: UInt8...) { while index >= 0, values.contains(bytes[index]) { index -= 1 } }
        skip(UInt8(ascii: "\\"), 0x20)
        guard index >= 0, bytes[index] == UInt8(ascii: ":") else { return nil }
        index -= 1
        skip(0x20)
        guard index >= 0, bytes[index] == UInt8(ascii: "\"") else { return nil }
        index -= 1
        skip(UInt8(ascii: "\\"))
        let name = name(before: index + 1)
        guard Self.secretWords.contains(where: { name.contains($0) }) else { return nil }
        let isEscaped = byte(position - 2) == UInt8(ascii: "\\")
        let end = bytes.indices[position...].first {
            bytes[$0] == UInt8(ascii: "\"") && (bytes[$0 - 1] == UInt8(ascii: "\\")) == isEscaped
        }
        guard let end else { return bytes.count }
        return end > position ? (isEscaped ? end - 1 : end) : nil
    }

    // MARK: Authorization

    /// The end of the token that begins here, behind the name of a scheme.
    private func endOfToken() -> Int? {
        guard position > 5, bytes[position - 1] == 0x20, bytes[position] > 0x20 else { return nil }
        guard ["bearer", "basic"].contains(name(before: position - 1)) else { return nil }
        return bytes[position...].firstIndex { $0 <= 0x20 || $0 == UInt8(ascii: "\"") || $0 == UInt8(ascii: ",") }
            ?? bytes.count
    }
}
