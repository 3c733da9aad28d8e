import Foundation
import TestSupport
import Testing

extension Integration {
    /// What is said is what happened: of a report that nobody could read, of a question that was broken off, of a level that
    /// was not reached.
    @Suite struct WhatHappenedTests {
        private let store: TestStore
        private var directory: TemporaryDirectory { store.directory }

        init() throws { store = try TestStore(Laboratory.shared().server(.v3_5)) }

        /// Runs a command whose standard output takes nothing.
        private func unheard(_ arguments: [String]) throws -> CommandResult {
            try run(
                "sh", ["-c", "exec \"$@\" >/dev/full", "sh", try SnapTool.executable()] + arguments, allowsFailure: true
            )
        }

        @Test(arguments: ["table", "json"])
        func aReportThatCannotBeWritten(format: String) throws {
            let output = ["-o", format]
            let backup = try unheard(store.backup(["-q"] + output))
            let names = try store.names()
            #expect(names.count == 2)
            let id = try #require(names.first).prefix { $0 != "." }
            expectDone(backup, "published", String(id))
            let target = directory.file("restored")
            expectDone(
                try unheard(["restore", "latest", "-i", store.key.path, "--target", target] + store.flags + output),
                target)
            #expect(FileManager.default.fileExists(atPath: "\(target)/etcd/etcd.db"))
            let data = directory.file("data")
            expectDone(
                try unheard(
                    ["restore", "etcd", "latest", "-i", store.key.path, "--data-dir", data] + store.flags + output),
                data)
            let copy = directory.file("copy.tar.zst.age")
            expectDone(try unheard(["download", "latest", copy] + store.flags + output), "copy.tar.zst.age")
            #expect(FileManager.default.fileExists(atPath: copy))
            try run("rm", ["\(store.scopeDirectory)/\(id).json"])
            expectDone(
                try unheard(["adopt", String(id), "-i", store.key.path] + store.flags + output), "adopted", String(id))
            // A report alone that can't be written is an error.
            #expect(try unheard(["list"] + store.flags + output).status == 6)
            expectDone(try unheard(["delete", "latest", "--yes"] + store.flags + output), "deleted", String(id))
            try store.expectEmpty()
        }

        /// Done, with something that needs attention: what was done, and that the report is missing.
        private func expectDone(
            _ result: CommandResult, _ words: String..., sourceLocation: SourceLocation = #_sourceLocation
        ) {
            #expect(result.status == 3, "\(result.errorText)", sourceLocation: sourceLocation)
            for word in words + ["standard output", "warning: "] {
                #expect(result.errorText.contains(word), "\(word): \(result.errorText)", sourceLocation: sourceLocation)
            }
            #expect(!result.errorText.contains("error: "), "\(result.errorText)", sourceLocation: sourceLocation)
        }

        @Test func aQuestionThatIsBrokenOff() throws {
            let included = try directory.write("x", to: "included")
            try store.makeBackup(["--include", included])
            let tool = try SnapTool.executable()
            let flags = store.flags.joined(separator: " ")
            try run("mkdir", [directory.file("root")])
            let protected = directory.file("protected.txt")
            try directory.write("secret", to: "passphrase.txt")
            try SnapTool.run(["keygen", "-o", protected, "--passphrase-file", directory.file("passphrase.txt")])
            for (command, question, words) in [
                ("delete latest \(flags)", "[y/N]", "nothing was removed"),
                (
                    "restore files latest -i \(store.key.path) --in-place --root \(directory.file("root")) --this-node node \(flags)",
                    "Type yes", "nothing was restored"
                ),
                ("verify latest -i \(protected) \(flags)", "Enter passphrase", "nothing was changed"),
                ("keygen -p -o \(directory.file("new.txt"))", "new passphrase", "nothing was changed"),
            ] {
                let result = try PseudoTerminal.run("exec \(tool) \(command)", answers: [(question, "\u{3}")])
                #expect(result.status == 130, "\(command): \(result.text)")
                #expect(result.text.contains(words), "\(command): \(result.text)")
                #expect(!result.text.contains("unfinished"), "\(command): \(result.text)")
            }
            #expect(try store.names().count == 2)
            #expect(!FileManager.default.fileExists(atPath: directory.file("new.txt")))
        }

        @Test func levelsThatNeedAnEtcd() throws {
            let included = try directory.write("x", to: "included")
            let backup =
                ["backup", "-r", store.key.recipient, "--no-etcd", "--no-discover", "--include", included] + store.flags
            for level in ["structural", "consistent"] {
                expectFailure(try SnapTool.attempt(backup + ["--verify", level]), 2, naming: level, hasHint: false)
            }
            try store.expectEmpty()
            for level in ["streamed", "stored"] {
                let report = try SnapTool.json(backup + ["--verify", level])
                #expect(report.sidecar.verification.string == level)
            }
            for level in ["structural", "consistent"] {
                let configuration = try directory.write("verify: \(level)\n", to: "config.yaml")
                let result = try SnapTool.attempt(backup + ["--config", configuration])
                #expect(result.status == 0 && result.errorText.contains("not as \(level)"), "\(result.errorText)")
            }
            let plain = try SnapTool.run(backup)
            #expect(!plain.errorText.contains("warning"), "\(plain.errorText)")
        }

        /// What has the name of the record and is no file is a finding, as a damaged record is.
        @Test(arguments: ["mkdir", "mkfifo", "ln -s chain.json"])
        func aRecordThatIsNoFile(making: String) throws {
            try store.makeBackup()
            try run("sh", ["-ec", "cd '\(store.scopeDirectory)'; rm chain.json; \(making) chain.json"])
            let list = try SnapTool.attempt(["list", "--problems"] + store.flags)
            #expect(list.status == 3 && list.text.contains("chain.json"), "\(list.errorText)")
            let backup = try SnapTool.attempt(store.backup(["-o", "json"]))
            #expect(backup.status == 3, "\(backup.errorText)")
            #expect(try JSON(backup.output).findings.array.map(\.code.string).contains("backup-chain-unknown"))
            #expect(backup.errorText.contains("remove it"), "\(backup.errorText)")
            try SnapTool.run(["delete", "latest", "--yes"] + store.flags)
        }

        @Test func endpointsInArguments() throws {
            let backup = ["backup", "-r", store.key.recipient] + store.flags
            for endpoints in ["http://root:xyzzyplugh@127.0.0.1:1", "http://root:xyzzy,plugh@127.0.0.1:1"] {
                let result = try SnapTool.attempt(backup + ["--endpoints", endpoints])
                expectFailure(result, 2, naming: "password")
                #expect(result.errorText.contains("(--user, --password-file)"), "\(result.errorText)")
                #expect(
                    !result.errorText.contains("xyzzy") && !result.errorText.contains("plugh"), "\(result.errorText)")
            }
            let configuration = try directory.write(
                "etcd:\n  endpoints: ['http://root:swordfish@127.0.0.1:1']\n", to: "config.yaml")
            let result = try SnapTool.attempt(backup + ["--config", configuration])
            expectFailure(result, 2, naming: "etcd.endpoints.0")
            #expect(!result.errorText.contains("swordfish"))
            expectFailure(
                try SnapTool.attempt(backup + ["--endpoints", "http://a http://b"]), 2, naming: "a space")
        }
    }
}
