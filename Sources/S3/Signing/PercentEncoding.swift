/// Percent-encoding as signatures want it: everything but `A-Z a-z 0-9 - . _ ~`, in upper-case hexadecimal digits.
enum PercentEncoding {
    /// Encodes a segment of a path, or a name or value of a query.
    static func encode(_ text: String) -> String { encode(text.utf8) { isUnreserved($0) } }

    /// Encodes each segment of a path once; slashes stay.
    static func encodePath(_ text: String) -> String {
        encode(text.utf8) { isUnreserved($0) || $0 == UInt8(ascii: "/") }
    }

    /// The bytes that a text spells, where `+` is a blank as in forms; nil for a percent sign without two digits.
    static func decodeForm(_ text: String) -> [UInt8]? {
        var decoded: [UInt8] = []
        var bytes = text.utf8.makeIterator()
        while let byte = bytes.next() {
            if byte == UInt8(ascii: "%") {
                guard let high = bytes.next().flatMap(digitValue), let low = bytes.next().flatMap(digitValue) else {
                    return nil
                }
                decoded.append(high << 4 | low)
            } else {
                decoded.append(byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
            }
        }
        return decoded
    }

    private static func encode(_ bytes: String.UTF8View, except isKept: (UInt8) -> Bool) -> String {
        var encoded: [UInt8] = []
        encoded.reserveCapacity(bytes.count)
        for byte in bytes {
            if isKept(byte) {
                encoded.append(byte)
            } else {
                encoded += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: encoded, as: UTF8.self)
    }

    private static let digits = Array("0123456789ABCDEF".utf8)

    private static func isUnreserved(_ byte: UInt8) -> Bool { isLetterOrDigit(byte) || "-._~".utf8.contains(byte) }

    private static func digitValue(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x41 + 10
        case 0x61...0x66: byte - 0x61 + 10
        default: nil
        }
    }
}
