/// A unit file of systemd as its sections' assignments (systemd.syntax(7)).
struct UnitFile {
    /// An assignment of a section.
    struct Assignment {
        var section: String
        var key: String
        var value: String
    }

    /// The assignments in their order.
    private(set) var assignments: [Assignment]

    /// Reads a file: lines of `key=value` below `[section]`, `#` and `;` at the beginning of a line for comments, a backslash
    /// at its end for more in the next one, between which comments may stand.
    init(_ bytes: [UInt8]) {
        var assignments: [Assignment] = []
        var section = ""
        var pending = ""
        for line in String(decoding: bytes, as: UTF8.self).split(
            omittingEmptySubsequences: false, whereSeparator: \.isNewline)
        {
            let isComment = line.first { !$0.isWhitespace }.map { $0 == "#" || $0 == ";" } ?? false
            if isComment { continue }
            if line.hasSuffix("\\") {
                pending += line.dropLast() + " "
                continue
            }
            let text = Self.trimmed(pending + line)
            pending = ""
            if text.hasPrefix("["), text.hasSuffix("]") {
                section = String(text.dropFirst().dropLast())
            } else if let equals = text.firstIndex(of: "=") {
                assignments.append(
                    Assignment(
                        section: section, key: Self.trimmed(text[..<equals]),
                        value: Self.trimmed(text[text.index(after: equals)...])))
            }
        }
        self.assignments = assignments
    }

    private static func trimmed(_ text: some StringProtocol) -> String {
        var text = Substring(text).drop(while: \.isWhitespace)
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text)
    }
}

/// Words as systemd splits them (systemd.syntax(7), "Quoting").
enum UnitWords {
    /// The words of a value: blanks separate, quotes of both kinds and C's escapes are understood; specifiers stay.
    static func split(_ text: String) -> [String] {
        var words: [String] = []
        var word: [UInt8] = []
        var hasWord = false
        var quote: UInt8?
        let bytes = Array(text.utf8)
        var index = 0
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            if byte == UInt8(ascii: "\\") {
                word += escape(bytes, &index)
                hasWord = true
            } else if let open = quote {
                if byte == open { quote = nil } else { word.append(byte) }
            } else if byte == UInt8(ascii: "'") || byte == UInt8(ascii: "\"") {
                quote = byte
                hasWord = true
            } else if byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D {
                if hasWord { words.append(String(decoding: word, as: UTF8.self)) }
                (word, hasWord) = ([], false)
            } else {
                word.append(byte)
                hasWord = true
            }
        }
        if hasWord { words.append(String(decoding: word, as: UTF8.self)) }
        return words
    }

    private static let escapes: [UInt8: UInt8] = [
        UInt8(ascii: "a"): 0x07, UInt8(ascii: "b"): 0x08, UInt8(ascii: "f"): 0x0C, UInt8(ascii: "n"): 0x0A,
        UInt8(ascii: "r"): 0x0D, UInt8(ascii: "t"): 0x09, UInt8(ascii: "v"): 0x0B, UInt8(ascii: "s"): 0x20,
        UInt8(ascii: "\\"): 0x5C, UInt8(ascii: "\""): 0x22, UInt8(ascii: "'"): 0x27,
    ]

    /// What stands for what follows a backslash; an unknown escape stays as it is.
    private static func escape(_ bytes: [UInt8], _ index: inout Int) -> [UInt8] {
        guard index < bytes.count else { return [UInt8(ascii: "\\")] }
        let byte = bytes[index]
        if let known = escapes[byte] {
            index += 1
            return [known]
        }
        func number(from start: Int, count: Int, radix: Int) -> UInt8? {
            guard start + count <= bytes.count else { return nil }
            return UInt8(String(decoding: bytes[start..<start + count], as: UTF8.self), radix: radix)
        }
        if byte == UInt8(ascii: "x"), let value = number(from: index + 1, count: 2, radix: 16) {
            index += 3
            return [value]
        }
        if let value = number(from: index, count: 3, radix: 8) {
            index += 3
            return [value]
        }
        return [UInt8(ascii: "\\")]
    }

    /// The words of a command with variables in their place (systemd.service(5), "Command lines").
    ///
    /// These are `${NAME}` anywhere, and `$NAME` as a word of its own, which is split at blanks; `$$` stands for a dollar. Where a
    /// variable is not known it is empty.
    static func expanded(_ words: [String], _ environment: [String: String]) -> [String] {
        words.flatMap { word -> [String] in
            if word.hasPrefix("$"), !word.hasPrefix("$$"), !word.hasPrefix("${"), word.utf8.count > 1 {
                return split(environment[String(word.dropFirst())] ?? "")
            }
            return word.contains("$") ? [expanded(word, environment)] : [word]
        }
    }

    private static func expanded(_ word: String, _ environment: [String: String]) -> String {
        var result = ""
        var rest = word[...]
        while let dollar = rest.firstIndex(of: "$") {
            result += rest[..<dollar]
            rest = rest[dollar...].dropFirst()
            if rest.hasPrefix("$") {
                result += "$"
                rest = rest.dropFirst()
            } else if rest.hasPrefix("{"), let end = rest.firstIndex(of: "}") {
                result += environment[String(rest[..<end].dropFirst())] ?? ""
                rest = rest[rest.index(after: end)...]
            } else {
                result += "$"
            }
        }
        return result + rest
    }
}
