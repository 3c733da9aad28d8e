import HostIO

/// A file of sections and settings as the AWS command line reads it, without its values, which stay in their bytes.
///
/// `key = value` or `key: value`, keys in any case, comments on lines of their own that begin with `#` or `;`. Settings that
/// are indented below one without a value belong to it. No message repeats a value, for it may be a secret.
struct INIDocument {
    struct Item {
        /// In lower case; `s3.addressing_style` for one below another.
        var key: String
        var value: Range<Int>
        var line: Int
    }

    struct Section {
        /// What is between the brackets; empty for settings before the first section.
        var name: String
        var line: Int
        var items: [Item]
    }

    let sections: [Section]

    /// Finds sections and settings.
    ///
    /// - Throws: ``Failure`` with the code `usage` that names the line.
    init(_ bytes: UnsafeRawBufferPointer, name: String) throws(Failure) {
        var sections = [Section(name: "", line: 1, items: [])]
        var parent: String?
        var hasItem = false
        var lineNumber = 0
        var start = 0
        while start < bytes.count {
            lineNumber += 1
            let end = bytes[start...].firstIndex(of: 0x0A) ?? bytes.count
            let line = trimmed(start..<end, in: bytes)
            let isIndented = start < bytes.count && isBlank(bytes[start])
            start = end + 1
            guard let first = line.first.map({ bytes[$0] }), !"#;".utf8.contains(first) else { continue }
            let fail = { (problem: String, hint: String) in
                Failure(.usage, "line \(lineNumber) of \(quoted(name)) \(problem)", hint: hint)
            }
            if first == UInt8(ascii: "["), !isIndented {
                guard let close = bytes[line].firstIndex(of: UInt8(ascii: "]")) else {
                    throw fail("begins a section and does not end its name", "write it as in [default]")
                }
                let inner = trimmed((line.lowerBound + 1)..<close, in: bytes)
                sections.append(Section(name: Self.text(inner, in: bytes), line: lineNumber, items: []))
                (parent, hasItem) = (nil, false)
                continue
            }
            guard let sign = bytes[line].firstIndex(where: { "=:".utf8.contains($0) }), sign > line.lowerBound else {
                throw fail("is no setting", "write it as in name = value")
            }
            if isIndented, hasItem, parent == nil {
                throw fail("is indented, and so would belong to the setting above it", "begin it without blanks")
            }
            let key = Self.text(trimmed(line.lowerBound..<sign, in: bytes), in: bytes).lowercased()
            let value = trimmed((sign + 1)..<line.upperBound, in: bytes)
            let isNested = isIndented && parent != nil
            if !isNested { parent = value.isEmpty ? key : nil }
            hasItem = true
            let fullKey = isNested ? "\(parent ?? "").\(key)" : key
            if let other = sections[sections.count - 1].items.first(where: { $0.key == fullKey }) {
                // Not by name: it may be part of a secret that was pasted without one.
                throw fail("sets again what line \(other.line) sets", "remove one of them")
            }
            sections[sections.count - 1].items.append(Item(key: fullKey, value: value, line: lineNumber))
        }
        self.sections = sections
    }

    /// A name or key.
    private static func text(_ range: Range<Int>, in bytes: UnsafeRawBufferPointer) -> String {
        String(decoding: UnsafeRawBufferPointer(rebasing: bytes[range]), as: UTF8.self)
    }
}

private func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0D }

private func trimmed(_ range: Range<Int>, in bytes: UnsafeRawBufferPointer) -> Range<Int> {
    guard let first = bytes[range].firstIndex(where: { !isBlank($0) }),
        let last = bytes[range].lastIndex(where: { !isBlank($0) })
    else { return range.lowerBound..<range.lowerBound }
    return first..<(last + 1)
}
