import Foundation
import TestSupport
import Testing

extension Integration {
    /// The store is full, read-only, taken or no store at all.
    @Suite struct StoreFaultTests {
        /// A small file system in memory, for root only.
        private final class SmallFileSystem {
            let directory: TemporaryDirectory
            var path: String { directory.file("mount") }

            init(kibibytes: Int) throws {
                directory = try TemporaryDirectory()
                try run("mkdir", ["-m", "0700", directory.file("mount")])
                try run(
                    "mount", ["-t", "tmpfs", "-o", "mode=0700,size=\(kibibytes)k", "tmpfs", directory.file("mount")])
            }

            deinit { _ = try? run("umount", ["--lazy", directory.file("mount")], allowsFailure: true) }

            func remount(_ option: String) throws { try run("mount", ["-o", "remount,\(option)", path]) }
        }

        private static let isRoot = geteuid() == 0

        /// Too small from the start; full for others' sake after 16 MiB; full altogether.
        @Test(.enabled(if: isRoot, "mounting needs root"), arguments: [2000, 16_600, 20_000])
        func theStoreIsFull(kibibytes: Int) throws {
            let fileSystem = try SmallFileSystem(kibibytes: kibibytes)
            let store = try TestStore(Laboratory.shared().bulkServer(.v3_5), root: fileSystem.path)
            let result = try SnapTool.attempt(store.backup())
            expectFailure(result, 6, naming: fileSystem.path)
            try store.expectEmpty()
            expectFailure(try SnapTool.attempt(["list"] + store.flags), 4, naming: store.root)
            try fileSystem.remount("size=200000k")
            try store.expectNextRunSucceeds()
        }

        @Test(.enabled(if: isRoot, "mounting needs root"))
        func theTargetOfARestoreIsFull() throws {
            let store = try TestStore(Laboratory.shared().bulkServer(.v3_5))
            try store.makeBackup()
            let fileSystem = try SmallFileSystem(kibibytes: 20_000)
            let target = "\(fileSystem.path)/restored"
            let restore = ["restore", "-i", store.key.path, "--target", target] + store.flags
            expectFailure(try SnapTool.attempt(restore), 6, naming: fileSystem.path)
            #expect(try FileManager.default.contentsOfDirectory(atPath: fileSystem.path) == [])
            expectFailure(
                try SnapTool.attempt(["download", "latest", fileSystem.path] + store.flags), 6, naming: fileSystem.path)
            #expect(try FileManager.default.contentsOfDirectory(atPath: fileSystem.path) == [])
            let output = try shell(
                "set +e; \"$1\" download latest - --store \"$2\" >\"$3/x\"; echo $? >&2; rm \"$3/x\"",
                SnapTool.executable(), store.root, fileSystem.path)
            #expect(output.errorText.contains("standard output") && output.errorText.hasSuffix("6\n"))
        }

        @Test(.enabled(if: isRoot, "mounting needs root"))
        func theStoreIsReadOnly() throws {
            let fileSystem = try SmallFileSystem(kibibytes: 20_000)
            let store = try TestStore(Laboratory.shared().server(.v3_4), root: fileSystem.path)
            try fileSystem.remount("ro")
            expectFailure(try SnapTool.attempt(store.backup()), 1, naming: fileSystem.path)
            try fileSystem.remount("rw")
            try store.expectNextRunSucceeds()
            try fileSystem.remount("ro")
            let result = try SnapTool.attempt(store.backup())
            expectFailure(result, 1, naming: fileSystem.path)
            #expect(result.errorText.contains("read-only"))
            // What is there can still be used.
            try SnapTool.run(["list"] + store.flags)
            try SnapTool.run(["verify", "-i", store.key.path] + store.flags)
            expectFailure(
                try SnapTool.attempt(["delete", "latest", "--yes"] + store.flags), 1, naming: fileSystem.path)
            #expect(try store.names().count == 2)
        }

        /// A limit on the size of files is an error like another and no crash.
        @Test func filesMayNotGrow() throws {
            let store = try TestStore(Laboratory.shared().bulkServer(.v3_4))
            let result = try RunningCommand(
                "bash", ["-c", "ulimit -f 10000; exec \"$@\"", "test", SnapTool.executable()] + store.backup()
            ).wait()
            #expect(result.status == 1 || result.status == 6, "status \(result.status): \(result.errorText)")
            #expect(result.errorText.contains("error: "))
            try store.expectEmpty()
            try store.expectNextRunSucceeds()
        }

        @Test func theStoreIsNoDirectory() throws {
            let directory = try TemporaryDirectory()
            let file = try directory.write("x", to: "file")
            let server = try Laboratory.shared().server(.v3_5)
            for root in [file, "\(file)/below"] {
                let store = try TestStore(server, root: root)
                expectFailure(try SnapTool.attempt(store.backup()), 1, naming: file, hasHint: false)
                expectFailure(try SnapTool.attempt(["list"] + store.flags), 1, naming: file, hasHint: false)
            }
        }

        @Test func aDirectoryCannotBeRead() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            let id = try store.makeBackupID()
            let bad = "\(store.root)/test/bad"
            try run("cp", ["-a", store.scopeDirectory, bad])
            func attempt(_ arguments: [String]) throws -> CommandResult {
                let fault = ["-f", "-qq", "-o", "/dev/null", "-P", bad, "-e", "inject=openat:error=EIO:when=1"]
                let command = arguments + ["--store", store.root, "--cluster", "test"]
                return try RunningCommand("strace", fault + [SnapTool.executable()] + command).wait()
            }
            let list = try attempt(["list"])
            #expect(list.status == 1 && list.text.contains(id) && list.errorText.contains(bad), "\(list.errorText)")
            // It may be there; what is somewhere else can be had.
            for missing in ["latest", "2000"] {
                expectFailure(try attempt(["verify", missing]), 1, naming: bad, hasHint: false)
            }
            #expect(try attempt(["verify", id]).status == 0)
        }

        /// The only sidecar of an archive, under its temporary name: it stays until it can be read.
        @Test func aPendingSidecarCannotBeRead() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            let archive = try store.makeBackup()
            let id = TestStore.id(of: archive)
            let pending = "\(store.scopeDirectory)/.pending-\(id).json"
            try run("mv", [sidecar(of: archive), pending])
            let fault = ["-f", "-qq", "-o", "/dev/null", "-P", pending, "-e", "inject=openat:error=EIO"]
            func attempt(_ arguments: [String]) throws -> CommandResult {
                try RunningCommand("strace", fault + [SnapTool.executable()] + arguments).wait()
            }
            let list = try attempt(["list"] + store.flags)
            #expect(list.status == 1 && list.errorText.contains(pending), "\(list.errorText)")
            let backup = try attempt(store.backup())
            #expect(backup.status == 3 && backup.errorText.contains(pending), "\(backup.errorText)")
            #expect(backup.errorText.contains("backup-unreadable"))
            #expect(access(pending, F_OK) == 0)
            try store.expectNextRunSucceeds()
            #expect(try SnapTool.json(["list"] + store.flags).array.count == 3)
            try SnapTool.run(["verify", id, "-i", store.key.path] + store.flags)
        }

        @Test func removalsOfSeveral() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            let id = try store.makeBackupID()
            let other = ["--store", store.root, "--cluster", "test", "--node", "other"]
            let configuration = ["--config", try Laboratory.shared().plainConfiguration]
            let backup = ["backup", "-r", store.key.recipient] + configuration + store.server.flags() + other
            let reference = try SnapTool.json(backup).reference.string
            let delete = ["delete", id, reference, id.dropLast().description, "--yes", "--store", store.root]
            let (holder, lock) = try store.holdLock(node: "other")
            expectFailure(try SnapTool.attempt(delete), 5, naming: lock)
            #expect(try SnapTool.json(["list", "--store", store.root]).array.count == 2)
            holder.stop()
            #expect(try SnapTool.json(delete).deleted.array.map(\.string) == ["test/node/\(id)", reference])
            #expect(try SnapTool.attempt(["list", "--store", store.root]).status == 4)
        }

        @Test func anotherRunIsThere() throws {
            let store = try TestStore(Laboratory.shared().bulkServer(.v3_4))
            try store.makeBackup()
            let valve = try Valve(to: store.server.clientPort, limit: 8_000_000)
            defer { valve.close() }
            let first = try SnapTool.start(store.backup(port: valve.port))
            try valve.waitUntilHeld { first.isRunning }
            let before = try store.names()
            expectFailure(try SnapTool.attempt(store.backup()), 5, naming: "process \(first.processID)", store.root)
            try expectFailureDocument(SnapTool.attempt(store.backup(["-o", "json"])), 5, naming: "\(first.processID)")
            expectFailure(try SnapTool.attempt(["delete", "latest", "--yes"] + store.flags), 5, naming: store.root)
            #expect(try store.names() == before)
            // Readers and other nodes are not in its way.
            #expect(try SnapTool.json(["list"] + store.flags).array.count == 1)
            try SnapTool.run(["verify", "-i", store.key.path] + store.flags)
            let other = [
                "-r", store.key.recipient, "--store", store.root, "--cluster", "test", "--node", "other",
            ]
            let plain = ["backup", "--config", try Laboratory.shared().plainConfiguration]
            try SnapTool.run(plain + other + store.server.flags())
            valve.open()
            #expect(try first.wait().status == 0)
            #expect(try SnapTool.json(["list"] + store.flags).array.count == 2)
            try store.expectNextRunSucceeds()
        }
    }
}
