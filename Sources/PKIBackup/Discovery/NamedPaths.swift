/// Absolute paths among the words of a text, whatever its syntax: HCL, TOML, INI, HAProxy's.
enum NamedPaths {
    private static let countLimit = 512
    private static let openers = Set("\"'`=:,;([{<|".utf8)
    private static let marks = Set("._-/+@%~*?".utf8)

    /// The paths, each once; those of URLs are none.
    static func paths(in text: some Sequence<UInt8>) -> [String] {
        var paths: [String] = []
        var current: [UInt8] = []
        var previous = UInt8(ascii: " ")
        func end() {
            var path = String(decoding: current, as: UTF8.self)
            while path.last == "." || path.count > 1 && path.last == "/" { path.removeLast() }
            if path.count > 1, !path.hasPrefix("//"), !paths.contains(path) { paths.append(path) }
            current = []
        }
        for byte in text {
            guard paths.count < countLimit else { break }
            if !current.isEmpty {
                if isPart(byte) { current.append(byte) } else { end() }
            } else if byte == UInt8(ascii: "/"), previous <= UInt8(ascii: " ") || openers.contains(previous) {
                current = [byte]
            }
            previous = byte
        }
        if !current.isEmpty { end() }
        return paths
    }

    private static func isPart(_ byte: UInt8) -> Bool {
        byte >= 0x80 || marks.contains(byte) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
            || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
    }
}
