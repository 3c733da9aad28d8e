internal import HostIO

/// Bech32 (BIP-173, checksum constant 1, not Bech32m) without its limit of 90 characters, as age uses it for keys.
enum Bech32 {
    private static let alphabet = Array("qpzry9x8gf2tvdw0s3jn54khce6mua7l".utf8)
    private static let separator = UInt8(ascii: "1")
    private static let checksumCount = 6
    private static let values: [UInt8] = {
        var values = [UInt8](repeating: 0xFF, count: 256)
        for (value, character) in alphabet.enumerated() { values[Int(character)] = UInt8(value) }
        return values
    }()

    /// Why a text is not Bech32; the text itself is never part of it, for it may be a secret key.
    enum Defect: String, Error {
        case mixedCase = "upper and lower case are mixed"
        case separator = "the separator 1 is missing or out of place"
        case character = "it has a character that keys do not have"
        case checksum = "the checksum does not hold, so a character is wrong, missing or added"
        case padding = "the spare bits at its end are not zero"
    }

    /// The text of `payload` under a human-readable part, in the case of that part.
    static func encode(humanReadablePart: String, payload: UnsafeRawBufferPointer) -> [UInt8] {
        let part = Array(humanReadablePart.utf8)
        var groups = fiveBitGroups(payload)
        defer { wipe(&groups) }
        var state = Checksum(humanReadablePart: part.map(lowercased))
        for group in groups { state.add(group) }
        groups += state.groups
        let isUppercase = part.contains { isUpper($0) }
        var text = part + [separator]
        // So that the array does not grow, which would leave copies of a secret behind.
        text.reserveCapacity(text.count + groups.count)
        for group in groups {
            let character = alphabet[Int(group)]
            text.append(isUppercase ? uppercased(character) : character)
        }
        return text
    }

    /// The human-readable part in lower case, and the payload, which may be secret.
    static func decode(_ text: some Collection<UInt8>) throws(Defect) -> (humanReadablePart: String, payload: [UInt8]) {
        var text = Array(text)
        defer { wipe(&text) }
        if text.contains(where: isUpper) && text.contains(where: isLower) { throw .mixedCase }
        guard text.allSatisfy({ (33...126).contains($0) }) else { throw .character }
        guard let split = text.lastIndex(of: separator), split >= 1, text.count - split - 1 >= checksumCount else {
            throw .separator
        }
        let part = text[..<split].map(lowercased)
        var groups = text[(split + 1)...].map { values[Int(lowercased($0))] }
        defer { wipe(&groups) }
        guard groups.allSatisfy({ $0 < 32 }) else { throw .character }
        var state = Checksum(humanReadablePart: part)
        for group in groups { state.add(group) }
        guard state.value == 1 else { throw .checksum }
        guard let payload = bytes(groups.dropLast(checksumCount)) else { throw .padding }
        return (String(ascii: part), payload)
    }

    private static func fiveBitGroups(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        var groups: [UInt8] = []
        groups.reserveCapacity((bytes.count * 8 + 4) / 5 + checksumCount)
        var bits: UInt32 = 0
        var bitCount: UInt32 = 0
        for byte in bytes {
            bits = (bits & 0x1F) << 8 | UInt32(byte)
            bitCount += 8
            while bitCount >= 5 {
                bitCount -= 5
                groups.append(UInt8(bits >> bitCount & 31))
            }
        }
        if bitCount > 0 { groups.append(UInt8(bits << (5 - bitCount) & 31)) }
        return groups
    }

    private static func bytes(_ groups: ArraySlice<UInt8>) -> [UInt8]? {
        var bytes: [UInt8] = []
        // So that the array does not grow, which would leave copies of a secret behind.
        bytes.reserveCapacity(groups.count * 5 / 8)
        var bits: UInt32 = 0
        var bitCount: UInt32 = 0
        for group in groups {
            bits = (bits & 0xFF) << 5 | UInt32(group)
            bitCount += 5
            if bitCount >= 8 {
                bitCount -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> bitCount))
            }
        }
        return bitCount < 5 && bits & (1 << bitCount - 1) == 0 ? bytes : nil
    }

    /// The BCH code of BIP-173, with the constants of its generator.
    private struct Checksum {
        var value: UInt32 = 1

        init(humanReadablePart: [UInt8]) {
            for character in humanReadablePart { add(character >> 5) }
            add(0)
            for character in humanReadablePart { add(character & 31) }
        }

        mutating func add(_ group: UInt8) {
            let top = value >> 25
            value = (value & 0x1FF_FFFF) << 5 ^ UInt32(group)
            if top & 1 != 0 { value ^= 0x3b6a_57b2 }
            if top & 2 != 0 { value ^= 0x2650_8e6d }
            if top & 4 != 0 { value ^= 0x1ea1_19fa }
            if top & 8 != 0 { value ^= 0x3d42_33dd }
            if top & 16 != 0 { value ^= 0x2a14_62b3 }
        }

        /// The six groups that make the checksum come out as 1.
        var groups: [UInt8] {
            var copy = self
            for _ in 0..<checksumCount { copy.add(0) }
            let target = copy.value ^ 1
            return (0..<checksumCount).map { UInt8(target >> (5 * UInt32(checksumCount - 1 - $0)) & 31) }
        }
    }

    // Folding is for ASCII only: Unicode has other characters that fold to ASCII ones.
    private static func isUpper(_ byte: UInt8) -> Bool { (0x41...0x5A).contains(byte) }
    private static func isLower(_ byte: UInt8) -> Bool { (0x61...0x7A).contains(byte) }
    private static func lowercased(_ byte: UInt8) -> UInt8 { isUpper(byte) ? byte | 0x20 : byte }
    private static func uppercased(_ byte: UInt8) -> UInt8 { isLower(byte) ? byte & 0xDF : byte }
}
