import HostIO

/// The key of an object, compared byte by byte: `é` in its two spellings is two keys.
///
/// These are the rules for keys of ours. S3 itself would take more, but servers and proxies fold `//`, resolve or refuse
/// dot segments, and XML can't tell of control characters; no two of them agree.
public struct S3Key: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The key, not encoded.
    public let text: String

    /// The most bytes that a key has; S3's own limit.
    public static let maximumByteCount = 1024
    /// The most bytes between two slashes: servers that keep objects as files can't have more.
    public static let maximumSegmentByteCount = 255

    /// A key of ours.
    ///
    /// - Throws: ``Failure`` with the code `usage` that says what is wrong with it.
    public init(_ text: String) throws(Failure) {
        if let problem = Self.problem(of: text) {
            throw Failure(
                .usage, "\(quoted(text)) can't be the key of an object: \(problem)",
                hint:
                    "use segments of 1 to \(Self.maximumSegmentByteCount) bytes between single slashes, without \".\", "
                    + "\"..\", backslashes and control characters, and at most \(Self.maximumByteCount) bytes in all")
        }
        self.text = text
    }

    /// A key that a server named, whatever it is.
    init(listed text: String) { self.text = text }

    /// Whether it is one that ``init(_:)`` takes; what a server lists may be anybody's.
    public var followsRules: Bool { Self.problem(of: text) == nil }

    /// What is wrong with a key, nil if it is one of ours.
    static func problem(of text: String) -> String? {
        let count = text.utf8.count
        if count == 0 { return "it is empty" }
        if count > maximumByteCount { return "it has \(count) bytes, and \(maximumByteCount) are the most" }
        for segment in text.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false) {
            if segment.isEmpty { return "it begins or ends with a slash, or has two in a row" }
            if segment.count > maximumSegmentByteCount {
                return "a segment has \(segment.count) bytes, and \(maximumSegmentByteCount) are the most"
            }
            if segment.elementsEqual(".".utf8) || segment.elementsEqual("..".utf8) {
                return "it has the segment \"\(segment.count == 1 ? "." : "..")\""
            }
        }
        // SeaweedFS takes it for a slash.
        if text.utf8.contains(UInt8(ascii: "\\")) { return "it has a backslash" }
        // It stands for bytes that are no UTF-8.
        if text.unicodeScalars.contains("\u{FFFD}") { return "it has the character U+FFFD" }
        // XML 1.0, section 2.2; DEL and the C1 characters are allowed there, but are obeyed by terminals.
        let isForbidden = { (scalar: Unicode.Scalar) in
            scalar.value < 0x20 || (0x7F..<0xA0).contains(scalar.value) || scalar.value & 0xFFFE == 0xFFFE
        }
        return text.unicodeScalars.contains(where: isForbidden) ? "it has a control character" : nil
    }

    /// Whether the bytes are the same.
    public static func == (one: S3Key, other: S3Key) -> Bool { one.text.utf8.elementsEqual(other.text.utf8) }
    /// The order of the bytes, which is S3's.
    public static func < (one: S3Key, other: S3Key) -> Bool {
        one.text.utf8.lexicographicallyPrecedes(other.text.utf8)
    }
    /// Hashes the bytes.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(text.utf8.count)
        for byte in text.utf8 { hasher.combine(byte) }
    }

    /// The key in quotes.
    public var description: String { quoted(text) }
}
