internal import CYAML

/// Writes a document in block style.
///
/// Text goes without quotes only where no reader, of YAML 1.1 or 1.2, takes it for anything else.
public final class DocumentWriter {
    // libyaml and the handler below keep pointers to these.
    private let emitter: UnsafeMutablePointer<yaml_emitter_t>
    private let output: UnsafeMutablePointer<[UInt8]>

    /// A writer of one document.
    ///
    /// - Throws: ``WritingError``.
    public init() throws(WritingError) {
        emitter = .allocate(capacity: 1)
        output = .allocate(capacity: 1)
        output.initialize(to: [])
        guard yaml_emitter_initialize(emitter) == 1 else { throw WritingError(problem: "there is no memory") }
        yaml_emitter_set_output(emitter, { appendOutput($0, $1, $2) }, output)
        yaml_emitter_set_unicode(emitter, 1)
        // Text is never folded at a width.
        yaml_emitter_set_width(emitter, -1)
        try emit { yaml_stream_start_event_initialize($0, YAML_UTF8_ENCODING) }
        try emit { yaml_document_start_event_initialize($0, nil, nil, nil, 1) }
    }

    deinit {
        yaml_emitter_delete(emitter)
        emitter.deallocate()
        output.deinitialize(count: 1)
        output.deallocate()
    }

    /// Begins a mapping; keys, as text, and values follow in turn.
    public func beginMapping() throws(WritingError) {
        try emit { yaml_mapping_start_event_initialize($0, nil, nil, 1, YAML_BLOCK_MAPPING_STYLE) }
    }

    /// Ends the innermost mapping.
    public func endMapping() throws(WritingError) {
        try emit { yaml_mapping_end_event_initialize($0) }
    }

    /// Begins a sequence.
    public func beginSequence() throws(WritingError) {
        try emit { yaml_sequence_start_event_initialize($0, nil, nil, 1, YAML_BLOCK_SEQUENCE_STYLE) }
    }

    /// Ends the innermost sequence.
    public func endSequence() throws(WritingError) {
        try emit { yaml_sequence_end_event_initialize($0) }
    }

    /// Writes a string.
    public func write(_ text: String) throws(WritingError) {
        try scalar(text, PlainText.isSafe(text) ? YAML_PLAIN_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE)
    }

    /// Writes a whole number.
    public func write(_ value: some FixedWidthInteger) throws(WritingError) {
        try scalar(String(value), YAML_PLAIN_SCALAR_STYLE)
    }

    /// Writes a number.
    public func write(_ value: Double) throws(WritingError) {
        guard value.isFinite else {
            return try scalar(value.isNaN ? ".nan" : value < 0 ? "-.inf" : ".inf", YAML_PLAIN_SCALAR_STYLE)
        }
        var text = String(value)
        // YAML 1.1 knows no exponent without a point before it.
        if !text.contains("."), let exponent = text.firstIndex(of: "e") {
            text.insert(contentsOf: ".0", at: exponent)
        }
        try scalar(text, YAML_PLAIN_SCALAR_STYLE)
    }

    /// Writes a truth value.
    public func write(_ value: Bool) throws(WritingError) {
        try scalar(value ? "true" : "false", YAML_PLAIN_SCALAR_STYLE)
    }

    /// Writes the null.
    public func writeNull() throws(WritingError) { try scalar("null", YAML_PLAIN_SCALAR_STYLE) }

    /// Ends the document and gives its bytes; nothing can be written after it.
    public func finish() throws(WritingError) -> [UInt8] {
        try emit { yaml_document_end_event_initialize($0, 1) }
        try emit { yaml_stream_end_event_initialize($0) }
        return output.pointee
    }

    private func scalar(_ text: String, _ style: yaml_scalar_style_t) throws(WritingError) {
        guard let count = Int32(exactly: text.utf8.count) else {
            throw WritingError(problem: "a text of \(text.utf8.count) bytes is too long")
        }
        let bytes = Array(text.utf8)
        try emit { event in
            bytes.withUnsafeBufferPointer { bytes in
                yaml_scalar_event_initialize(event, nil, nil, bytes.baseAddress, count, 1, 1, style)
            }
        }
    }

    /// libyaml takes the event over, also when it fails.
    private func emit(_ initialize: (UnsafeMutablePointer<yaml_event_t>) -> Int32) throws(WritingError) {
        var event = yaml_event_t()
        guard initialize(&event) == 1 else { throw WritingError(problem: "there is no memory") }
        guard yaml_emitter_emit(emitter, &event) == 1 else {
            throw WritingError(problem: emitter.pointee.problem.map { String(cString: $0) } ?? "unknown")
        }
    }
}

/// Why a document can't be written: the calls do not make one, or there is no memory.
public struct WritingError: Error, CustomStringConvertible {
    /// libyaml's words, or ours.
    public var problem: String

    /// The problem.
    public var description: String { "the document can't be written as YAML: \(problem)" }
}

private func appendOutput(
    _ output: UnsafeMutableRawPointer?, _ bytes: UnsafeMutablePointer<UInt8>?, _ count: Int
) -> Int32 {
    guard let output = output?.assumingMemoryBound(to: [UInt8].self) else { return 0 }
    output.pointee.append(contentsOf: UnsafeBufferPointer(start: bytes, count: count))
    return 1
}

/// Which text needs no quotes.
enum PlainText {
    /// Words that some reader takes for a null, a truth value, a number, a merge or a default key.
    private static let words: Set<String> = [
        "null", "true", "false", "yes", "no", "on", "off", "y", "n", ".inf", ".nan",
    ]

    /// Whether text without quotes stays the same text.
    ///
    /// Stricter than YAML: it begins with a letter, a digit, `/`, `_` or `.`, and what may end it early is not in it.
    static func isSafe(_ text: String) -> Bool {
        guard let first = text.unicodeScalars.first, let last = text.unicodeScalars.last else { return false }
        guard first.properties.isAlphabetic || isDigit(first) || "/_.".unicodeScalars.contains(first) else {
            return false
        }
        guard last != " ", last != ":", text.unicodeScalars.allSatisfy(isHarmless) else { return false }
        guard text.unicodeScalars.contains(where: { $0.properties.isAlphabetic || isDigit($0) || $0 == "/" }) else {
            return false
        }
        let bytes = Array(text.utf8)
        for (byte, next) in zip(bytes, bytes.dropFirst())
        where byte == UInt8(ascii: ":") && next == 0x20 || byte == 0x20 && next == UInt8(ascii: "#") { return false }
        return !words.contains(text.lowercased()) && !Numbers.resembles(text) && !resemblesTime(bytes)
    }

    private static func isDigit(_ scalar: Unicode.Scalar) -> Bool { ("0"..."9").contains(scalar) }

    /// Not a control, a line break, a space that is none of ASCII, or what can't be seen.
    private static func isHarmless(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.isASCII { return scalar == " " || (0x21...0x7E).contains(scalar.value) }
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator,
            .spaceSeparator:
            return false
        default: return true
        }
    }

    /// Whether it begins like `2026-1-2`; a time of day alone is a number to the base of 60.
    private static func resemblesTime(_ bytes: [UInt8]) -> Bool {
        let parts = bytes.split(separator: UInt8(ascii: "-"), maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3 else { return false }
        func digitCount(_ part: ArraySlice<UInt8>) -> Int { part.prefix { (0x30...0x39).contains($0) }.count }
        return parts[0].count == 4 && digitCount(parts[0]) == 4 && (1...2).contains(parts[1].count)
            && digitCount(parts[1]) == parts[1].count && digitCount(parts[2]) > 0
    }
}
