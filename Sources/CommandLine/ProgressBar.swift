import Operations

/// One line of progress, redrawn on a terminal, into which it fits; elsewhere a plain line twice a minute.
struct ProgressBar {
    private static let barWidths = [24, 12, 0]
    private static let tellableSeconds = 1e7
    private static let clearLine = "\r\u{1B}[K"

    private let isTerminal: Bool
    private let columnCount: @Sendable () -> Int?
    private var phase = ""
    private var phaseStart = ContinuousClock.now
    private var lastUpdate = ContinuousClock.now
    private var isShown = false

    /// - Parameter columnCount: tells how many columns the terminal has now.
    init(isTerminal: Bool, columnCount: @escaping @Sendable () -> Int?) {
        self.isTerminal = isTerminal
        self.columnCount = columnCount
    }

    /// What to write for this progress, or nil when the last one is recent enough.
    mutating func update(_ progress: Progress) -> String? {
        let now = ContinuousClock.now
        if progress.phase != phase {
            phase = progress.phase
            phaseStart = now
            lastUpdate = now
        }
        guard now - lastUpdate >= (isTerminal ? .milliseconds(100) : .seconds(30)) else { return nil }
        lastUpdate = now
        let elapsed = now - phaseStart
        guard isTerminal else { return Self.line(progress, elapsed: elapsed, columnCount: nil) + "\n" }
        isShown = true
        // In the last column some terminals go on to the next line.
        let room = (columnCount() ?? 80) - 1
        return Self.clearLine + Self.line(progress, elapsed: elapsed, columnCount: room)
    }

    /// What takes the line off the terminal before other text.
    mutating func clear() -> String {
        defer { isShown = false }
        return isShown ? Self.clearLine : ""
    }

    /// The line, without its least important parts where all do not fit: the rate goes first, then the bar and the amounts.
    static func line(_ progress: Progress, elapsed: Duration, columnCount: Int?) -> String {
        let seconds = max(0.001, Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) / 1e18)
        let rate = Double(progress.doneByteCount) / seconds
        let speed = "\(size(Int(rate)))/s"
        guard let total = progress.totalByteCount, total > 0 else {
            let parts = [progress.phase, size(progress.doneByteCount)]
            return fitting([parts + [speed], parts], columnCount)
        }
        let share = min(1, Double(progress.doneByteCount) / Double(total))
        let amounts = "\(size(progress.doneByteCount)) of \(size(total))"
        let secondsLeft = Double(total - progress.doneByteCount) / rate
        // A total that somebody else claims may be anything.
        let left = secondsLeft < tellableSeconds ? ["\(Int(secondsLeft)) s left"] : []
        let bars = barWidths.map { bar(share, width: $0) + "\(Int(share * 100)) %" }
        let forms = bars.map { [progress.phase, $0, amounts] + left }
        return fitting(
            [forms[0] + [speed]] + forms + [[progress.phase, bars[2]] + left, [progress.phase, bars[2]], [bars[2]]],
            columnCount)
    }

    private static func bar(_ share: Double, width: Int) -> String {
        guard width > 0 else { return "" }
        let filled = Int(share * Double(width))
        return "[\(String(repeating: "#", count: filled))\(String(repeating: "-", count: width - filled))] "
    }

    /// The first of several forms that fits.
    private static func fitting(_ forms: [[String]], _ columnCount: Int?) -> String {
        let lines = forms.map { $0.joined(separator: "  ") }
        guard let columnCount else { return lines[0] }
        return lines.first { $0.count <= columnCount } ?? String((lines.last ?? "").prefix(columnCount))
    }
}
