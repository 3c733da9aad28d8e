import FoundationEssentials
import HostIO

/// An entry of a manifest as JSON on one line, with sorted keys: what ``DocumentCoding`` reads back.
///
/// Written by hand, for a tree of 100,000 files `JSONEncoder` takes longer than all the rest of its capture.
enum EntryLine {
    /// Appends the JSON of an entry.
    ///
    /// - Parameter modifiedAt: the entry's time in ISO 8601.
    static func append(_ entry: ManifestEntry, modifiedAt: String, to line: inout [UInt8]) {
        line.append(UInt8(ascii: "{"))
        append("kind", entry.kind.rawValue, to: &line)
        append("linkTarget", entry.linkTarget, to: &line)
        append("linkTargetBytes", entry.linkTargetBytes?.base64EncodedString(), to: &line)
        append("mode", entry.mode, to: &line)
        append("modifiedAt", modifiedAt, to: &line)
        append("offset", entry.offset, to: &line)
        append("owner", entry.owner, to: &line)
        append("path", entry.path, to: &line)
        append("pathBytes", entry.pathBytes?.base64EncodedString(), to: &line)
        append("role", entry.role, to: &line)
        append("sha256", entry.sha256, to: &line)
        append("size", entry.size, to: &line)
        append("source", entry.source, to: &line)
        append("sourceBytes", entry.sourceBytes?.base64EncodedString(), to: &line)
        line.append(UInt8(ascii: "}"))
    }

    private static func append(_ key: StaticString, _ value: String?, to line: inout [UInt8]) {
        guard var value else { return }
        appendKey(key, to: &line)
        line.append(UInt8(ascii: "\""))
        value.withUTF8 { bytes in
            if bytes.contains(where: mustBeEscaped) {
                for byte in bytes { append(escaping: byte, to: &line) }
            } else {
                line.append(contentsOf: bytes)
            }
        }
        line.append(UInt8(ascii: "\""))
    }

    private static func append(_ key: StaticString, _ value: Int, to line: inout [UInt8]) {
        appendKey(key, to: &line)
        line += String(value).utf8
    }

    private static func appendKey(_ key: StaticString, to line: inout [UInt8]) {
        if line.last != UInt8(ascii: "{") { line.append(UInt8(ascii: ",")) }
        line.append(UInt8(ascii: "\""))
        key.withUTF8Buffer { line += $0 }
        line += "\":".utf8
    }

    /// RFC 8259, section 7: quotation mark, reverse solidus and control characters must be escaped, nothing else.
    private static func mustBeEscaped(_ byte: UInt8) -> Bool {
        byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\")
    }

    private static func append(escaping byte: UInt8, to line: inout [UInt8]) {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"):
            line.append(UInt8(ascii: "\\"))
            line.append(byte)
        case 0..<0x20:
            line += "\\u00".utf8
            line += [byte].hexadecimal.utf8
        default: line.append(byte)
        }
    }
}
