import Foundation
import TestSupport
import Testing

extension Integration {
    /// An archive is worth something without this program.
    @Suite struct OtherToolsTests {
        @Test(arguments: EtcdVersion.installed)
        func ageZstdAndTarOpenAnArchive(_ version: EtcdVersion) throws {
            let store = try TestStore(Laboratory.shared().server(version))
            let tree = try SourceTree.make(in: store.directory)
            let archive = try store.makeBackup(["--include", tree])
            let target = store.directory.file("opened")
            try shell(
                "mkdir \"$3\"; age -d -i \"$1\" \"$2\" | zstd -d | tar x -C \"$3\" --xattrs --xattrs-include='*' -p",
                store.key.path, archive, target)
            let restored = store.directory.file("restored")
            try SnapTool.run(["restore", "-i", store.key.path, "--target", restored] + store.flags)
            let database = try Data(contentsOf: URL(fileURLWithPath: "\(target)/etcd/etcd.db"))
            #expect(try database == Data(contentsOf: URL(fileURLWithPath: "\(restored)/etcd/etcd.db")))
            #expect(database.count > 32)
            let difference = try differences(tree, "\(target)/files\(tree)")
            #expect(difference == "")
            let manifest = try JSON(Data(contentsOf: URL(fileURLWithPath: "\(target)/manifest.json")))
            #expect(manifest.etcd[0].databaseSize.int == database.count - 32)
        }

        @Test(arguments: EtcdVersion.installed)
        func theSnapshotIsTheOneThatEtcdctlSaves(_ version: EtcdVersion) throws {
            let store = try TestStore(Laboratory.shared().server(version))
            // Another round wherever the member wrote something between our snapshot and etcdctl's.
            for round in 0..<10 {
                let saved = store.directory.file("saved\(round).db")
                let target = store.directory.file("restored\(round)")
                try store.makeBackup()
                try store.server.etcdctl("snapshot", "save", saved)
                try SnapTool.run(["restore", "-i", store.key.path, "--target", target, "--only", "etcd"] + store.flags)
                #expect(!FileManager.default.fileExists(atPath: "\(target)/files"))
                if try pages("\(target)/etcd/etcd.db") == pages(saved) { return }
            }
            Issue.record("no snapshot is like the one that etcdctl saves")
        }

        /// A snapshot without its two meta pages, which each reader writes anew, and without the digest over them.
        private func pages(_ path: String) throws -> Data {
            try Data(contentsOf: URL(fileURLWithPath: path)).dropFirst(2 * 4096).dropLast(32)
        }

        @Test func severalRecipientsOpenTheSameArchive() throws {
            let laboratory = try Laboratory.shared()
            let store = try TestStore(laboratory.server(.v3_5))
            let debian = store.directory.file("debian.txt")
            try run("age-keygen", ["-o", debian])
            let recipient = try run("age-keygen", ["-y", debian]).text.trimmingCharacters(in: .whitespacesAndNewlines)
            let other = try laboratory.key("other")
            try store.directory.write("# of the operators\n\(recipient)\n\n\(other.recipient)\n", to: "recipients.txt")
            let archive = try store.makeBackup(["-R", store.directory.file("recipients.txt")])
            var contents: [Data] = []
            for path in [store.key.path, debian, other.path] {
                contents.append(try SnapTool.run(["unseal", "-i", path, archive]).output)
                try SnapTool.run(["verify", "-i", path] + store.flags)
            }
            #expect(contents[0].count > 0 && contents.allSatisfy { $0 == contents[0] })
            try run("age", ["-d", "-i", debian, "-o", store.directory.file("opened"), archive])
        }

        /// age refuses to mix recipients that resist quantum computers with others, and so must we.
        @Test func hybridRecipientsStandAlone() throws {
            let hybrid = try Laboratory.shared().key("hybrid", flags: ["--pq"])
            let store = try TestStore(Laboratory.shared().server(.v3_4))
            expectFailure(try SnapTool.attempt(store.backup(["-r", hybrid.recipient])), 2, naming: "mlkem768x25519")
            try store.expectEmpty()
            let plain = ["backup", "--config", try Laboratory.shared().plainConfiguration]
            let own = plain + ["-r", hybrid.recipient] + store.server.flags() + store.flags
            let archive = try SnapTool.json(own).path.string
            try SnapTool.run(["verify", "-i", hybrid.path] + store.flags)
            expectFailure(try SnapTool.attempt(["unseal", "-i", store.key.path, archive]), 8, naming: archive)
        }
    }
}

/// Runs a pipeline of a shell, all of whose programs have to succeed; `arguments` are `$1` and so on.
@discardableResult
func shell(_ script: String, _ arguments: String..., input: Data? = nil) throws -> CommandResult {
    try run("bash", ["-euo", "pipefail", "-c", script, "test"] + arguments, input: input)
}
