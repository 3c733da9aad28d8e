#if canImport(Glibc)
    import Glibc
#endif

/// A column of a table.
struct Column: ExpressibleByStringLiteral {
    var heading: String
    /// When it is left out for want of room: the lowest first; nil never.
    var rank: Int?

    init(_ heading: String, rank: Int) {
        self.heading = heading
        self.rank = rank
    }

    init(stringLiteral heading: String) { self.heading = heading }
}

/// Columns of left-aligned text under headings, like kubectl's.
///
/// Where there are more than fit, the least important are left out, which is said; then the widest are wrapped.
func table(_ columns: [Column], _ rows: [[String]]) -> String {
    let layout = TableLayout(columns, rows.map { $0.map(printable) }, columnCount: columnCount(of: STDOUT_FILENO))
    if !layout.leftOut.isEmpty {
        Console.shared.note(
            "left out for want of room: \(layout.leftOut.joined(separator: ", ")); -o json prints everything")
    }
    return layout.text
}

/// A table that fits into a number of columns of text.
struct TableLayout {
    /// The lines.
    let text: String
    /// The headings of the columns that are left out.
    let leftOut: [String]

    private static let gap = 3
    /// Less makes text hard to read.
    private static let leastWidth = 8

    init(_ columns: [Column], _ rows: [[String]], columnCount: Int?) {
        let all = [columns.map(\.heading)] + rows
        let widths = columns.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        let shown = Self.shown(columns, widths, columnCount)
        let fitted = Self.fitted(shown.map { widths[$0] }, columnCount)
        text = all.map { row in Self.lines(shown.map { row[$0] }, fitted) }.joined(separator: "\n")
        leftOut = columns.indices.filter { !shown.contains($0) }.map { columns[$0].heading }
    }

    private static func total(_ widths: [Int]) -> Int { widths.reduce(0, +) + gap * max(0, widths.count - 1) }

    /// The indices of the columns that are shown.
    private static func shown(_ columns: [Column], _ widths: [Int], _ columnCount: Int?) -> [Int] {
        var shown = Array(columns.indices)
        guard let columnCount else { return shown }
        while total(shown.map { widths[$0] }) > columnCount {
            let droppable = shown.filter { columns[$0].rank != nil }
            guard let least = droppable.min(by: { columns[$0].rank ?? 0 < columns[$1].rank ?? 0 }) else { break }
            shown.removeAll { $0 == least }
        }
        return shown
    }

    /// The widths when the widest columns give what is missing.
    private static func fitted(_ widths: [Int], _ columnCount: Int?) -> [Int] {
        var widths = widths
        guard let columnCount else { return widths }
        while total(widths) > columnCount, let widest = widths.max(), widest > leastWidth,
            let index = widths.firstIndex(of: widest)
        {
            widths[index] -= 1
        }
        return widths
    }

    /// A row, of several lines where a cell does not fit into its column.
    private static func lines(_ cells: [String], _ widths: [Int]) -> String {
        let wrapped = zip(cells, widths).map { wrap($0, to: $1) }
        let count = wrapped.map(\.count).max() ?? 1
        return (0..<count).map { line in
            zip(wrapped, widths).map { ($0.indices.contains(line) ? $0[line] : "").padding(to: $1) }
                .joined(separator: String(repeating: " ", count: gap)).trimmingEnd()
        }.joined(separator: "\n")
    }
}

/// Text in lines of at most `width` characters, broken at blanks where there are some.
func wrap(_ text: String, to width: Int) -> [String] {
    guard text.count > width, width > 0 else { return [text] }
    var lines: [String] = []
    var line = ""
    for word in text.split(separator: " ", omittingEmptySubsequences: false) {
        if !line.isEmpty, line.count + 1 + word.count > width {
            lines.append(line)
            line = ""
        }
        line = line.isEmpty ? String(word) : "\(line) \(word)"
        while line.count > width {
            lines.append(String(line.prefix(width)))
            line = String(line.dropFirst(width))
        }
    }
    return lines + (line.isEmpty ? [] : [line])
}

/// Text without control characters: documents of a store may be made up, and a terminal obeys what it is sent.
func printable(_ text: String) -> String {
    String(
        String.UnicodeScalarView(
            text.unicodeScalars.map { $0.value < 0x20 || (0x7F..<0xA0).contains($0.value) ? "\u{FFFD}" : $0 }))
}

/// Lines of names and values, the values wrapped behind the names where there is not enough room.
func fields(_ pairs: [(String, String)]) -> String {
    let width = pairs.map(\.0.count).max() ?? 0
    let room = columnCount(of: STDOUT_FILENO).map { max(16, $0 - width - 3) } ?? .max
    let indentation = "\n" + String(repeating: " ", count: width + 3)
    return pairs.map { name, value in
        "\((name + ":").padding(to: width + 1))  \(wrap(printable(value), to: room).joined(separator: indentation))"
    }.joined(separator: "\n")
}

extension String {
    func padding(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }

    fileprivate func trimmingEnd() -> String { String(reversed().drop { $0 == " " }.reversed()) }
}
