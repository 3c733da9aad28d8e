/// Text read out of other text, with the place of each byte there.
struct MappedText {
    /// The text without quotes and escapes.
    var bytes: [UInt8] = []
    /// The place of each byte in the text that it was read from.
    var offsets: [Int] = []

    /// The text of its own.
    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        offsets = Array(bytes.indices)
    }

    init() {}

    var text: String { String(decoding: bytes, as: UTF8.self) }

    mutating func append(_ byte: UInt8, at offset: Int) {
        bytes.append(byte)
        offsets.append(offset)
    }

    subscript(_ range: Range<Int>) -> MappedText {
        var part = MappedText()
        part.bytes = Array(bytes[range])
        part.offsets = Array(offsets[range])
        return part
    }

    /// Where a part stands, nil if quotes, escapes or line ends are between its bytes.
    func source(of range: Range<Int>) -> Range<Int>? {
        guard let first = offsets[range].first, let last = offsets[range].last, last - first == range.count - 1 else {
            return nil
        }
        return first..<last + 1
    }

    /// Its words as a shell and systemd split them; quotes that never end reach to the end.
    ///
    /// - Parameter hasComments: whether `#` at a word's beginning starts a comment.
    func words(hasComments: Bool = false) -> [MappedText] {
        var splitter = WordSplitter(text: self, hasComments: hasComments)
        return splitter.words()
    }
}

/// Splits text into words: POSIX.1-2017, Shell Command Language, 2.2.
private struct WordSplitter {
    let text: MappedText
    let hasComments: Bool
    var index = 0

    init(text: MappedText, hasComments: Bool) {
        self.text = text
        self.hasComments = hasComments
    }

    mutating func words() -> [MappedText] {
        var words: [MappedText] = []
        while index < text.bytes.count {
            let byte = text.bytes[index]
            if isBlank(byte) {
                index += 1
            } else if hasComments, byte == UInt8(ascii: "#") {
                while index < text.bytes.count, text.bytes[index] != 0x0A { index += 1 }
            } else if let word = word() {
                words.append(word)
            }
        }
        return words
    }

    private func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }

    /// Nil for a line that only goes on.
    private mutating func word() -> MappedText? {
        var word = MappedText()
        var isQuoted = false
        while index < text.bytes.count, !isBlank(text.bytes[index]) {
            let byte = text.bytes[index]
            index += 1
            switch byte {
            case UInt8(ascii: "'"), UInt8(ascii: "\""):
                isQuoted = true
                takeQuoted(byte, &word)
            case UInt8(ascii: "\\"):
                takeEscaped(&word)
            default: word.append(byte, at: text.offsets[index - 1])
            }
        }
        return word.bytes.isEmpty && !isQuoted ? nil : word
    }

    private mutating func takeEscaped(_ word: inout MappedText) {
        guard index < text.bytes.count else { return }
        if text.bytes[index] == 0x0D, index + 1 < text.bytes.count, text.bytes[index + 1] == 0x0A { index += 1 }
        if text.bytes[index] != 0x0A { word.append(text.bytes[index], at: text.offsets[index]) }
        index += 1
    }

    private mutating func takeQuoted(_ quote: UInt8, _ word: inout MappedText) {
        while index < text.bytes.count, text.bytes[index] != quote {
            if quote == UInt8(ascii: "\""), text.bytes[index] == UInt8(ascii: "\\"), index + 1 < text.bytes.count,
                "\"\\$`\n".utf8.contains(text.bytes[index + 1])
            {
                index += 1
                takeEscaped(&word)
                continue
            }
            word.append(text.bytes[index], at: text.offsets[index])
            index += 1
        }
        index += 1
    }
}
