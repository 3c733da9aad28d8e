internal import CYAML

/// A step through a document.
struct Event {
    enum Kind {
        case streamStart, streamEnd, documentStart, documentEnd
        case alias(anchor: String)
        case scalar(Node.Scalar)
        case sequenceStart(isFlow: Bool)
        case mappingStart(isFlow: Bool)
        case collectionEnd
    }

    var kind: Kind
    var anchor: String?
    var tag: String?
    var mark: Node.Mark
}

/// Reads events of bytes that stay where they are as long as this object is used.
final class EventParser {
    // libyaml keeps a pointer to the parser in itself, so that it must not move.
    private let parser: UnsafeMutablePointer<yaml_parser_t>
    private let bytes: UnsafeRawBufferPointer
    private let byteOrderMarkCount: Int
    private var position: (character: Int, byte: Int)

    /// A parser of bytes, of which there must be any: libyaml takes no null pointer.
    ///
    /// - Throws: ``SyntaxError`` for a document in UTF-16, whose positions would be no bytes.
    init(_ bytes: UnsafeRawBufferPointer) throws(SyntaxError) {
        if bytes.starts(with: [0xFF, 0xFE]) || bytes.starts(with: [0xFE, 0xFF]) {
            throw SyntaxError(line: 1, column: 1, problem: "the text is UTF-16, and only UTF-8 is read")
        }
        self.bytes = bytes
        byteOrderMarkCount = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
        position = (0, byteOrderMarkCount)
        parser = .allocate(capacity: 1)
        // It fails only without memory, and what it then leaves can be deleted.
        guard yaml_parser_initialize(parser) == 1 else { throw Self.outOfMemory }
        yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
        let text = UnsafeRawBufferPointer(rebasing: bytes[byteOrderMarkCount...])
        yaml_parser_set_input_string(parser, text.assumingMemoryBound(to: UInt8.self).baseAddress, text.count)
    }

    deinit {
        yaml_parser_delete(parser)
        parser.deallocate()
    }

    private static let outOfMemory = SyntaxError(line: 1, column: 1, problem: "there is no memory to read it")

    /// The next event; not to be called again after an error or the end of the stream.
    func next() throws(SyntaxError) -> Event {
        var event = yaml_event_t()
        guard yaml_parser_parse(parser, &event) == 1 else { throw error() }
        defer { yaml_event_delete(&event) }
        return try converted(event)
    }

    private func converted(_ event: yaml_event_t) throws(SyntaxError) -> Event {
        var result = Event(kind: .streamStart, mark: mark(event.start_mark, event.end_mark))
        let data = event.data
        switch event.type {
        case YAML_STREAM_START_EVENT: result.kind = .streamStart
        case YAML_STREAM_END_EVENT: result.kind = .streamEnd
        case YAML_DOCUMENT_START_EVENT: result.kind = .documentStart
        case YAML_DOCUMENT_END_EVENT: result.kind = .documentEnd
        case YAML_ALIAS_EVENT: result.kind = .alias(anchor: Self.string(data.alias.anchor) ?? "")
        case YAML_SCALAR_EVENT:
            let scalar = data.scalar
            let text = String(decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
            result.kind = .scalar(Node.Scalar(text: text, style: Self.style(scalar.style)))
            (result.anchor, result.tag) = (Self.string(scalar.anchor), Self.string(scalar.tag))
        case YAML_SEQUENCE_START_EVENT:
            result.kind = .sequenceStart(isFlow: data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE)
            (result.anchor, result.tag) = (
                Self.string(data.sequence_start.anchor), Self.string(data.sequence_start.tag)
            )
        case YAML_MAPPING_START_EVENT:
            result.kind = .mappingStart(isFlow: data.mapping_start.style == YAML_FLOW_MAPPING_STYLE)
            (result.anchor, result.tag) = (
                Self.string(data.mapping_start.anchor), Self.string(data.mapping_start.tag)
            )
        case YAML_SEQUENCE_END_EVENT, YAML_MAPPING_END_EVENT: result.kind = .collectionEnd
        default: throw result.mark.error("libyaml tells of something unknown")
        }
        if result.anchor != nil || result.tag != nil { result.mark.contentStart = contentStart(result.mark.bytes) }
        return result
    }

    /// Where a node begins behind its anchor and its tag, between which blanks, comments and line ends may stand.
    private func contentStart(_ range: Range<Int>) -> Int {
        var index = range.lowerBound
        while index < range.upperBound {
            switch bytes[index] {
            case 0x20, 0x09, 0x0A, 0x0D: index += 1
            case UInt8(ascii: "#"): index = end(of: index..<range.upperBound) { $0 == 0x0A || $0 == 0x0D }
            case UInt8(ascii: "&"), UInt8(ascii: "!"):
                index = end(of: index..<range.upperBound) { [0x20, 0x09, 0x0A, 0x0D].contains($0) }
            default: return index
            }
        }
        return index
    }

    private func end(of range: Range<Int>, where isEnd: (UInt8) -> Bool) -> Int {
        bytes[range].firstIndex(where: isEnd) ?? range.upperBound
    }

    private static func string(_ text: UnsafeMutablePointer<yaml_char_t>?) -> String? {
        text.map { String(cString: $0) }
    }

    private static func style(_ style: yaml_scalar_style_t) -> Node.ScalarStyle {
        switch style {
        case YAML_SINGLE_QUOTED_SCALAR_STYLE: .singleQuoted
        case YAML_DOUBLE_QUOTED_SCALAR_STYLE: .doubleQuoted
        case YAML_LITERAL_SCALAR_STYLE: .literal
        case YAML_FOLDED_SCALAR_STYLE: .folded
        default: .plain
        }
    }

    // MARK: Places

    private func mark(_ start: yaml_mark_t, _ end: yaml_mark_t) -> Node.Mark {
        let lower = byteOffset(of: start)
        return Node.Mark(
            line: Int(start.line) + 1, column: Int(start.column) + 1, bytes: lower..<max(lower, byteOffset(of: end)),
            contentStart: lower)
    }

    /// libyaml counts characters; events come nearly in their order, so the way from the last one is short.
    private func byteOffset(of mark: yaml_mark_t) -> Int {
        let character = Int(mark.index)
        while position.character < character, position.byte < bytes.count {
            position.byte += 1
            while position.byte < bytes.count, bytes[position.byte] & 0xC0 == 0x80 { position.byte += 1 }
            position.character += 1
        }
        while position.character > character {
            position.byte -= 1
            while bytes[position.byte] & 0xC0 == 0x80 { position.byte -= 1 }
            position.character -= 1
        }
        return position.byte
    }

    private func error() -> SyntaxError {
        let problem = parser.pointee.problem.map { String(cString: $0) } ?? "it can't be read"
        switch parser.pointee.error {
        case YAML_MEMORY_ERROR: return Self.outOfMemory
        case YAML_READER_ERROR:
            // A reader's error has the offset of a byte and no mark.
            let offset = min(Int(parser.pointee.problem_offset) + byteOrderMarkCount, bytes.count)
            let before = bytes[..<offset]
            let lineStart = before.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? byteOrderMarkCount
            return SyntaxError(
                line: before.count { $0 == UInt8(ascii: "\n") } + 1,
                column: bytes[lineStart..<max(lineStart, offset)].count { $0 & 0xC0 != 0x80 } + 1, problem: problem)
        default:
            let mark = parser.pointee.problem_mark
            return SyntaxError(line: Int(mark.line) + 1, column: Int(mark.column) + 1, problem: problem)
        }
    }
}

extension Node.Mark {
    func error(_ problem: String) -> SyntaxError { SyntaxError(line: line, column: column, problem: problem) }
}
