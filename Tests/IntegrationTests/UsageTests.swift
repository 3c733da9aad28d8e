import Foundation
import TestSupport
import Testing

extension Integration {
    /// What a person is told about a wrong command line, configuration or key.
    @Suite struct UsageTests {
        private let directory: TemporaryDirectory
        private let key: Laboratory.Key

        init() throws {
            directory = try TemporaryDirectory()
            key = try Laboratory.shared().key()
        }

        private var store: [String] { ["--store", directory.file("store")] }

        @Test(arguments: [
            ["frobnicate"], ["backup", "--frobnicate"], ["list", "-o", "xml"], ["list", "-q", "-v"], ["restore"],
            ["download"], ["backup", "--stall-timeout", "soon"], ["backup", "--stall-timeout", "-5s"],
            ["completion", "cmd"],
            ["restore", "--target", "/nonexistent/x", "--only", "everything"],
        ])
        func wrongCommandLines(_ arguments: [String]) throws {
            let result = try SnapTool.attempt(arguments)
            #expect(result.status == 2, "\(result.errorText)")
            #expect(result.text == "")
            #expect(result.errorText.hasPrefix("error: "), "\(result.errorText)")
        }

        @Test(arguments: [
            ["list", "-o", "json", "--nonsense"], ["backup", "--verify", "best", "--output=json"],
            ["verify", "-ojson", "-x"],
        ])
        func mistakesAreDocumentsTooWhereThoseAreAskedFor(_ arguments: [String]) throws {
            try expectFailureDocument(SnapTool.attempt(arguments), 2)
        }

        /// Nobody reads it, and nothing fails.
        @Test func helpFitsAnyTerminal() throws {
            for columns in ["1", "20", "26", "39", "500"] {
                let result = try SnapTool.attempt(["list", "--help"], environment: ["COLUMNS": columns])
                #expect(result.status == 0 && result.text.contains("--store"), "\(columns): \(result.errorText)")
            }
        }

        @Test(arguments: [
            "keygen", "list", "describe", "verify", "inspect status", "download", "unseal", "adopt", "delete",
        ])
        func usageFitsTheTerminal(_ command: String) throws {
            for columns in [60, 80, 200] {
                let arguments = command.split(separator: " ").map(String.init)
                for more in [["--help"], ["--nonsense"]] {
                    let result = try SnapTool.attempt(arguments + more, environment: ["COLUMNS": "\(columns)"])
                    let text = more == ["--help"] ? result.text : result.errorText
                    let lines = text.split(separator: "\n").drop { !$0.lowercased().hasPrefix("usage:") }
                    let usage = lines.prefix { $0.hasPrefix("       ") || $0.lowercased().hasPrefix("usage:") }
                    #expect(usage.first?.contains("etcd-snap \(command)") == true, "\(text)")
                    #expect(usage.allSatisfy { $0.count <= columns }, "\(columns): \(usage)")
                }
            }
        }

        /// Public keys may come out of another command; a list of them is no key.
        @Test func recipientsFromAPipe() throws {
            let included = try directory.write("x", to: "included")
            let backup = ["backup", "--no-etcd", "--no-discover", "--include", included] + store
            let keys = Data("# ours\n\(key.recipient)\n".utf8)
            let piped = try SnapTool.attempt(backup + ["-R", "-", "--dry-run"], input: keys)
            #expect(piped.status == 0 && piped.text.contains("would seal for X25519"), "\(piped.errorText)")
            expectFailure(
                try SnapTool.attempt(backup + ["-r", "\(key.recipient),\(key.recipient)"]), 2, naming: "\",\"")
        }

        @Test func anIdentityForStandardOutput() throws {
            let result = try SnapTool.run(["keygen", "-o", "-"])
            #expect(result.text.contains("AGE-SECRET-KEY-1"))
            #expect(!FileManager.default.fileExists(atPath: "-"))
        }

        @Test func helpAndVersionAreNoErrors() throws {
            for command in [
                "backup", "list", "describe", "verify", "download", "unseal", "delete", "restore", "keygen",
            ] {
                let result = try SnapTool.attempt([command, "--help"])
                #expect(
                    result.status == 0 && result.errorText == ""
                        && result.text.contains("Example: etcd-snap \(command)"))
            }
            #expect(try SnapTool.run(["--version"]).text.hasPrefix("etcd-snap "))
            for shell in ["bash", "zsh", "fish"] {
                #expect(try SnapTool.run(["completion", shell]).text.contains("etcd-snap"))
            }
            #expect(try SnapTool.attempt([]).text.contains("backup"))
        }

        @Test func aPasswordInTheArgumentsIsRefused() throws {
            let result = try SnapTool.attempt(["backup", "-r", key.recipient, "--user", "root:swordfish"] + store)
            #expect(result.status == 2 && result.errorText.contains("--password-file"))
            #expect(!result.errorText.contains("swordfish"))
            let lone = try SnapTool.attempt(["backup", "-r", key.recipient, "--user", "root"] + store)
            expectFailure(lone, 2, naming: "root")
        }

        @Test func recipients() throws {
            let backup = ["backup", "--endpoints", "http://127.0.0.1:1"] + store
            expectFailure(try SnapTool.attempt(backup), 2, naming: "recipient")
            let misspelt = "age1" + String(key.recipient.dropFirst(4).reversed())
            expectFailure(try SnapTool.attempt(backup + ["-r", misspelt]), 2, naming: "recipient")
            expectFailure(try SnapTool.attempt(backup + ["-r", "hello"]), 2, naming: "recipient")
            let file = try directory.write("\(key.recipient)\n# fine\nhello\n", to: "recipients.txt")
            expectFailure(try SnapTool.attempt(backup + ["-R", file]), 2, naming: "recipients.txt", "line 3")
            let missing = directory.file("missing.txt")
            expectFailure(try SnapTool.attempt(backup + ["-R", missing]), 4, naming: "missing.txt")
            try expectFailureDocument(SnapTool.attempt(backup + ["-o", "json"]), 2, naming: "recipient")
        }

        /// A private key in a wrong place is told apart, and not shown.
        @Test func anIdentityAsRecipient() throws {
            let lines = try String(contentsOfFile: key.path, encoding: .utf8).split(separator: "\n")
            let secret = String(lines.first { $0.hasPrefix("AGE-SECRET-KEY-1") } ?? "")
            #expect(secret.count > 60)
            let backup = ["backup", "--endpoints", "http://127.0.0.1:1"] + store
            let commands = [
                ["-r", secret], ["-r", secret.lowercased()], ["-R", key.path], ["-r", secret, "-o", "json"],
            ]
            for arguments in commands {
                let result = try SnapTool.attempt(backup + arguments)
                #expect(result.status == 2, "\(result.errorText)")
                let text = (result.errorText + result.text).uppercased()
                #expect(
                    !text.contains(secret.prefix(24)) && !text.contains(secret.suffix(8)), "\(arguments.dropFirst(2))")
                #expect(text.contains("IDENTITY") || text.contains("PRIVATE") || text.contains("SECRET"), "\(text)")
            }
        }

        @Test func configuration() throws {
            let backup = ["backup", "--endpoints", "http://127.0.0.1:1", "-r", key.recipient] + store
            func attempt(_ yaml: String) throws -> CommandResult {
                try SnapTool.attempt(backup + ["--config", try directory.write(yaml, to: "config.yaml")])
            }
            expectFailure(try attempt("stor: /x\n"), 2, naming: "config.yaml", "\"stor\"", "line 1")
            expectFailure(
                try attempt("store: /x\netcd:\n  passwort: x\n"), 2, naming: "config.yaml", "passwort", "line 3")
            expectFailure(try attempt("etcd: [\n"), 2, naming: "config.yaml", "line")
            expectFailure(try attempt("include: 5\n"), 2, naming: "config.yaml", "include")
            expectFailure(try attempt("- a\n- b\n"), 2, naming: "config.yaml", "mapping")
            let missing = directory.file("missing.yaml")
            expectFailure(try SnapTool.attempt(backup + ["--config", missing]), 4, naming: "missing.yaml")
        }

        @Test func aConfigurationFileIsEnough() throws {
            let server = try Laboratory.shared().server(.v3_5)
            let pki = try Laboratory.shared().pki()
            let tree = directory.file("tree")
            try run("mkdir", [tree])
            try "x".write(toFile: "\(tree)/taken", atomically: false, encoding: .utf8)
            try "x".write(toFile: "\(tree)/left.tmp", atomically: false, encoding: .utf8)
            let file = try directory.write(
                """
                cluster: prod
                node: cp-1
                store: \(directory.file("store"))
                recipients: [\(key.recipient)]
                include: [\(tree)]
                exclude: ['*.tmp']
                discover: false
                hostFacts: false
                etcd:
                  name: main
                  endpoints: ["\(server.clientURL)"]
                  cacert: \(pki.caPath)
                  cert: \(pki.client.certificatePath)
                  key: \(pki.client.keyPath)
                """, to: "config.yaml")
            let report = try SnapTool.json(["backup", "--config", file])
            #expect(report.reference.string.hasPrefix("prod/cp-1/"))
            let manifest = try SnapTool.json(["describe", "--config", file, "-i", key.path]).manifest
            let paths = manifest.entries.array.map(\.path.string)
            #expect(paths.contains("etcd/main.db") && paths.contains("files\(tree)/taken"))
            #expect(!paths.contains { $0.hasSuffix("left.tmp") })
        }

        @Test func references() throws {
            let server = try Laboratory.shared().server(.v3_4)
            let store = try TestStore(server)
            expectFailure(try SnapTool.attempt(["verify", "--store", directory.file("none")]), 4, naming: "none")
            try store.makeBackup()
            try store.makeBackup()
            let names = try store.names()
            for command in [
                ["verify"], ["describe"], ["download"], ["restore", "-i", key.path, "--target", "/nowhere/x"],
            ] {
                let command = command + store.flags
                expectFailure(
                    try SnapTool.attempt(command + ["19990101T000000Z-aaaaaa"]), 4, naming: "19990101T000000Z-aaaaaa")
                expectFailure(try SnapTool.attempt(command + ["20"]), 2, naming: "20", "2 backups")
                expectFailure(try SnapTool.attempt(command + ["a/b"]), 2, naming: "a/b")
            }
            try expectFailureDocument(SnapTool.attempt(["verify", "20", "-o", "json"] + store.flags), 2, naming: "20")
            let id = names[0].prefix { $0 != "." }
            for reference in [String(id), String(id.dropLast(1)), "test/node/\(id)", "latest"] {
                try SnapTool.run(["verify", reference, "--store", store.root])
            }
        }

        @Test func namesThatCannotBeDirectories() throws {
            let backup = ["backup", "-r", key.recipient, "--endpoints", "http://127.0.0.1:1"] + store
            for name in ["../x", "a/b", "", ".", ".hidden", "a b", "x\u{1B}[31m"] {
                let result = try SnapTool.attempt(backup + ["--cluster", name])
                expectFailure(result, 2, naming: "cluster")
                #expect(!result.errorText.contains("\u{1B}"))
                #expect(try SnapTool.attempt(backup + ["--name", name]).status == 2, "\(name)")
            }
            #expect(!FileManager.default.fileExists(atPath: directory.file("store")))
        }

        /// What is missing is said, and the rest is kept.
        @Test func aMissingIncludeIsAFinding() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            let present = try directory.write("x", to: "present")
            let missing = directory.file("missing")
            let result = try SnapTool.attempt(store.backup(["--include", missing, "--include", present, "-o", "json"]))
            #expect(result.status == 3, "\(result.errorText)")
            #expect(result.errorText.contains(missing))
            let report = try JSON(result.output)
            #expect(report.findings.array.map(\.code.string) == ["reference-missing"])
            #expect(report.findings[0].subject.string == missing)
            #expect(report.sidecar.findingCount.int == 1)
            try SnapTool.run(["verify", "-i", key.path] + store.flags)
            let described = try SnapTool.run(["describe", "-i", key.path] + store.flags).text
            #expect(described.contains(missing) && described.contains(present))
        }
    }
}
