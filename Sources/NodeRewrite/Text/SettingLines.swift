/// A line of an environment file or a unit: a name and what is set.
struct SettingLine {
    /// The variable, or the directive.
    var name: String
    /// The value, without quotes in an environment file.
    var value: MappedText
}

/// Reads environment files as systemd does (systemd.exec(5), `EnvironmentFile=`).
struct EnvironmentLines {
    private let bytes: [UInt8]
    private var index = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// All assignments, those that come twice too.
    static func lines(_ bytes: [UInt8]) -> [SettingLine] {
        var reader = EnvironmentLines(bytes)
        var lines: [SettingLine] = []
        while let line = reader.next() { lines.append(line) }
        return lines
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0D }

    private mutating func skip(while isSkipped: (UInt8) -> Bool) {
        while index < bytes.count, isSkipped(bytes[index]) { index += 1 }
    }

    private mutating func next() -> SettingLine? {
        while index < bytes.count {
            skip { Self.isBlank($0) || $0 == 0x0A }
            guard index < bytes.count else { break }
            if bytes[index] == UInt8(ascii: "#") || bytes[index] == UInt8(ascii: ";") {
                skip { $0 != 0x0A }
                continue
            }
            let start = index
            skip { $0 != 0x0A && $0 != UInt8(ascii: "=") }
            guard index < bytes.count, bytes[index] != 0x0A else { continue }
            // A shell's `export` may stand before it in /etc/default.
            let name = String(decoding: bytes[start..<index], as: UTF8.self).split(separator: " ").last ?? ""
            index += 1
            return SettingLine(name: String(name), value: value())
        }
        return nil
    }

    private mutating func value() -> MappedText {
        var value = MappedText()
        var keptCount = 0
        var mayQuote = true
        while index < bytes.count, bytes[index] != 0x0A {
            let byte = bytes[index]
            index += 1
            switch byte {
            case UInt8(ascii: "\\"):
                takeEscaped(&value)
                (keptCount, mayQuote) = (value.bytes.count, false)
            case UInt8(ascii: "'") where mayQuote, UInt8(ascii: "\"") where mayQuote:
                takeQuoted(byte, &value)
                keptCount = value.bytes.count
            case _ where Self.isBlank(byte):
                if !mayQuote { value.append(byte, at: index - 1) }
            default:
                value.append(byte, at: index - 1)
                (keptCount, mayQuote) = (value.bytes.count, false)
            }
        }
        return value[0..<keptCount]
    }

    private mutating func takeEscaped(_ value: inout MappedText) {
        guard index < bytes.count else { return }
        if bytes[index] == 0x0D, index + 1 < bytes.count, bytes[index + 1] == 0x0A { index += 1 }
        if bytes[index] != 0x0A { value.append(bytes[index], at: index) }
        index += 1
    }

    private mutating func takeQuoted(_ quote: UInt8, _ value: inout MappedText) {
        while index < bytes.count, bytes[index] != quote {
            if quote == UInt8(ascii: "\""), bytes[index] == UInt8(ascii: "\\"), index + 1 < bytes.count,
                "\"\\`$\n".utf8.contains(bytes[index + 1])
            {
                index += 1
                takeEscaped(&value)
                continue
            }
            value.append(bytes[index], at: index)
            index += 1
        }
        index = min(index + 1, bytes.count)
    }
}

/// Reads units (systemd.syntax(7)): lines that end with a backslash go on, comments between them are passed over.
enum UnitLines {
    static func lines(_ bytes: [UInt8]) -> [SettingLine] {
        var lines: [SettingLine] = []
        var pending: MappedText?
        var start = 0
        while start < bytes.count {
            let next = bytes[start...].firstIndex(of: 0x0A).map { $0 + 1 } ?? bytes.count
            var end = next
            while end > start, bytes[end - 1] == 0x0A || bytes[end - 1] == 0x0D { end -= 1 }
            defer { start = next }
            let first = bytes[start..<end].first { $0 != 0x20 && $0 != 0x09 }
            if first == UInt8(ascii: "#") || first == UInt8(ascii: ";") { continue }
            let goesOn = end > start && bytes[end - 1] == UInt8(ascii: "\\")
            var text = pending ?? MappedText()
            for index in start..<(goesOn ? end - 1 : end) { text.append(bytes[index], at: index) }
            pending = nil
            if goesOn, next < bytes.count {
                text.append(0x20, at: end - 1)
                pending = text
            } else if let line = line(text) {
                lines.append(line)
            }
        }
        if let line = pending.flatMap(line) { lines.append(line) }
        return lines
    }

    private static func line(_ text: MappedText) -> SettingLine? {
        guard let equals = text.bytes.firstIndex(of: UInt8(ascii: "=")) else { return nil }
        let name = String(decoding: text.bytes[..<equals], as: UTF8.self).filter { $0 != " " && $0 != "\t" }
        return SettingLine(name: name, value: text[equals + 1..<text.bytes.count])
    }
}
