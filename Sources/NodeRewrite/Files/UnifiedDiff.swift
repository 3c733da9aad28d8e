internal import HostIO

extension FileChange {
    /// The change as `diff -u` shows it; in place of secrets stands «secret», and the ends of very long lines are cut.
    public var unifiedDiff: String {
        let old = ShownLines(oldBytes)
        let new = ShownLines(newBytes)
        // Values have no line ends, so that each line that was not added has its own counterpart.
        var rows: [(old: Int?, new: Int)] = []
        var addedCount = 0
        for line in new.bytes.indices {
            let isAdded = addedLines.contains(line)
            if isAdded { addedCount += 1 }
            rows.append((isAdded ? nil : line - addedCount, line))
        }
        func isChanged(_ row: Int) -> Bool {
            guard let line = rows[row].old, line < old.bytes.count else { return true }
            return old.bytes[line] != new.bytes[rows[row].new]
        }
        let changed = rows.indices.filter(isChanged)
        guard !changed.isEmpty else { return "" }
        var text = "--- a\(printable(path))\n+++ b\(printable(path))\n"
        for hunk in Self.hunks(changed, lineCount: rows.count) {
            let olds = rows[hunk].compactMap(\.old)
            text += "@@ -\((olds.first ?? -1) + 1),\(olds.count) +\(hunk.lowerBound + 1),\(hunk.count) @@\n"
            var index = hunk.lowerBound
            while index < hunk.upperBound {
                guard isChanged(index) else {
                    text += new.shown(rows[index].new, " ")
                    index += 1
                    continue
                }
                let end = (index..<hunk.upperBound).first { !isChanged($0) } ?? hunk.upperBound
                for line in rows[index..<end].compactMap(\.old) { text += old.shown(line, "-") }
                for row in rows[index..<end] { text += new.shown(row.new, "+") }
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
