// Text that comes from files, servers and documents may hold what a terminal obeys, and what makes a line read as
// another one: control characters, line and paragraph separators, marks of the writing direction (Unicode Standard Annex
// 9, section 2). These two functions are the ways in which such text reaches a person.

/// A name in double quotes, with everything escaped that a terminal would obey.
public func quoted(_ name: String) -> String {
    var result = "\""
    for scalar in name.unicodeScalars {
        if scalar == "\"" || scalar == "\\" {
            result += "\\\(scalar)"
        } else if isObeyed(scalar) {
            result += "\\u{" + String(scalar.value, radix: 16) + "}"
        } else {
            result.unicodeScalars.append(scalar)
        }
    }
    return result + "\""
}

/// Text without what a terminal would obey: U+FFFD is in its place, and a space in that of tabs and line ends.
public func printable(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: isObeyed) else { return text }
    let scalars = text.unicodeScalars.map { scalar -> Unicode.Scalar in
        guard isObeyed(scalar) else { return scalar }
        return ["\t", "\n", "\r"].contains(scalar) ? " " : "\u{FFFD}"
    }
    return String(String.UnicodeScalarView(scalars))
}

private func isObeyed(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0..<0x20, 0x7F..<0xA0: true
    case 0x061C, 0x200E, 0x200F, 0x2028...0x202E, 0x2066...0x2069: true
    default: false
    }
}
