import ArgumentParser
import FoundationEssentials
import HostIO
import SealedArchive
import SystemPackage
import YAML

/// How a command prints data.
enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case table, json, yaml
}

/// A number of bytes for a person: three digits and a binary unit.
func size(_ byteCount: Int) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
    var value = Double(byteCount)
    var unit = 0
    while value >= 1000, unit < units.count - 1 {
        value /= 1024
        unit += 1
    }
    if unit == 0 { return "\(byteCount) B" }
    let tenths = Int((value * 10).rounded())
    return value < 100 ? "\(tenths / 10).\(tenths % 10) \(units[unit])" : "\(Int(value.rounded())) \(units[unit])"
}

/// A time in UTC to the second.
func time(_ date: Date) -> String { date.formatted(.iso8601) }

/// Seconds with one decimal.
func seconds(_ value: Double) -> String {
    let tenths = Int((value * 10).rounded())
    return "\(tenths / 10).\(tenths % 10) s"
}

/// A time in the past as the distance to now, in its largest unit.
func age(_ date: Date) -> String {
    let seconds = max(0, Int(Date().timeIntervalSince(date)))
    switch seconds {
    case ..<120: return "\(seconds)s"
    case ..<7200: return "\(seconds / 60)m"
    case ..<172_800: return "\(seconds / 3600)h"
    default: return "\(seconds / 86_400)d"
    }
}

/// Prints a document in a format; `table` makes the text for people.
func render(_ document: some Encodable, as format: OutputFormat, table: () -> String) throws {
    Console.shared.clearProgress()
    switch format {
    case .table: try printOutput(table())
    case .json: try printOutput(String(decoding: try DocumentCoding.encode(document).dropLast(), as: UTF8.self))
    case .yaml:
        let value = try DocumentValue(try DocumentCoding.encode(document), name: "output")
        let writer = try DocumentWriter()
        try write(value, to: writer)
        try printOutput(String(decoding: try writer.finish(), as: UTF8.self), terminator: "")
    }
}

/// Writes what JSON would have as well, the keys sorted.
private func write(_ value: DocumentValue, to writer: DocumentWriter) throws {
    switch value {
    case .null: try writer.writeNull()
    case .boolean(let value): try writer.write(value)
    case .integer(let value): try writer.write(value)
    case .unsigned(let value): try writer.write(value)
    case .number(let value): try writer.write(value)
    case .text(let text): try writer.write(text)
    case .array(let values):
        try writer.beginSequence()
        for value in values { try write(value, to: writer) }
        try writer.endSequence()
    case .object(let fields):
        try writer.beginMapping()
        for (key, value) in fields.sorted(by: { $0.key < $1.key }) {
            try writer.write(key)
            try write(value, to: writer)
        }
        try writer.endMapping()
    }
}

/// Writes text to standard output; that a reader has gone away is its own business.
///
/// - Throws: ``SystemCallError`` where it can't be written: a document that is cut short must not pass for a whole one.
func printOutput(_ text: String, terminator: String = "\n") throws {
    do {
        try DescriptorSink(.standardOutput, name: "standard output").write(Array((text + terminator).utf8))
    } catch let error as SystemCallError where error.errno == .brokenPipe {}
}

/// Columns of left-aligned text under headings, like kubectl's.
func table(_ headings: [String], _ rows: [[String]]) -> String {
    let all = [headings] + rows.map { $0.map(printable) }
    let widths = headings.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
    return all.map { row in
        zip(row, widths).map { $0.padding(to: $1) }.joined(separator: "   ").trimmingEnd()
    }.joined(separator: "\n")
}

/// Lines of names and values.
func fields(_ pairs: [(String, String)]) -> String {
    let width = pairs.map(\.0.count).max() ?? 0
    return pairs.map { "\(($0.0 + ":").padding(to: width + 1))  \(printable($0.1))" }.joined(separator: "\n")
}

extension String {
    func padding(to width: Int) -> String { self + String(repeating: " ", count: max(0, width - count)) }

    fileprivate func trimmingEnd() -> String { String(reversed().drop { $0 == " " }.reversed()) }
}
