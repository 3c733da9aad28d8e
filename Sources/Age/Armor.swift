internal import HostIO

/// The text form of an age file (C2SP age.md, "ASCII armor"): Base64 in lines of 64 between two fixed lines.
public enum Armor {
    static let begin = Array("-----BEGIN AGE ENCRYPTED FILE-----".utf8)
    static let end = Array("-----END AGE ENCRYPTED FILE-----".utf8)
    static let columnCount = 64
    /// The most whitespace before the first line and after the last, each, as in age.
    static let whitespaceLimit = 1024

    /// Whether a file that begins with `prefix` is armored; nil if more bytes are needed to tell.
    public static func isArmored(prefix: some Collection<UInt8>) -> Bool? {
        let text = prefix.drop(while: isWhitespace)
        if prefix.count - text.count > whitespaceLimit { return false }
        let count = min(text.count, begin.count)
        guard text.prefix(count).elementsEqual(begin.prefix(count)) else { return false }
        return count == begin.count ? true : nil
    }

    /// The armored form of a whole file.
    public static func encode(_ file: [UInt8]) -> [UInt8] {
        var text = begin + [newline]
        var rest = Base64.encode(file, padded: true)[...]
        while !rest.isEmpty {
            text += rest.prefix(columnCount) + [newline]
            rest = rest.dropFirst(columnCount)
        }
        return text + end + [newline]
    }

    /// The file inside a whole armored text.
    ///
    /// - Throws: ``AgeError`` of kind `armor`.
    public static func decode(_ text: [UInt8], name: String) throws(AgeError) -> [UInt8] {
        var decoder = ArmorDecoder(name: name)
        let file = try text.withBytes { (bytes) throws(AgeError) in try decoder.decode(bytes) }
        try decoder.finish()
        return file
    }

    static func isWhitespace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
}

/// Removes armor from a text that arrives piece by piece, in constant memory.
///
/// Lines end with LF or CRLF. There may be whitespace before the first line and after the last, and nothing else.
public struct ArmorDecoder: Sendable {
    private enum Phase { case leadingWhitespace, begin, body, end, trailingWhitespace }

    private let name: String
    private var phase = Phase.leadingWhitespace
    private var whitespaceCount = 0
    private var line: [UInt8] = []
    private var lineNumber = 1
    private var hasBody = false

    /// A decoder whose errors call the file by `name`.
    public init(name: String) { self.name = name }

    /// Takes more of the text, and returns the bytes of the file that it completes.
    ///
    /// They are the whole file only once ``finish()`` has returned.
    ///
    /// - Throws: ``AgeError`` of kind `armor`.
    public mutating func decode(_ text: UnsafeRawBufferPointer) throws(AgeError) -> [UInt8] {
        var decoded: [UInt8] = []
        decoded.reserveCapacity(text.count / 4 * 3 + 48)
        var rest = text[...]
        while let byte = rest.first {
            switch phase {
            case .leadingWhitespace, .trailingWhitespace:
                if try takeWhitespace(byte) { rest.removeFirst() }
            case .begin, .body, .end:
                let lineEnd = rest.firstIndex(of: newline)
                let piece = rest[..<(lineEnd ?? rest.endIndex)]
                // The longest legal line is a full one and a CR.
                guard line.count + piece.count <= Armor.columnCount + 1 else { throw malformed("the line is too long") }
                rest = rest[(lineEnd.map { $0 + 1 } ?? rest.endIndex)...]
                if lineEnd != nil, line.isEmpty {
                    try finishLine(UnsafeRawBufferPointer(rebasing: piece), &decoded)
                } else {
                    line += piece
                    if lineEnd != nil { try finishHeldLine(&decoded) }
                }
            }
        }
        return decoded
    }

    /// Ends the text.
    ///
    /// - Throws: ``AgeError`` of kind `armor` if its last line has not come.
    public mutating func finish() throws(AgeError) {
        // The end of the very last line may be missing.
        var decoded: [UInt8] = []
        if phase == .body || phase == .end, line.starts(with: Armor.end) { try finishHeldLine(&decoded) }
        guard phase == .trailingWhitespace else { throw malformed("the text ends before its last line") }
    }

    /// Returns whether the byte was taken.
    private mutating func takeWhitespace(_ byte: UInt8) throws(AgeError) -> Bool {
        guard Armor.isWhitespace(byte) else {
            if phase == .trailingWhitespace { throw malformed("other text follows the last line") }
            phase = .begin
            return false
        }
        whitespaceCount += 1
        if byte == newline { lineNumber += 1 }
        guard whitespaceCount <= Armor.whitespaceLimit else { throw malformed("there is too much whitespace") }
        return true
    }

    private mutating func finishHeldLine(_ decoded: inout [UInt8]) throws(AgeError) {
        let held = line
        line.removeAll(keepingCapacity: true)
        try held.withBytes { (line) throws(AgeError) in try finishLine(line, &decoded) }
    }

    private mutating func finishLine(_ line: UnsafeRawBufferPointer, _ decoded: inout [UInt8]) throws(AgeError) {
        let hasCR = line.last == UInt8(ascii: "\r")
        let line = UnsafeRawBufferPointer(rebasing: line.dropLast(hasCR ? 1 : 0))
        switch phase {
        case .begin:
            guard line.elementsEqual(Armor.begin) else { throw malformed("it is not the line that begins an age file") }
            phase = .body
        case .body where line.elementsEqual(Armor.end):
            guard hasBody else { throw malformed("there is nothing between the first line and the last") }
            endBody()
        case .body: try finishBodyLine(line, &decoded)
        case .end:
            guard line.elementsEqual(Armor.end) else {
                throw malformed("only the last line may be shorter than the others")
            }
            endBody()
        case .leadingWhitespace, .trailingWhitespace: break
        }
        lineNumber += 1
    }

    private mutating func finishBodyLine(
        _ line: UnsafeRawBufferPointer, _ decoded: inout [UInt8]
    ) throws(AgeError) {
        let padding = UInt8(ascii: "=")
        guard (1...Armor.columnCount).contains(line.count), Base64.append(line, as: .padded, to: &decoded) else {
            throw malformed("the line is not canonical base64 of 1 to \(Armor.columnCount) characters")
        }
        hasBody = true
        if line.count < Armor.columnCount || line.last == padding { phase = .end }
    }

    private mutating func endBody() {
        phase = .trailingWhitespace
        whitespaceCount = 0
    }

    private func malformed(_ reason: String) -> AgeError {
        AgeError(
            .armor, "the armor of \(quoted(name)) is malformed in line \(lineNumber): \(reason)", at: .line(lineNumber),
            hint: "copy the whole text again, from its BEGIN line to its END line")
    }
}

/// Finds out whether a file is armored, and removes the armor if so.
struct Envelope {
    private enum Form {
        case undecided([UInt8])
        case binary
        case armored(ArmorDecoder)
    }

    private let name: String
    private var form = Form.undecided([])

    init(name: String) { self.name = name }

    /// The bytes of the file in the next bytes of the input, or nil if those are the same.
    mutating func remove(from input: UnsafeRawBufferPointer) throws(AgeError) -> [UInt8]? {
        switch form {
        case .binary: return nil
        case .armored(var decoder):
            let decoded = try decoder.decode(input)
            form = .armored(decoder)
            return decoded
        case .undecided(let before):
            let prefix = before + Array(input)
            guard let isArmored = Armor.isArmored(prefix: prefix) else {
                form = .undecided(prefix)
                return []
            }
            form = isArmored ? .armored(ArmorDecoder(name: name)) : .binary
            return try prefix.withBytes { (bytes) throws(AgeError) in try remove(from: bytes) } ?? prefix
        }
    }

    /// Ends the input, and returns the bytes that were held back.
    func finish() throws(AgeError) -> [UInt8] {
        switch form {
        case .binary: return []
        case .undecided(let prefix): return prefix
        case .armored(var decoder):
            try decoder.finish()
            return []
        }
    }
}
