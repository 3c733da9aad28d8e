import Foundation
import TestSupport
import Testing

extension Integration {
    /// A store is in no other store: what is stored there would be listed by nobody.
    @Suite struct StorePlaceTests {
        private let store: TestStore
        private let archive: String
        private let included: String
        private var id: String { TestStore.id(of: archive) }

        init() throws {
            store = try TestStore(Laboratory.shared().server(.v3_5))
            archive = try store.makeBackup()
            included = try store.directory.write("x", to: "included")
        }

        private func backup(_ root: String) -> [String] {
            [
                "backup", "-r", store.key.recipient, "--no-etcd", "--no-discover", "--include", included, "--store",
                root,
                "--cluster", "other", "--node", "n",
            ]
        }

        @Test(arguments: [
            "store/test", "store/test/node", "store/test/node/sub", "store/new", "store/new/deeper/still",
            "store/test/new",
            "link", "store/a/../test",
        ])
        func notWithinAnother(path: String) throws {
            try run("ln", ["-s", "\(store.root)/test", store.directory.file("link")])
            let before = try store.contents().map(\.path)
            for more in [["--dry-run"], []] {
                let result = try SnapTool.attempt(backup(store.directory.file(path)) + more)
                expectFailure(result, 2, naming: "is within the store \"\(store.root)\"")
                #expect(result.errorText.contains("name that store"))
            }
            #expect(try store.contents().map(\.path) == before)
            let doctor = try SnapTool.attempt(
                ["doctor", "--no-discover", "-r", store.key.recipient, "--store", store.directory.file(path)])
            #expect(doctor.status == 3 && doctor.text.contains("is within the store"), "\(doctor.text)")
        }

        /// It would be within one from the first backup on.
        @Test func notAroundAnother() throws {
            let own = try TemporaryDirectory()
            try run("cp", ["-a", store.root, own.file("store")])
            let result = try SnapTool.attempt(backup(own.path))
            expectFailure(result, 2, naming: "its directory \"\(own.file("store"))\" is one")
        }

        @Test func storesBesideEachOther() throws {
            for name in ["store2", "store.d", "prod/node"] { try SnapTool.run(backup(store.directory.file(name))) }
            // Neither another program's record nor an archive that lies about makes a store of a directory.
            try shell(
                """
                cd "$1"; mkdir -p chain/a/b usb/test; echo '{"blocks": 7}' >chain/a/b/chain.json
                cp "$2" "$3" usb; cp -a "$4" usb/copied
                """, store.directory.path, archive, sidecar(of: archive), store.scopeDirectory)
            for name in ["chain/a", "chain/new", "usb/own"] { try SnapTool.run(backup(store.directory.file(name))) }
        }

        @Test func whatIsWithinAnotherStaysReadable() throws {
            try shell("cd \"$1\"; cp -a store inner; mv inner store/inner", store.directory.path)
            let flags = ["--store", "\(store.root)/inner"]
            #expect(try SnapTool.json(["list"] + flags)[0].archive.id.string == id)
            try SnapTool.run(["verify", "latest", "-i", store.key.path] + flags)
            let target = store.directory.file("restored")
            try SnapTool.run(["restore", "latest", "-i", store.key.path, "--target", target] + flags)
            expectFailure(try SnapTool.attempt(backup("\(store.root)/inner")), 2, naming: "is within the store")
            // The store around it goes on.
            try SnapTool.run(store.backup())
            try SnapTool.run(["delete", "latest", "--yes"] + flags)
        }

        @Test func noIdentityIsMadeInAStore() throws {
            for name in ["key.txt", "test/key.txt", "test/node/key.txt", "test/../new.txt"] {
                let result = try SnapTool.attempt(["keygen", "-o", "\(store.root)/\(name)"])
                expectFailure(result, 2, naming: "is within the store")
            }
            try run("ln", ["-s", store.scopeDirectory, store.directory.file("link")])
            expectFailure(
                try SnapTool.attempt(["keygen", "-o", store.directory.file("link/key.txt")]), 2,
                naming: "within the store")
            #expect(try store.names().count == 2)
            try SnapTool.run(["keygen", "-o", store.directory.file("key.txt")])
        }

        /// Also a store that no flag names: the archive's own, or any other.
        @Test func nothingIsRestoredIntoAStore() throws {
            for command in [["restore"], ["restore", "files"]] {
                let target = ["--target", "\(store.root)/restored"]
                let result = try SnapTool.attempt(command + [archive, "-i", store.key.path] + target)
                expectFailure(result, 2, naming: "is within the store")
            }
            expectFailure(
                try SnapTool.attempt(
                    ["restore", "etcd", archive, "-i", store.key.path, "--data-dir", "\(store.scopeDirectory)/data"]),
                2, naming: "is within the store")
        }

        /// Names as the store's directory shows them, from anywhere.
        @Test(arguments: [".tar.zst.age", ".json"])
        func fileNamesWithTheStore(suffix: String) throws {
            let elsewhere = store.directory.file("elsewhere")
            try run("mkdir", ["-p", "\(elsewhere)/test/node"])
            func inElsewhere(_ arguments: [String]) throws -> CommandResult {
                try run(
                    "sh", ["-c", "cd \"$0\" && exec \"$@\"", elsewhere, try SnapTool.executable()] + arguments,
                    allowsFailure: true)
            }
            let flags = ["--store", store.root]
            for name in ["\(id)\(suffix)", "test/node/\(id)\(suffix)"] {
                let verified = try inElsewhere(["verify", name, "-i", store.key.path] + flags)
                #expect(verified.status == 0, "\(verified.errorText)")
                let deleted = try inElsewhere(["delete", name, "--dry-run"] + flags)
                #expect(deleted.status == 0 && deleted.text.contains(id), "\(deleted.errorText)")
            }
            try run("rm", [sidecar(of: archive)])
            let adopted = try inElsewhere(["adopt", "\(id)\(suffix)", "-i", store.key.path] + flags)
            #expect(adopted.status == 0, "\(adopted.errorText)")
            // Of the configuration the store is known too.
            let config = try store.directory.write("store: \(store.root)\n", to: "config.yaml")
            let deleted = try inElsewhere(["delete", "\(id)\(suffix)", "--yes", "--config", config])
            #expect(deleted.status == 0, "\(deleted.errorText)")
            try store.expectEmpty()
            expectFailure(try inElsewhere(["delete", "\(id)\(suffix)", "--yes"]), 4, naming: "no file")
        }

        @Test func contradictionsAreRefused() throws {
            let second = try TestStore(Laboratory.shared().server(.v3_5))
            let other = try second.makeBackup()
            for arguments in [
                ["verify", "test/node/latest", "--cluster", "q", "--store", store.root],
                ["describe", "test/node/\(id)", "--node", "q", "--store", store.root],
                ["verify", archive, "--cluster", "q"], ["delete", archive, "--yes", "--node", "q"],
                ["delete", other, "--yes", "--store", store.root],
            ] {
                expectFailure(try SnapTool.attempt(arguments), 2, naming: "is named besides")
            }
            #expect(try store.names().count == 2 && second.names().count == 2)
            try SnapTool.run(["verify", archive, "--cluster", "test", "--node", "node", "--store", store.root])
            try SnapTool.run(["delete", other, "--yes", "--store", "\(second.root)/."])
        }

        @Test func directoriesBySlash() throws {
            let missing = store.directory.file("newdir/")
            expectFailure(
                try SnapTool.attempt(["download", "latest", missing] + store.flags), 2, naming: "there is no directory")
            expectFailure(
                try SnapTool.attempt(["download", "latest", "\(included)/"] + store.flags), 2, naming: "is no directory"
            )
            try run("mkdir", [missing])
            try SnapTool.run(["download", "latest", missing] + store.flags)
            #expect(FileManager.default.fileExists(atPath: "\(missing)\(id).json"))
            expectFailure(try SnapTool.attempt(["keygen", "-o", missing]), 2, naming: "is a directory")
        }
    }
}
