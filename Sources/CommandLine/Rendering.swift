import ArgumentParser
import FoundationEssentials
import HostIO
import SealedArchive
import SystemPackage
import YAML

/// How a command prints data.
enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case table, json, yaml

    /// The format that arguments ask for which could not be understood; nil if they name none.
    static func named(in arguments: [String]) -> OutputFormat? {
        for (argument, next) in zip(arguments, arguments.dropFirst() + [""]) where argument.hasPrefix("-") {
            if ["-o", "--output"].contains(argument), let format = OutputFormat(rawValue: next) { return format }
            for prefix in ["-o=", "-o", "--output="] where argument.hasPrefix(prefix) {
                if let format = OutputFormat(rawValue: String(argument.dropFirst(prefix.count))) { return format }
            }
        }
        return nil
    }
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

/// The distance of a time to now, in its largest unit; one in the future is `in 5d`.
func age(_ date: Date) -> String {
    let seconds = Int(Date().timeIntervalSince(date))
    let tolerance = 600
    return seconds < -tolerance ? "in \(span(-seconds))" : span(max(0, seconds))
}

/// The same in a sentence: `5d ago`, `in 5d`.
func distance(_ date: Date) -> String {
    let age = age(date)
    return age.hasPrefix("in ") ? age : "\(age) ago"
}

private func span(_ seconds: Int) -> String {
    switch seconds {
    case ..<120: "\(seconds)s"
    case ..<7200: "\(seconds / 60)m"
    case ..<172_800: "\(seconds / 3600)h"
    default: "\(seconds / 86_400)d"
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

/// Prints the report of what was done; where it can't be written, that is no failure of what was done.
///
/// - Parameter done: what is true whatever becomes of the report: `the backup … was published as …`; nil for a dry run.
/// - Throws: `ExitCode` for findings, after a warning, where the report of what was done can't be written.
func render(_ document: some Encodable, as format: OutputFormat, done: String?, table: () -> String) throws {
    do {
        try render(document, as: format, table: table)
    } catch let error as SystemCallError {
        guard let done else { throw error }
        Console.shared.warn("\(done), but its report can't be written: \(error)")
        throw ExitCode(Failure.Code.findings.rawValue)
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
