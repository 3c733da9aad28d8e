#if canImport(Glibc)
    import Glibc
#endif

/// How many columns what is printed has: those that `COLUMNS` names, or else the terminal's; nil where there is neither,
/// and lines may be as long as they are.
func columnCount(of descriptor: Int32) -> Int? {
    if let text = getenv("COLUMNS"), let count = Int(String(cString: text)), count > 0 {
        return max(count, leastColumnCount)
    }
    var size = winsize()
    guard isatty(descriptor) == 1, ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
    return max(Int(size.ws_col), leastColumnCount)
}

/// Makes texts of help for at least 40 columns: the library fails at less than what its own indentation takes.
func leavingRoomForHelp<Result>(_ body: () throws -> Result) rethrows -> Result {
    guard let count = columnCount(of: STDOUT_FILENO), count < leastHelpColumnCount else { return try body() }
    let columns = getenv("COLUMNS").map { String(cString: $0) }
    setenv("COLUMNS", "\(leastHelpColumnCount)", 1)
    defer { if let columns { setenv("COLUMNS", columns, 1) } else { unsetenv("COLUMNS") } }
    return try body()
}

/// Breaks lines of usage, which the library leaves as long as they are, between their parts.
func wrappingUsage(_ text: String) -> String {
    let width = max(columnCount(of: STDOUT_FILENO) ?? 80, leastHelpColumnCount)
    return text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
        let isUsage = ["USAGE: ", "Usage: "].contains(where: line.hasPrefix)
        return isUsage && line.count > width ? wrapped(usageParts(line), width: width) : String(line)
    }.joined(separator: "\n")
}

/// The words of a line of usage, with what is in brackets in one.
private func usageParts(_ line: Substring) -> [String] {
    var parts: [String] = []
    for word in line.split(separator: " ") {
        let isOpen = parts.last.map { $0.contains("[") && !$0.contains("]") } ?? false
        let isValue = parts.last?.hasPrefix("--") == true && word.hasPrefix("<")
        if let last = parts.last, isOpen || isValue {
            parts[parts.count - 1] = "\(last) \(word)"
        } else {
            parts.append(String(word))
        }
    }
    return parts
}

private func wrapped(_ parts: [String], width: Int) -> String {
    var lines: [String] = []
    for part in parts {
        if let last = lines.last, last.count + 1 + part.count <= width {
            lines[lines.count - 1] = "\(last) \(part)"
        } else {
            lines.append(lines.isEmpty ? part : "       \(part)")
        }
    }
    return lines.joined(separator: "\n")
}

/// Less is too little for the library.
private let leastHelpColumnCount = 40

/// Less is not worth a layout.
private let leastColumnCount = 20
