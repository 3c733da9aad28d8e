/// What numbers look like in YAML 1.1, 1.2 and JSON.
enum Numbers {
    /// The whole number of a plain scalar: decimal, or behind `0x`, `0o` or `0b`; `_` may separate digits.
    ///
    /// Nil also for other decimals that begin with a zero: YAML 1.1 takes them for octal, YAML 1.2 does not.
    static func integer<Integer: FixedWidthInteger>(_ text: String, as type: Integer.Type) -> Integer? {
        var digits = text[...]
        let sign = digits.first == "-" || digits.first == "+" ? String(digits.removeFirst()) : ""
        let radix = [("0x", 16), ("0o", 8), ("0b", 2)].first { digits.hasPrefix($0.0) }?.1
        if radix != nil { digits = digits.dropFirst(2) }
        guard let first = digits.first, first.isASCII, first.isHexDigit else { return nil }
        guard radix != nil || first != "0" || digits.count == 1 else { return nil }
        return Integer(sign + digits.filter { $0 != "_" }, radix: radix ?? 10)
    }

    /// The number of a plain scalar in decimal.
    static func double(_ text: String) -> Double? {
        switch text.lowercased() {
        case ".inf", "+.inf": return .infinity
        case "-.inf": return -.infinity
        case ".nan": return .nan
        default: break
        }
        // Swift's own reading knows words and hexadecimal numbers as well.
        guard text.utf8.allSatisfy({ "0123456789+-.eE".utf8.contains($0) }) else { return nil }
        let sign = text.hasPrefix("-") ? -1.0 : 1.0
        let digits = text.hasPrefix("-") || text.hasPrefix("+") ? text.dropFirst() : text[...]
        guard let first = digits.first, first != "-", first != "+" else { return nil }
        return Double((first == "." ? "0" : "") + digits).map { sign * $0 }
    }

    /// Whether some reader takes text for a number: also in octal, to the base of 60, with separators.
    static func resembles(_ text: String) -> Bool {
        var rest = Array(text.utf8)[...]
        func skip(_ characters: String) -> Int {
            let count = rest.prefix { characters.utf8.contains($0) }.count
            rest = rest.dropFirst(count)
            return count
        }
        if "+-".utf8.contains(rest.first ?? 0) { rest = rest.dropFirst() }
        if rest.first == UInt8(ascii: "0"), let letter = rest.dropFirst().first, "xXoObB".utf8.contains(letter) {
            return rest.dropFirst(2).allSatisfy { "0123456789abcdefABCDEF_".utf8.contains($0) }
        }
        let digits = "0123456789_,"
        var count = skip(digits)
        while skip(":") == 1 { count += skip(digits) }
        if skip(".") > 1 { return false }
        count += skip(digits)
        if count > 0, skip("eE") == 1 {
            _ = skip("+-")
            _ = skip(digits)
        }
        return count > 0 && rest.isEmpty
    }
}
