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

/// Has help laid out for at least 40 columns: the library fails at less than what its own indentation takes.
func leaveRoomForHelp() {
    if let count = columnCount(of: STDOUT_FILENO), count < 40 { setenv("COLUMNS", "40", 1) }
}

/// Less is not worth a layout.
private let leastColumnCount = 20
