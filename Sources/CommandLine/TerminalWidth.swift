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
    guard let count = columnCount(of: STDOUT_FILENO), count < 40 else { return try body() }
    let columns = getenv("COLUMNS").map { String(cString: $0) }
    setenv("COLUMNS", "40", 1)
    defer { if let columns { setenv("COLUMNS", columns, 1) } else { unsetenv("COLUMNS") } }
    return try body()
}

/// Less is not worth a layout.
private let leastColumnCount = 20
