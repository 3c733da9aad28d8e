/// A quick look for any of some words, whatever the case of their letters.
struct Beginnings: Sendable {
    /// Words in lower case.
    private let words: [[UInt8]]
    /// For each pair of bytes whether a word begins with it.
    private let pairs: [Bool]
    private let hasShortWord: Bool

    /// - Parameter words: in lower case, none of them empty.
    init(_ words: [[UInt8]]) {
        self.words = words
        var pairs = [Bool](repeating: false, count: 1 << 16)
        for word in words where word.count > 1 {
            for first in Self.cases(word[0]) {
                for second in Self.cases(word[1]) { pairs[Int(first) << 8 | Int(second)] = true }
            }
        }
        self.pairs = pairs
        hasShortWord = words.contains { $0.count < 2 }
    }

    private static func cases(_ byte: UInt8) -> [UInt8] {
        (0x61...0x7A).contains(byte) ? [byte, byte & ~0x20] : [byte]
    }

    func isAny(in bytes: UnsafeRawBufferPointer) -> Bool {
        if hasShortWord { return true }
        guard bytes.count > 1 else { return false }
        return pairs.withUnsafeBufferPointer { pairs in
            var pair = Int(bytes[0])
            for index in 1..<bytes.count {
                pair = (pair << 8 | Int(bytes[index])) & 0xFFFF
                if pairs[pair], isWord(at: index - 1, bytes) { return true }
            }
            return false
        }
    }

    private func isWord(at start: Int, _ bytes: UnsafeRawBufferPointer) -> Bool {
        words.contains { word in
            start + word.count <= bytes.count
                && word.indices.allSatisfy { word[$0] == Self.lowered(bytes[start + $0]) }
        }
    }

    private static func lowered(_ byte: UInt8) -> UInt8 { (0x41...0x5A).contains(byte) ? byte | 0x20 : byte }
}
