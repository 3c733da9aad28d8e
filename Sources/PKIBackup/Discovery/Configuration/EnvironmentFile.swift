/// The variables of a file that systemd reads them from (systemd.exec(5), `EnvironmentFile=`).
///
/// Lines are `NAME=value`, those that begin with `#` or `;` are comments. A backslash keeps the next character, or joins
/// lines. Quotes count only where a value begins or after another quoted part; inside `"` a backslash stands before
/// `"`, `\`, a backtick and `$` only, inside `'` nothing is special. Both may span lines.
struct EnvironmentFile {
    /// The variables; of several values of one the last counts.
    private(set) var variables: [String: String]

    /// Reads a file; lines that are none are passed over, as systemd does.
    init(_ bytes: [UInt8]) {
        var reader = Reader(bytes: bytes)
        var variables: [String: String] = [:]
        while let (name, value) = reader.next() { variables[name] = value }
        self.variables = variables
    }

    private struct Reader {
        let bytes: [UInt8]
        var index = 0

        init(bytes: [UInt8]) { self.bytes = bytes }

        private static let newline = UInt8(ascii: "\n")
        private static let backslash = UInt8(ascii: "\\")

        private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0D }

        mutating func next() -> (name: String, value: String)? {
            while index < bytes.count {
                skip { Self.isBlank($0) || $0 == Self.newline }
                guard index < bytes.count else { break }
                let start = index
                if bytes[index] == UInt8(ascii: "#") || bytes[index] == UInt8(ascii: ";") {
                    skip { $0 != Self.newline }
                    continue
                }
                skip { $0 != Self.newline && $0 != UInt8(ascii: "=") }
                guard index < bytes.count, bytes[index] != Self.newline else { continue }
                var name = bytes[start..<index]
                while let last = name.last, Self.isBlank(last) { name.removeLast() }
                index += 1
                let value = value()
                guard Self.isName(name) else { continue }
                return (String(decoding: name, as: UTF8.self), value)
            }
            return nil
        }

        /// systemd passes over names that no shell would take.
        private static func isName(_ name: ArraySlice<UInt8>) -> Bool {
            guard let first = name.first, !(0x30...0x39).contains(first) else { return false }
            return name.allSatisfy { $0 == 0x5F || (0x30...0x39).contains($0) || (0x61...0x7A).contains($0 | 0x20) }
        }

        private mutating func skip(while isSkipped: (UInt8) -> Bool) {
            while index < bytes.count, isSkipped(bytes[index]) { index += 1 }
        }

        private mutating func value() -> String {
            var value: [UInt8] = []
            // What stands after it is not blank or was quoted, so that only blanks at the end are cut.
            var keptCount = 0
            var mayQuote = true
            while index < bytes.count, bytes[index] != Self.newline {
                let byte = bytes[index]
                index += 1
                switch byte {
                case Self.backslash:
                    guard index < bytes.count else { break }
                    index += 1
                    if bytes[index - 1] == Self.newline { continue }
                    value.append(bytes[index - 1])
                    (keptCount, mayQuote) = (value.count, false)
                case UInt8(ascii: "'") where mayQuote:
                    takeSingleQuoted(&value)
                    keptCount = value.count
                case UInt8(ascii: "\"") where mayQuote:
                    takeDoubleQuoted(&value)
                    keptCount = value.count
                case _ where Self.isBlank(byte):
                    if !mayQuote { value.append(byte) }
                default:
                    value.append(byte)
                    (keptCount, mayQuote) = (value.count, false)
                }
            }
            return String(decoding: value[..<keptCount], as: UTF8.self)
        }

        private mutating func takeSingleQuoted(_ value: inout [UInt8]) {
            let end = bytes[index...].firstIndex(of: UInt8(ascii: "'")) ?? bytes.count
            value += bytes[index..<end]
            index = min(end + 1, bytes.count)
        }

        private mutating func takeDoubleQuoted(_ value: inout [UInt8]) {
            while index < bytes.count, bytes[index] != UInt8(ascii: "\"") {
                let byte = bytes[index]
                index += 1
                guard byte == Self.backslash, index < bytes.count else {
                    value.append(byte)
                    continue
                }
                let next = bytes[index]
                index += 1
                if next == Self.newline { continue }
                value += "\"\\`$".utf8.contains(next) ? [next] : [byte, next]
            }
            index = min(index + 1, bytes.count)
        }
    }
}
