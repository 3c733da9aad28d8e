/// Text of another encoding than UTF-8, as editors and shells of Windows write it.
public enum TextEncoding: Sendable {
    case utf8WithMark, utf16LittleEndian, utf16BigEndian, utf32

    /// The encoding of a text file's bytes; nil for UTF-8 without a byte-order mark, and for what is no text.
    ///
    /// UTF-16 without a mark is told by the zeros between its first letters.
    public init?(of bytes: [UInt8]) {
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) {
            self = .utf8WithMark
        } else if bytes.starts(with: [0xFF, 0xFE, 0, 0]) || bytes.starts(with: [0, 0, 0xFE, 0xFF]) {
            self = .utf32
        } else if bytes.starts(with: [0xFF, 0xFE]) || Self.hasZeros(at: 1, bytes) {
            self = .utf16LittleEndian
        } else if bytes.starts(with: [0xFE, 0xFF]) || Self.hasZeros(at: 0, bytes) {
            self = .utf16BigEndian
        } else {
            return nil
        }
    }

    private static func hasZeros(at remainder: Int, _ bytes: [UInt8]) -> Bool {
        guard bytes.count >= 4 else { return false }
        return bytes.prefix(4).enumerated().allSatisfy { ($1 == 0) == ($0 % 2 == remainder) }
    }
}

/// A text in UTF-8 without a byte-order mark, if it is in another encoding; nil if it is that already.
///
/// No other copy of the text is made: wiping both arrays wipes it.
///
/// - Parameter name: what errors call the text.
/// - Throws: ``Failure`` with the code `usage` for UTF-32, and for UTF-16 that is cut short or holds half a character.
public func convertedToUTF8(_ bytes: [UInt8], name: String) throws(Failure) -> [UInt8]? {
    let saveAgain = "save it again as UTF-8"
    switch TextEncoding(of: bytes) {
    case nil: return nil
    case .utf8WithMark: return Array(bytes.dropFirst(3))
    case .utf32: throw Failure(.usage, "\(quoted(name)) is text in UTF-32", hint: saveAgain)
    case .utf16LittleEndian:
        guard let text = utf8(fromUTF16: bytes, lowByte: 0) else {
            throw Failure(.usage, "\(quoted(name)) is damaged text in UTF-16, little-endian", hint: saveAgain)
        }
        return text
    case .utf16BigEndian:
        guard let text = utf8(fromUTF16: bytes, lowByte: 1) else {
            throw Failure(.usage, "\(quoted(name)) is damaged text in UTF-16, big-endian", hint: saveAgain)
        }
        return text
    }
}

/// Nil for half a character.
private func utf8(fromUTF16 bytes: [UInt8], lowByte: Int) -> [UInt8]? {
    guard bytes.count % 2 == 0 else { return nil }
    var text: [UInt8] = []
    // Three bytes for each unit are the most: an array that grows leaves copies behind.
    text.reserveCapacity(bytes.count / 2 * 3)
    var high: UInt32?
    for start in stride(from: 0, to: bytes.count, by: 2) {
        let unit = UInt32(bytes[start + lowByte]) | UInt32(bytes[start + 1 - lowByte]) << 8
        if start == 0, unit == 0xFEFF { continue }
        let isLow = (0xDC00..<0xE000).contains(unit)
        guard isLow == (high != nil) else { return abandoned(&text) }
        if (0xD800..<0xDC00).contains(unit) {
            high = unit
            continue
        }
        let value = high.map { 0x10000 + ($0 - 0xD800) << 10 + (unit - 0xDC00) } ?? unit
        high = nil
        guard let scalar = Unicode.Scalar(value) else { return abandoned(&text) }
        scalar.utf8.forEach { text.append($0) }
    }
    return high == nil ? text : abandoned(&text)
}

private func abandoned(_ text: inout [UInt8]) -> [UInt8]? {
    wipe(&text)
    return nil
}
