import Foundation
import TestSupport
import Testing

extension Integration {
    /// A removal makes room, so it must not need any.
    @Suite(.timeLimit(.minutes(45))) struct FullStoreTests {
        /// What a full or small store lacks is told in figures that the archive then has, with and without a database.
        @Test func theSizeOfAnArchiveCountsItsFiles() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            let files = store.directory.file("files")
            try shell("mkdir \"$1\"; head -c 300000 /dev/urandom >\"$1/file\"", files)
            let flags = ["--include", files]
            let full = try TemporaryDirectory()
            try shell("mount -t tmpfs -o size=64k none \"$1\"", full.path)
            defer { _ = try? run("umount", ["--lazy", full.path], allowsFailure: true) }
            for more in [["--no-etcd"], ["--no-etcd", "--dry-run"]] {
                let arguments = ["backup", "-r", store.key.recipient, "--store", full.path] + flags + more
                let result = try SnapTool.attempt(arguments)
                #expect(result.status == 6, "\(result.errorText)")
                let expected = try #require(result.errorText.firstMatch(of: /need about ([0-9]+) bytes/)?.output.1)
                #expect(try #require(Int(expected)) > 300_000, "\(result.errorText)")
            }
            // With both, after an archive of files alone and after one of both.
            let database = try SnapTool.json(store.backup(flags)).path.string
            let size = try #require(
                FileManager.default.attributesOfItem(atPath: database)[.size] as? NSNumber
            ).doubleValue
            for next in [["--no-etcd"], []] {
                let doctor = ["doctor"] + store.backup(flags).dropFirst()
                let text = try SnapTool.attempt(doctor).text
                let expected = try #require(text.firstMatch(of: /an archive needs about ([0-9]+)/)?.output.1)
                let ratio = try #require(Double(expected)) / size
                #expect((0.8...1.5).contains(ratio), "\(text)")
                guard next == ["--no-etcd"] else { continue }
                let servers = Set(store.server.flags())
                let alone = store.backup(flags + ["--no-etcd"]).filter { !servers.contains($0) }
                #expect(try [0, 3].contains(SnapTool.attempt(alone).status))
            }
        }

        @Test func aStoreWithoutAFreeByteLetsDeleteWork() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            try store.makeBackup()
            try store.makeBackup()
            let place = try TemporaryDirectory()
            // A file system of its own, in a mount namespace that ends with the script.
            let script = """
                set -e
                mount -t tmpfs -o size=8m none "$1"
                cp -a "$2/." "$1"
                cat /dev/zero >"$1/filler" 2>/dev/null || true
                "$3" delete latest --yes --store "$1" --cluster test --node node
                rm "$1/filler"
                "$3" list --store "$1"
                """
            let result = try run(
                "unshare", ["-m", "sh", "-c", script, "sh", place.path, store.root, try SnapTool.executable()],
                allowsFailure: true)
            #expect(result.status == 0, "\(result.errorText)")
        }
    }
}
