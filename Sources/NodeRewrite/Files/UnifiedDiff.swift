internal import HostIO

extension FileChange {
    /// The change as `diff -u` shows it; in place of secrets stands «secret», and the ends of very long lines are cut.
    public var unifiedDiff: String {
        let old = ShownLines(oldBytes)
        let new = ShownLines(newBytes)
        // Values have no line ends, so that each line has its own counterpart.
        let changed = old.bytes.indices.filter { $0 >= new.bytes.count || old.bytes[$0] != new.bytes[$0] }
        let isChanged = Set(changed)
        guard !changed.isEmpty else { return "" }
        var text = "--- a\(printable(path))\n+++ b\(printable(path))\n"
        for hunk in Self.hunks(changed, lineCount: old.bytes.count) {
            text += "@@ -\(hunk.lowerBound + 1),\(hunk.count) +\(hunk.lowerBound + 1),\(hunk.count) @@\n"
            var index = hunk.lowerBound
            while index < hunk.upperBound {
                guard isChanged.contains(index) else {
                    text += old.shown(index, " ")
                    index += 1
                    continue
                }
                let end = (index..<hunk.upperBound).first { !isChanged.contains($0) } ?? hunk.upperBound
                for line in index..<end { text += old.shown(line, "-") }
                for line in index..<end { text += new.shown(line, "+") }
                index = end
            }
        }
        return text
    }

    /// Changed lines with three around them.
    private static func hunks(_ changed: [Int], lineCount: Int) -> [Range<Int>] {
        var hunks: [Range<Int>] = []
        for line in changed {
            let range = max(0, line - 3)..<min(lineCount, line + 4)
            if let last = hunks.last, last.upperBound >= range.lowerBound {
                hunks[hunks.count - 1] = last.lowerBound..<range.upperBound
            } else {
                hunks.append(range)
            }
        }
        return hunks
    }
}

/// Lines that people may see.
private struct ShownLines {
    /// Each line without its end.
    let bytes: [ArraySlice<UInt8>]
    private let text: SecretText
    private let isEnded: Bool

    private static let longestLine = 300

    init(_ bytes: [UInt8]) {
        var lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
        isEnded = lines.last?.isEmpty == true
        if isEnded { lines.removeLast() }
        self.bytes = lines
        text = SecretText(bytes)
    }

    func shown(_ index: Int, _ mark: String) -> String {
        var line = text.shown(bytes[index].indices)
        if line.count > Self.longestLine { line = line.prefix(Self.longestLine) + "…" }
        let end = index == bytes.count - 1 && !isEnded ? "\n\\ No newline at end of file\n" : "\n"
        return mark + line + end
    }
}
