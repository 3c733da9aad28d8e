import Foundation
import TestSupport
import Testing

extension Integration {
    /// Tables, fields, progress and help on narrow and wide terminals.
    @Suite struct LayoutTests {
        private let store: TestStore

        init() throws {
            store = try TestStore(Laboratory.shared().server(.v3_5))
            try SnapTool.run(store.backup())
        }

        @Test(arguments: [40, 60, 80, 120, 200])
        func tablesFit(columnCount: Int) throws {
            let commands = [
                ["list"] + store.flags, ["describe", "latest", "-i", store.key.path] + store.flags,
                ["verify", "latest", "-i", store.key.path] + store.flags,
                ["doctor", "--no-discover", "-r", store.key.recipient] + store.server.flags() + store.flags,
                ["inspect", "status", "latest", "-i", store.key.path] + store.flags,
            ]
            for command in commands {
                let result = try SnapTool.attempt(command, environment: ["COLUMNS": "\(columnCount)"])
                let longest = result.text.split(separator: "\n").filter { !$0.hasPrefix("  ") }.map(\.count).max() ?? 0
                #expect(longest > 0 && longest <= columnCount, "\(command[0]) has \(longest) columns:\n\(result.text)")
            }
        }

        /// The identifier and the age are what a list is for.
        @Test func theLeastImportantColumnsGoFirst() throws {
            let id = try #require(try store.names().first?.prefix { $0 != "." })
            let narrow = try SnapTool.attempt(["list"] + store.flags, environment: ["COLUMNS": "40"])
            #expect(narrow.text.contains(id) && narrow.text.contains("AGE") && !narrow.text.contains("REVISION"))
            #expect(narrow.errorText.contains("left out") && narrow.errorText.contains("REVISION"))
            let middle = try SnapTool.attempt(["list"] + store.flags, environment: ["COLUMNS": "80"])
            #expect(
                middle.text.contains("NODE") && middle.text.contains("CLUSTER") && !middle.text.contains("REVISION"))
            for environment in [["COLUMNS": "200"], [:]] {
                let wide = try SnapTool.attempt(["list"] + store.flags, environment: environment)
                #expect(wide.text.contains("REVISION") && wide.errorText.isEmpty)
            }
        }

        /// Of a terminal itself, without the variable.
        @Test(arguments: [40, 132])
        func aTerminalSaysItsWidth(columnCount: Int) throws {
            let command = ([try SnapTool.executable(), "list"] + store.flags).joined(separator: " ")
            let result = try PseudoTerminal.run(command, columnCount: columnCount)
            #expect(result.text.contains("REVISION   ") == (columnCount == 132), "\(result.text)")
        }

        @Test(arguments: [40, 80])
        func progressStaysOnItsLine(columnCount: Int) throws {
            let server = try Laboratory.shared().bulkServer(.v3_5)
            let bulk = try TestStore(server)
            let command = ([try SnapTool.executable()] + bulk.backup()).joined(separator: " ")
            let result = try PseudoTerminal.run(command, columnCount: columnCount)
            #expect(result.status == 0, "\(result.text)")
            let lines = result.text.components(separatedBy: "\r\u{1B}[K").dropFirst().map {
                $0.prefix { $0 != "\r\n" && $0 != "\n" }
            }
            let shown = lines.filter { $0.contains("%") }
            for line in shown { #expect(line.count < columnCount, "\(line)") }
        }

        /// A line of help ends where the next word has no room, and not in the middle of a sentence.
        @Test(arguments: [
            "", "backup", "doctor", "keygen", "list", "describe", "verify", "certs", "inspect", "inspect status",
            "inspect volumes", "restore", "restore all", "restore files", "restore etcd", "download", "unseal", "adopt",
            "delete", "completion",
        ])
        func helpBreaksLinesWhereItMust(command: String) throws {
            let arguments = command.split(separator: " ").map(String.init) + ["--help"]
            let text = try SnapTool.attempt(arguments, environment: ["COLUMNS": "80"]).text
            let overview = text.components(separatedBy: "\nUSAGE:")[0].components(separatedBy: "\n")
            for (line, next) in zip(overview, overview.dropFirst()) {
                guard !line.isEmpty, let word = next.split(separator: " ").first, !next.hasPrefix(" "),
                    !next.hasPrefix("Example:")
                else { continue }
                #expect(line.count + 1 + word.count >= 80 || line.hasPrefix("OVERVIEW:"), "\(line)\n\(next)")
            }
        }

        @Test func patternsOfExcludeAreExplained() throws {
            for command in ["backup", "doctor"] {
                let help = try SnapTool.run([command, "--help"]).text
                #expect(help.contains("shell pattern") && help.contains("'*.bak'"))
            }
        }
    }
}
