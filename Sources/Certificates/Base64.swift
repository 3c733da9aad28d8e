import FoundationEssentials

/// Base64 as Go's `encoding/base64` decodes it: the standard alphabet with padding, line breaks passed over.
public enum Base64 {
    /// The decoded bytes, nil if the text is not valid; what it copies on the way is wiped.
    public static func decode(_ text: some Collection<UInt8>) -> [UInt8]? {
        var packed = Data(text.filter { $0 != 0x0A && $0 != 0x0D })
        defer { packed.resetBytes(in: 0..<packed.count) }
        guard var decoded = Data(base64Encoded: packed) else { return nil }
        defer { decoded.resetBytes(in: 0..<decoded.count) }
        return Array(decoded)
    }

    /// The text of bytes, with padding and on one line; what it copies on the way is wiped.
    static func encode(_ bytes: [UInt8]) -> [UInt8] {
        var copy = Data(bytes)
        defer { copy.resetBytes(in: 0..<copy.count) }
        var text = copy.base64EncodedData()
        defer { text.resetBytes(in: 0..<text.count) }
        return Array(text)
    }
}
