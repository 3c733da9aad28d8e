/// Splits a POSIX shell's text into commands of words, as far as that goes without running anything.
///
/// Quotes, escapes, comments, continued lines and variables are understood (POSIX.1-2017, Shell Command Language, 2.2 to
/// 2.6); the output of commands is ``unknown``, control flow is passed over: its commands count like any other.
struct ShellWords {
    /// Stands in words and variables for text that only running something would tell.
    static let unknown: Character = "\u{0}"

    /// Takes a command.
    ///
    /// - Parameters:
    ///   - words: the words without redirections.
    ///   - variables: those of the shell; assignments may be made.
    typealias Visit = (_ words: [String], _ variables: inout [String: String]) -> Void

    private let bytes: [UInt8]
    private var index = 0
    private var words: [String] = []
    private var word: [UInt8] = []
    private var hasWord = false
    private var skipsNextWord = false
    private var restByteCount = 1 << 20
    private var variables: [String: String]

    /// Reads a text, giving each command to `visit`.
    ///
    /// - Returns: the variables at the end.
    @discardableResult
    static func read(_ text: String, _ variables: [String: String], _ visit: Visit) -> [String: String] {
        var reader = ShellWords(bytes: Array(text.utf8), variables: variables)
        reader.run(visit)
        return reader.variables
    }

    private init(bytes: [UInt8], variables: [String: String]) {
        self.bytes = bytes
        self.variables = variables
    }

    private mutating func run(_ visit: Visit) {
        while index < bytes.count, restByteCount > 0 {
            let byte = bytes[index]
            index += 1
            switch byte {
            case UInt8(ascii: "\\"): takeEscaped()
            case UInt8(ascii: "'"): takeSingleQuoted()
            case UInt8(ascii: "\""): takeDoubleQuoted()
            case UInt8(ascii: "$"): append(expansion(), splits: !isInAssignment)
            case UInt8(ascii: "`"):
                skipBackquoted()
                append(String(Self.unknown), splits: false)
            case UInt8(ascii: "#") where !hasWord: index = bytes[index...].firstIndex(of: 0x0A) ?? bytes.count
            case UInt8(ascii: "<"), UInt8(ascii: ">"): takeRedirection()
            case 0x20, 0x09, 0x0D: endWord()
            case 0x0A, UInt8(ascii: ";"), UInt8(ascii: "&"), UInt8(ascii: "|"), UInt8(ascii: "("), UInt8(ascii: ")"):
                endCommand(visit)
            default: append(byte)
            }
        }
        endCommand(visit)
    }

    // MARK: Words

    private mutating func append(_ byte: UInt8) {
        word.append(byte)
        hasWord = true
        restByteCount -= 1
    }

    /// The value of a variable that is not quoted is split at blanks.
    private mutating func append(_ text: String, splits: Bool) {
        restByteCount -= text.utf8.count
        guard splits else {
            word += Array(text.utf8)
            hasWord = true
            return
        }
        for byte in text.utf8 {
            if byte == 0x20 || byte == 0x09 || byte == 0x0A { endWord() } else { append(byte) }
        }
    }

    /// Whether the word is an assignment, whose value is not split.
    private var isInAssignment: Bool {
        func isAssignment(_ word: some Collection<UInt8>) -> Bool {
            let rest = word.drop(while: Self.isNameByte)
            return rest.first == UInt8(ascii: "=") && rest.count < word.count
        }
        return isAssignment(word) && words.allSatisfy { $0 == "export" || isAssignment($0.utf8) }
    }

    private mutating func endWord() {
        guard hasWord else { return }
        if skipsNextWord { skipsNextWord = false } else { words.append(String(decoding: word, as: UTF8.self)) }
        word = []
        hasWord = false
    }

    private mutating func endCommand(_ visit: Visit) {
        endWord()
        skipsNextWord = false
        if !words.isEmpty { visit(words, &variables) }
        words = []
    }

    /// `2>file`: the number before and the word after are none of the command's.
    private mutating func takeRedirection() {
        if word.allSatisfy({ (0x30...0x39).contains($0) }) { (word, hasWord) = ([], false) }
        endWord()
        while index < bytes.count, "<>&-".utf8.contains(bytes[index]) { index += 1 }
        skipsNextWord = true
    }

    // MARK: Quotes

    private mutating func takeEscaped() {
        guard index < bytes.count else { return }
        if bytes[index] != 0x0A { append(bytes[index]) }
        index += 1
    }

    private mutating func takeSingleQuoted() {
        let end = bytes[index...].firstIndex(of: UInt8(ascii: "'")) ?? bytes.count
        word += bytes[index..<end]
        hasWord = true
        index = min(end + 1, bytes.count)
    }

    private mutating func takeDoubleQuoted() {
        hasWord = true
        while index < bytes.count, bytes[index] != UInt8(ascii: "\"") {
            let byte = bytes[index]
            index += 1
            switch byte {
            case UInt8(ascii: "$"):
                // Of `"$@"` each argument is a word.
                let isArguments = bytes[index...].starts(with: "@".utf8) || bytes[index...].starts(with: "{@}".utf8)
                append(expansion(), splits: isArguments)
            case UInt8(ascii: "`"):
                skipBackquoted()
                append(String(Self.unknown), splits: false)
            case UInt8(ascii: "\\"):
                guard index < bytes.count else { return }
                let next = bytes[index]
                index += 1
                if next == 0x0A { continue }
                if !"\"\\`$".utf8.contains(next) { append(byte) }
                append(next)
            default: append(byte)
            }
        }
        index = min(index + 1, bytes.count)
    }

    private mutating func skipBackquoted() {
        index = min((bytes[index...].firstIndex(of: UInt8(ascii: "`")) ?? bytes.count) + 1, bytes.count)
    }

    // MARK: Variables

    /// What stands for what follows a dollar.
    private mutating func expansion() -> String {
        guard index < bytes.count else { return "$" }
        switch bytes[index] {
        case UInt8(ascii: "("):
            skipNested(open: UInt8(ascii: "("), close: UInt8(ascii: ")"))
            return String(Self.unknown)
        case UInt8(ascii: "{"):
            let start = index + 1
            skipNested(open: UInt8(ascii: "{"), close: UInt8(ascii: "}"))
            return parameter(String(decoding: bytes[min(start, index)..<max(start, index - 1)], as: UTF8.self))
        case UInt8(ascii: "@"), UInt8(ascii: "*"):
            index += 1
            return variables["@"] ?? ""
        default:
            let start = index
            while index < bytes.count, Self.isNameByte(bytes[index]) { index += 1 }
            guard index > start else { return "$" }
            return variables[String(decoding: bytes[start..<index], as: UTF8.self)] ?? ""
        }
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        byte == 0x5F || (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte | 0x20)
    }

    /// Passes over a group in brackets with what is quoted in it.
    private mutating func skipNested(open: UInt8, close: UInt8) {
        var depth = 0
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            if byte == open { depth += 1 }
            if byte == close { depth -= 1 }
            if depth == 0 { return }
            if byte == UInt8(ascii: "\\") { index = min(index + 1, bytes.count) }
            if byte == UInt8(ascii: "'") || byte == UInt8(ascii: "\"") {
                index = min((bytes[index...].firstIndex(of: byte) ?? bytes.count) + 1, bytes.count)
            }
        }
    }

    /// `NAME`, `NAME-word`, `NAME:-word`, `NAME=word`, `NAME:=word`, `NAME?word`; other operators give ``unknown``.
    private func parameter(_ text: String) -> String {
        let name = String(decoding: text.utf8.prefix(while: Self.isNameByte), as: UTF8.self)
        var rest = text.dropFirst(name.count)
        let value = variables[name]
        guard !rest.isEmpty else { return value ?? "" }
        if name.isEmpty, text == "@" || text == "*" { return variables["@"] ?? "" }
        let replacesEmpty = rest.first == ":"
        if replacesEmpty { rest = rest.dropFirst() }
        let isSet = value != nil && !(replacesEmpty && value == "")
        switch rest.first {
        case "-", "=":
            return isSet
                ? value ?? "" : rest.dropFirst().contains("$") ? String(Self.unknown) : Self.unquoted(rest.dropFirst())
        case "?": return isSet ? value ?? "" : String(Self.unknown)
        default: return String(Self.unknown)
        }
    }

    private static func unquoted(_ text: Substring) -> String { text.filter { $0 != "\"" && $0 != "'" } }
}
