import Foundation
import TestSupport
import Testing

extension Integration {
    /// Limits under which libraries abort are refused before anything is done, with the number that is enough.
    @Suite struct ResourceLimitTests {
        private func under(_ limit: String, _ arguments: [String]) throws -> CommandResult {
            try RunningCommand(
                "bash", ["-c", "ulimit \(limit); exec \"$@\"", "bash", SnapTool.executable()] + arguments,
                environment: ["NO_COLOR": "1"]
            ).wait()
        }

        private func commands(_ store: TestStore, _ number: String) -> [[String]] {
            let identity = ["-i", store.key.path] + store.flags
            let data = ["--data-dir", store.directory.file("data\(number)")]
            return [
                store.backup(), ["verify", "latest"] + identity, ["describe", "latest"] + identity,
                ["restore", "latest", "--target", store.directory.file("all\(number)")] + identity,
                ["restore", "etcd", "latest", "--name", "m0", "--initial-cluster", "m0=http://127.0.0.1:1"] + data
                    + identity,
                ["list"] + store.flags, ["keygen", "-o", store.directory.file("key\(number)")],
            ]
        }

        @Test(arguments: [("-v 300000", "512 MiB"), ("-v 524287", "512 MiB"), ("-n 12", "64"), ("-n 63", "64")])
        func tooLittleIsRefusedAtTheStart(limit: String, needed: String) throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            let first = try under(limit, store.backup())
            expectFailure(first, 1, naming: needed)
            #expect(!FileManager.default.fileExists(atPath: store.root))
            try store.makeBackup()
            let before = try listing(store.directory.path)
            for command in commands(store, "") {
                let result = try under(limit, command)
                expectFailure(result, 1, naming: needed)
                #expect(result.errorText.split(separator: "\n").count == 2, "\(result.errorText)")
                #expect(result.errorText.contains("ulimit \(limit.prefix(2))"))
            }
            let document = try under(limit, ["list", "-o", "json"] + store.flags)
            try expectFailureDocument(document, 1, naming: needed)
            #expect(try listing(store.directory.path) == before)
        }

        /// The numbers that are named are enough, and a soft limit is raised.
        @Test(arguments: ["-v 524288", "-n 64", "-S -n 12", "-S -v 300000"])
        func whatIsNamedIsEnough(_ limit: String) throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            for command in commands(store, "1") {
                let result = try under(limit, command)
                #expect(result.status == 0, "\(command[0]): \(result.errorText)")
            }
        }
    }
}
