import FoundationEssentials
import SealedArchive

/// The record of a drill as a page of HTML for people, without anything that would have to be loaded.
enum DrillPage {
    /// The page.
    static func bytes(_ record: DrillRecord) -> [UInt8] {
        let title = "Drill of \(record.archive.reference)"
        let verdict =
            record.isDrilled
            ? "drilled: every database was restored and booted, and has what the archive has"
            : record.hasFailed ? "failed" : "not drilled: not every proof could be made"
        let text = """
            <!DOCTYPE html>
            <html lang="en"><head><meta charset="utf-8"><title>\(escaped(title))</title>
            <style>
            body { font: 16px/1.4 sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em }
            table { border-collapse: collapse } td, th { border: 1px solid #aaa; padding: .3em .6em; text-align: left; vertical-align: top }
            .passed { color: #060 } .failed { color: #a00; font-weight: bold } .notMade { color: #666 }
            </style></head><body>
            <h1>\(escaped(title))</h1>
            <p class="\(record.isDrilled ? "passed" : "failed")">\(escaped(verdict))</p>
            \(table(overview(record)))
            <h2>Stages</h2>
            <table><tr><th>Stage</th><th>Outcome</th><th>Time</th><th>What was found</th></tr>
            \(record.stages.map(row).joined(separator: "\n"))
            </table>
            </body></html>

            """
        return Array(text.utf8)
    }

    private static func overview(_ record: DrillRecord) -> [(String, String)] {
        var lines = [
            ("Archive", "\(record.archive.reference), made \(time(record.archive.createdAt))"),
            ("Its manifest", "SHA-256 \(record.manifestSHA256)"),
            (
                "Drill",
                "\(time(record.startedAt)), \(seconds(record.durationSeconds)), by \(record.tool.name) \(record.tool.version)"
            ),
            (
                "Recovery time measured",
                record.recoverySeconds.map { "\(seconds($0)), from the first file to an etcd that serves" } ?? "none"
            ),
            (
                "Host",
                "\(record.host.coreCount) cores, \(record.host.availableMemory.map { "\($0) bytes of memory free" } ?? "memory unknown"), restored \(record.host.isScratchInMemory ? "in memory" : "on a disk")"
            ),
        ]
        if let etcd = record.etcd { lines.append(("etcd", "\(etcd.version), \(etcd.path), SHA-256 \(etcd.sha256)")) }
        if let server = record.apiServer {
            lines.append(("kube-apiserver", "\(server.version), \(server.path), SHA-256 \(server.sha256)"))
        }
        for database in record.databases {
            let keys = database.keyCount.map { ", \($0) keys" } ?? ""
            let hash = database.hashKV.map { ", HashKV \($0)" } ?? ""
            lines.append(
                ("Database \(database.name)", "\(database.size) bytes, revision \(database.revision)\(keys)\(hash)"))
        }
        return lines
    }

    private static func table(_ lines: [(String, String)]) -> String {
        "<table>\n"
            + lines.map { "<tr><th>\(escaped($0.0))</th><td>\(escaped($0.1))</td></tr>" }.joined(separator: "\n")
            + "\n</table>"
    }

    private static func row(_ stage: DrillRecord.Stage) -> String {
        let name = (stage.etcd.map { "\($0): " } ?? "") + stage.name
        let outcome = stage.outcome == .notMade ? "not made" : stage.outcome.rawValue
        return "<tr><td>\(escaped(name))</td><td class=\"\(escaped(stage.outcome.rawValue))\">\(escaped(outcome))</td>"
            + "<td>\(seconds(stage.durationSeconds))</td><td>\(escaped(stage.detail))</td></tr>"
    }

    private static func time(_ date: Date) -> String { date.formatted(.iso8601) }

    private static func seconds(_ value: Double) -> String {
        let hundredths = Int((value * 100).rounded())
        let rest = hundredths % 100
        return "\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest) s"
    }

    /// Text that can stand anywhere in the page: names of nodes and paths are what somebody else has chosen.
    static func escaped(_ text: String) -> String {
        text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
            .replacing("\"", with: "&quot;").replacing("'", with: "&#39;")
    }
}
