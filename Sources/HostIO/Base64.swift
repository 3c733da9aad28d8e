/// Base64 with the standard alphabet (RFC 4648, section 4).
///
/// Nothing that it copies on the way is left in memory: what is spelled may be a key.
public enum Base64 {
    /// What a text may look like.
    public enum Form: Sendable {
        /// No padding, and one spelling for any bytes: bits to spare are zero.
        case unpadded
        /// Padding, and one spelling for any bytes: bits to spare are zero.
        case padded
        /// Padding; line ends are passed over wherever they are, and bits to spare may be anything: what Go's
        /// `base64.StdEncoding` reads, and so Kubernetes and etcd.
        case lines
    }

    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    private static let padding = UInt8(ascii: "=")
    /// The value of each character, 0xFF for those outside the alphabet.
    private static let values: [UInt8] = {
        var values = [UInt8](repeating: 0xFF, count: 256)
        for (value, character) in alphabet.enumerated() { values[Int(character)] = UInt8(value) }
        return values
    }()

    /// The characters for `bytes`, on one line.
    public static func encode(_ bytes: some Collection<UInt8>, padded: Bool = false) -> [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count + 2) / 3 * 4)
        var bits: UInt32 = 0
        var bitCount = 0
        for byte in bytes {
            bits = bits << 8 | UInt32(byte)
            bitCount += 8
            while bitCount >= 6 {
                bitCount -= 6
                text.append(alphabet[Int(bits >> UInt32(bitCount)) & 63])
            }
        }
        if bitCount > 0 { text.append(alphabet[Int(bits << UInt32(6 - bitCount)) & 63]) }
        while padded, text.count % 4 != 0 { text.append(padding) }
        return text
    }

    /// The bytes that `text` spells, or nil if it is not of that form; they are the caller's to wipe.
    public static func decode(_ text: some Collection<UInt8>, as form: Form = .lines) -> [UInt8]? {
        var bytes: [UInt8] = []
        // So that the array does not grow, which would leave copies behind.
        bytes.reserveCapacity(text.count / 4 * 3 + 3)
        guard append(text, as: form, to: &bytes) else {
            bytes.wipe()
            return nil
        }
        return bytes
    }

    /// Appends the bytes that `text` spells; on false some may have been appended.
    public static func append(_ text: some Collection<UInt8>, as form: Form, to bytes: inout [UInt8]) -> Bool {
        let result = text.withContiguousStorageIfAvailable { append(UnsafeRawBufferPointer($0), as: form, to: &bytes) }
        if let result { return result }
        var copy = Array(text)
        defer { copy.wipe() }
        return copy.withUnsafeBytes { append($0, as: form, to: &bytes) }
    }

    /// Appends the bytes that `text` spells; on false some may have been appended.
    public static func append(_ text: UnsafeRawBufferPointer, as form: Form, to bytes: inout [UInt8]) -> Bool {
        guard form == .lines, text.contains(where: isLineEnd) else { return appendLine(text, as: form, to: &bytes) }
        var copy: [UInt8] = []
        copy.reserveCapacity(text.count)
        for character in text where !isLineEnd(character) { copy.append(character) }
        defer { copy.wipe() }
        return copy.withUnsafeBytes { appendLine($0, as: form, to: &bytes) }
    }

    private static func isLineEnd(_ character: UInt8) -> Bool { character == 0x0A || character == 0x0D }

    private static func appendLine(_ text: UnsafeRawBufferPointer, as form: Form, to bytes: inout [UInt8]) -> Bool {
        var characters = text
        if form != .unpadded {
            guard text.count % 4 == 0 else { return false }
            let paddingCount = text.suffix(2).reversed().prefix { $0 == padding }.count
            characters = UnsafeRawBufferPointer(rebasing: text.dropLast(paddingCount))
        }
        guard let spareBits = append(characters, to: &bytes) else { return false }
        return form == .lines || spareBits == 0
    }

    /// Appends what characters without padding spell, and gives the bits to spare; nil for a foreign character or a
    /// length of 1 modulo 4.
    private static func append(_ text: UnsafeRawBufferPointer, to bytes: inout [UInt8]) -> UInt8? {
        values.withUnsafeBufferPointer { values in
            // Values of characters in the alphabet are below 64.
            var allValues: UInt8 = 0
            let groupsEnd = text.count / 4 * 4
            for index in stride(from: 0, to: groupsEnd, by: 4) {
                let group = (
                    values[Int(text[index])], values[Int(text[index + 1])], values[Int(text[index + 2])],
                    values[Int(text[index + 3])]
                )
                allValues |= group.0 | group.1 | group.2 | group.3
                bytes.append(group.0 << 2 | group.1 >> 4)
                bytes.append(group.1 << 4 | group.2 >> 2)
                bytes.append(group.2 << 6 | group.3)
            }
            var spareBits: UInt8 = 0
            switch text.count - groupsEnd {
            case 0: break
            case 1: return nil
            default:
                let first = values[Int(text[groupsEnd])]
                let second = values[Int(text[groupsEnd + 1])]
                bytes.append(first << 2 | second >> 4)
                spareBits = second & 0x0F
                allValues |= first | second
                if text.count - groupsEnd == 3 {
                    let third = values[Int(text[groupsEnd + 2])]
                    bytes.append(second << 4 | third >> 2)
                    spareBits = third & 0x03
                    allValues |= third
                }
            }
            return allValues < 64 ? spareBits : nil
        }
    }
}

extension String {
    /// ASCII bytes as text.
    public init(ascii bytes: some Collection<UInt8>) { self = String(decoding: bytes, as: UTF8.self) }
}
