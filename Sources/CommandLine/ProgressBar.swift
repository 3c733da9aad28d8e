import Operations

/// One line of progress, redrawn on a terminal; elsewhere a plain line twice a minute.
struct ProgressBar {
    private static let barWidth = 24
    private static let tellableSeconds = 1e7
    private static let clearLine = "\r\u{1B}[K"

    private let isTerminal: Bool
    private var phase = ""
    private var phaseStart = ContinuousClock.now
    private var lastUpdate = ContinuousClock.now
    private var isShown = false

    init(isTerminal: Bool) { self.isTerminal = isTerminal }

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
        let text = line(progress, elapsed: now - phaseStart)
        guard isTerminal else { return text + "\n" }
        isShown = true
        return Self.clearLine + text
    }

    /// What takes the line off the terminal before other text.
    mutating func clear() -> String {
        defer { isShown = false }
        return isShown ? Self.clearLine : ""
    }

    private func line(_ progress: Progress, elapsed: Duration) -> String {
        let seconds = max(0.001, Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) / 1e18)
        let rate = Double(progress.doneByteCount) / seconds
        var text = progress.phase
        if let total = progress.totalByteCount, total > 0 {
            let share = min(1, Double(progress.doneByteCount) / Double(total))
            let filled = Int(share * Double(Self.barWidth))
            let bar = String(repeating: "#", count: filled) + String(repeating: "-", count: Self.barWidth - filled)
            text += "  [\(bar)] \(Int(share * 100)) %  \(size(progress.doneByteCount)) of \(size(total))"
            let secondsLeft = Double(total - progress.doneByteCount) / rate
            // A total that somebody else claims may be anything.
            if secondsLeft < Self.tellableSeconds { text += "  \(Int(secondsLeft)) s left" }
        } else {
            text += "  \(size(progress.doneByteCount))"
        }
        return text + "  \(size(Int(rate)))/s"
    }
}
