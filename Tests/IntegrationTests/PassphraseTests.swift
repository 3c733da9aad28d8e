import Foundation
import TestSupport
import Testing

extension Integration {
    /// Passphrases that are asked for on the terminal, and never shown.
    @Suite struct PassphraseTests {
        private static let passphrase = "correct horse, battery"
        private let store: TestStore
        /// An identity that a passphrase protects, made by answers on a terminal.
        private let identity: String
        private let tool: String

        init() throws {
            store = try TestStore(Laboratory.shared().server(.v3_5))
            identity = store.directory.file("protected.txt")
            tool = try SnapTool.executable()
            let result = try PseudoTerminal.run(
                "\(tool) keygen -p -o \(identity)",
                answers: [("new passphrase for", Self.passphrase), ("again", Self.passphrase)])
            #expect(result.status == 0, "\(result.text)")
            #expect(!result.text.contains(Self.passphrase))
            let words = result.text.split { $0.isWhitespace }
            let recipient = String(words.last ?? "")
            #expect(recipient.hasPrefix("age1"))
            #expect(result.text.contains("Fingerprint: SHA256:"))
            try SnapTool.run(store.backup() + ["-r", recipient])
        }

        @Test(arguments: [
            "verify latest", "describe latest", "certs latest", "inspect status latest",
            "restore latest --target TARGET",
            "restore files latest --target TARGET", "keygen --show IDENTITY", "unseal ARCHIVE > TARGET",
        ])
        func areAskedFor(command: String) throws {
            let archive = try #require(try store.names().first { $0.hasSuffix(".age") })
            let arguments = command.replacing("TARGET", with: store.directory.file("target"))
                .replacing("ARCHIVE", with: "\(store.scopeDirectory)/\(archive)").replacing("IDENTITY", with: identity)
            let takesStore = !command.hasPrefix("keygen") && !command.hasPrefix("unseal")
            let flags = (takesStore ? " " + store.flags.joined(separator: " ") : "")
            let named = command.hasPrefix("keygen") ? "" : " -i \(identity)"
            let result = try PseudoTerminal.run(
                "\(tool) \(arguments)\(flags)\(named)", answers: [("Enter passphrase for", Self.passphrase)])
            #expect([0, 3, 4].contains(result.status), "\(result.text)")
            // This archive has neither files nor certificates.
            let hasNone = ["certs", "restore files"].contains { command.hasPrefix($0) }
            #expect(hasNone || result.status == 0, "\(result.text)")
            #expect(result.text.contains("protected.txt") && !result.text.contains(Self.passphrase))
        }

        @Test func aWrongOneIsSaid() throws {
            let result = try PseudoTerminal.run(
                "\(tool) verify latest -i \(identity) \(store.flags.joined(separator: " "))",
                answers: [("Enter passphrase for", "wrong horse")])
            #expect(result.status == 8 && result.text.contains("error: "), "\(result.text)")
            #expect(!result.text.contains("wrong horse"))
        }

        /// A file that is sealed with a passphrase itself needs no -i.
        @Test func aSealedFileIsAskedFor() throws {
            let result = try PseudoTerminal.run(
                "\(tool) unseal \(identity) > \(store.directory.file("opened"))",
                answers: [("Enter passphrase for", Self.passphrase)])
            #expect(result.status == 0, "\(result.text)")
            let opened = try String(contentsOfFile: store.directory.file("opened"), encoding: .utf8)
            #expect(opened.contains("AGE-SECRET-KEY-1"))
        }

        @Test(arguments: [("one", "two"), ("", "")])
        func aNewOneIsTypedTwice(first: String, second: String) throws {
            let path = store.directory.file("none.txt")
            let answers = [("new passphrase for", first)] + (first.isEmpty ? [] : [("again", second)])
            let result = try PseudoTerminal.run("\(tool) keygen -p -o \(path)", answers: answers)
            #expect(result.status == 2, "\(result.text)")
            #expect(!FileManager.default.fileExists(atPath: path))
        }

        /// Where nobody can be asked: an error that says what to do, for the timer and for pipes.
        @Test func withoutATerminalThatIsSaid() throws {
            func attempt(_ arguments: [String]) throws -> CommandResult {
                try RunningCommand("setsid", ["-w", tool] + arguments).wait(seconds: 60)
            }
            let verify = try attempt(["verify", "latest", "-i", identity] + store.flags)
            expectFailure(verify, 2, naming: "protected.txt", "no terminal")
            #expect(verify.errorText.contains("--passphrase-file"))
            expectFailure(try attempt(["keygen", "-p", "-o", store.directory.file("x.txt")]), 2, naming: "no terminal")
            expectFailure(try attempt(["unseal", identity]), 2, naming: "protected.txt")
        }

        /// Files of a passphrase remain, also as Windows writes them.
        @Test func filesRemain() throws {
            let path = try store.directory.write("\(Self.passphrase)\r\n", to: "passphrase.txt")
            try SnapTool.run(["verify", "latest", "-i", identity, "--passphrase-file", path] + store.flags)
            let wide = Data([0xFF, 0xFE]) + (try #require("\(Self.passphrase)\r\n".data(using: .utf16LittleEndian)))
            try wide.write(to: URL(filePath: store.directory.file("wide.txt")))
            try SnapTool.run(
                ["verify", "latest", "-i", identity, "--passphrase-file", store.directory.file("wide.txt")]
                    + store.flags)
        }

        /// A question that is interrupted leaves a terminal that shows what is typed.
        @Test func anInterruptedQuestionLeavesTheTerminalAsItWas() throws {
            let result = try PseudoTerminal.run(
                "stty -a | grep -o ' echo '; timeout -s INT --foreground 2 \(tool) keygen --show \(identity); "
                    + "stty -a | grep -o ' -*echo '")
            #expect(result.text.components(separatedBy: " echo ").count == 3, "\(result.text)")
        }
    }
}
