import Foundation
import TestSupport
import Testing

extension Integration {
    /// Every step of publishing and removing fails once, and kills the program once; strace does that to a system call.
    ///
    /// Whatever happens, the exit status and what is listed agree, and what was there before is there afterwards.
    @Suite struct CrashPointTests {
        /// A system call, and how many times one thread makes it at most.
        typealias Step = (call: String, count: Int)

        private static let publishing: [Step] = [
            ("mkdirat", 2), ("flock", 3), ("ftruncate", 1), ("fsync", 5), ("renameat2", 2),
        ]
        private static let removing: [Step] = [
            ("flock", 2), ("ftruncate", 1), ("renameat", 2), ("fsync", 3), ("unlinkat", 2),
        ]
        private static let downloading: [Step] = [("flock", 2), ("fsync", 5), ("renameat2", 2)]
        private static let errors = ["EIO", "ENOSPC", "EINTR", "EINVAL", "ENOLCK"]

        private func points(_ steps: [Step]) -> [(call: String, number: Int)] {
            steps.flatMap { step in (1...step.count).map { (step.call, $0) } }
        }

        private func attempt(
            _ arguments: [String], _ point: (call: String, number: Int), _ fault: String
        ) throws -> CommandResult {
            let inject = "inject=\(point.call):\(fault):when=\(point.number)"
            return try trace(arguments, ["-e", "trace=\(point.call)", "-e", inject])
        }

        private func trace(
            _ arguments: [String], _ options: [String], to file: String = "/dev/null"
        ) throws -> CommandResult {
            try RunningCommand(
                "strace", ["-f", "-qq", "-o", file] + options + [SnapTool.executable()] + arguments
            ).wait()
        }

        /// A store with one backup, to be copied.
        private func storeWithABackup() throws -> TestStore {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            try store.makeBackup()
            return store
        }

        /// A store with two backups and a copy of it, the ID of the one that stays and of the one to remove.
        private func storeWithABackupToRemove() throws -> (TestStore, copy: String, kept: [String], id: String) {
            let store = try storeWithABackup()
            let kept = try listed(store)
            let id = try store.makeBackupID()
            let copy = store.directory.file("copy")
            try run("cp", ["-a", store.root, copy])
            return (store, copy, kept, id)
        }

        private func reset(_ store: TestStore, to copy: String) throws {
            try run("rm", ["-rf", store.root])
            try run("cp", ["-a", copy, store.root])
        }

        /// The IDs that are listed, when nothing is said to be wrong.
        private func listed(_ store: TestStore) throws -> [String] {
            let list = try SnapTool.attempt(["list", "-o", "json"] + store.flags)
            #expect((list.status == 0 && list.errorText == "") || list.status == 4, "\(list.errorText)")
            return try JSON(list.output).array.map(\.archive.id.string)
        }

        // MARK: Publishing

        @Test func backupsKilledAtEveryStep() throws {
            var killCount = 0
            for point in points(Self.publishing) {
                let store = try TestStore(Laboratory.shared().server(.v3_4))
                let result = try attempt(store.backup(), point, "signal=SIGKILL")
                guard result.status != 0 else { continue }
                killCount += 1
                #expect(result.status == SIGKILL, "\(point): \(result.errorText)")
                let before = try listed(store)
                if !before.isEmpty { try SnapTool.run(["verify", "-i", store.key.path] + store.flags) }
                try store.expectNextRunSucceeds()
                #expect(try listed(store).dropLast() == before[...], "\(point)")
            }
            #expect(killCount >= 12)
        }

        @Test(arguments: errors)
        func backupsFailAtEveryStep(_ error: String) throws {
            let store = try storeWithABackup()
            let copy = store.directory.file("copy")
            try run("cp", ["-a", store.root, copy])
            var failureCount = 0
            for point in points(Self.publishing) {
                try reset(store, to: copy)
                let before = try listed(store)
                let result = try attempt(store.backup(), point, "error=\(error)")
                let after = try listed(store)
                #expect(after.count == before.count + (result.status == 0 ? 1 : 0), "\(point): \(result.errorText)")
                let names = try store.names()
                #expect(names.count == 2 * after.count, "\(point): \(names)")
                guard result.status != 0 else { continue }
                failureCount += 1
                expectFailure(
                    result, error == "ENOSPC" ? 6 : 1, naming: store.directory.path,
                    hasHint: ["ENOSPC", "ENOLCK"].contains(error))
                #expect(after == before)
            }
            #expect(error == "EINTR" ? failureCount == 0 : failureCount >= 5)
            try store.expectNextRunSucceeds()
        }

        /// What can't be removed when publishing fails stays whole, also where a second attempt would remove it.
        @Test func aWithdrawalFailsOnce() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_4))
            let faults = [
                "trace=renameat2,unlinkat", "inject=renameat2:error=EIO:when=2", "inject=unlinkat:error=EIO:when=1",
            ]
            let result = try trace(store.backup(), faults.flatMap { ["-e", $0] })
            #expect(result.status == 1, "\(result.errorText)")
            #expect(try listed(store).count == 1)
            try SnapTool.run(["verify", "-i", store.key.path] + store.flags)
            try store.expectNextRunSucceeds()
            #expect(try listed(store).count == 2)
        }

        // MARK: Removing

        /// Removes the newer of two backups at every step with a fault, and has `check` look at the store after a failure.
        ///
        /// - Returns: how many removals failed.
        private func removals(
            _ fault: String,
            _ check: (_ store: TestStore, _ result: CommandResult, _ before: (kept: [String], id: String)) throws ->
                Void
        ) throws -> Int {
            let (store, copy, kept, id) = try storeWithABackupToRemove()
            var failureCount = 0
            for point in points(Self.removing) {
                try reset(store, to: copy)
                let result = try attempt(["delete", id, "--yes"] + store.flags, point, fault)
                let listed = try listed(store)
                #expect(listed == kept || listed == kept + [id], "\(point)")
                guard result.status != 0 else {
                    #expect(listed == kept, "\(point)")
                    continue
                }
                failureCount += 1
                try check(store, result, (kept, id))
                #expect(try self.listed(store) == kept, "\(point)")
                #expect(try store.names().count == 2, "\(point)")
            }
            return failureCount
        }

        @Test func removalsKilledAtEveryStep() throws {
            let killCount = try removals("signal=SIGKILL") { store, result, before in
                #expect(result.status == SIGKILL, "\(result.errorText)")
                // What was removed to the last file is not found; everything else comes to its end.
                let names = try store.names()
                let again = try SnapTool.attempt(["delete", before.id, "--yes"] + store.flags)
                #expect(again.status == (names.count == 2 ? 4 : 0), "\(again.errorText)")
            }
            #expect(killCount >= 9)
        }

        @Test(arguments: errors)
        func removalsFailAtEveryStep(_ error: String) throws {
            let failureCount = try removals("error=\(error)") { store, result, before in
                #expect(try listed(store) == before.kept + [before.id], "\(result.errorText)")
                #expect(try store.names().count == 4)
                try SnapTool.run(["verify", before.id, "-i", store.key.path] + store.flags)
                try SnapTool.run(["delete", before.id, "--yes"] + store.flags)
            }
            #expect(error == "EINTR" ? failureCount == 0 : failureCount >= 3)
        }

        // MARK: Downloading

        @Test func downloadsKilledAtEveryStep() throws {
            let store = try storeWithABackup()
            let names = try store.names()
            var killCount = 0
            for point in points(Self.downloading) {
                let target = try TemporaryDirectory()
                let download = ["download", "latest", target.path] + store.flags
                let result = try attempt(download, point, "signal=SIGKILL")
                guard result.status != 0 else { continue }
                killCount += 1
                let left = try FileManager.default.contentsOfDirectory(atPath: target.path).sorted()
                let again = try SnapTool.attempt(download)
                // What was whole already is there.
                #expect(again.status == (left == names ? 1 : 0), "\(point): \(again.errorText)")
                #expect(try FileManager.default.contentsOfDirectory(atPath: target.path).sorted() == names, "\(point)")
                for name in names {
                    try run("cmp", ["\(store.scopeDirectory)/\(name)", target.file(name)])
                }
            }
            #expect(killCount >= 8)
        }

        @Test(arguments: errors)
        func downloadsFailAtEveryStep(_ error: String) throws {
            let store = try storeWithABackup()
            let names = try store.names()
            for point in points(Self.downloading) {
                let target = try TemporaryDirectory()
                let result = try attempt(["download", "latest", target.path] + store.flags, point, "error=\(error)")
                let left = try FileManager.default.contentsOfDirectory(atPath: target.path).sorted()
                #expect(left == (result.status == 0 ? names : []), "\(point): \(left)")
                #expect(error != "EINTR" || result.status == 0, "\(point): \(result.errorText)")
            }
        }

        // MARK: Adopting

        @Test(arguments: errors + ["SIGKILL"])
        func adoptionsEndAtEveryStep(_ fault: String) throws {
            let store = try storeWithABackup()
            let names = try store.names()
            let copy = store.directory.file("copy")
            let id = try #require(listed(store).first)
            try run("rm", ["\(store.scopeDirectory)/\(id).json"])
            try run("cp", ["-a", store.root, copy])
            let adopt = ["adopt", id, "-i", store.key.path] + store.flags
            let isKill = fault == "SIGKILL"
            var faultCount = 0
            for point in points([("flock", 2), ("fsync", 2), ("renameat2", 1)]) {
                try reset(store, to: copy)
                let result = try attempt(adopt, point, isKill ? "signal=\(fault)" : "error=\(fault)")
                if result.status != 0 { faultCount += 1 }
                let left = try store.names()
                #expect(isKill || left == (result.status == 0 ? names : Array(names.suffix(1))), "\(point): \(left)")
                let isAdopted =
                    try JSON(SnapTool.attempt(["list", "-o", "json"] + store.flags).output).array.count == 1
                let again = try SnapTool.attempt(adopt)
                #expect(again.status == (isAdopted ? 1 : 0), "\(point): \(again.errorText)")
                try SnapTool.run(store.backup())
                #expect(try store.names().count == 4, "\(point)")
                #expect(try listed(store).first == id, "\(point)")
                try SnapTool.run(["verify", id, "-i", store.key.path] + store.flags)
            }
            #expect(fault == "EINTR" ? faultCount == 0 : faultCount >= 2)
        }

        /// Its writer may have been killed before it had synced the file.
        @Test func aLeftoverIsDurableBeforeItHasItsName() throws {
            let store = try storeWithABackup()
            let archive = try #require(store.names().first { $0.hasSuffix(".age") })
            let name = TestStore.id(of: archive) + ".json"
            try run("mv", ["\(store.scopeDirectory)/\(name)", "\(store.scopeDirectory)/.pending-\(name)"])
            let log = store.directory.file("calls")
            #expect(try trace(store.backup(), ["-y", "-e", "trace=fsync,renameat2"], to: log).status == 0)
            let calls = try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n")
            let sync = try #require(calls.firstIndex { $0.contains("fsync(") && $0.contains("/.pending-\(name)>") })
            let rename = try #require(
                calls.firstIndex { $0.contains("renameat2(") && $0.contains("\".pending-\(name)\"") })
            #expect(sync < rename)
        }

        @Test(arguments: errors)
        func othersFailAtEveryStep(_ error: String) throws {
            let store = try storeWithABackup()
            for point in points([("flock", 1), ("fsync", 2), ("renameat2", 1)]) {
                let target = try TemporaryDirectory()
                for (name, command) in [
                    ("key", ["keygen", "-o"]),
                    ("files", ["restore", "-i", store.key.path] + store.flags + ["--target"]),
                ] {
                    let result = try attempt(command + [target.file(name)], point, "error=\(error)")
                    #expect(result.status != 5, "\(name), \(point): \(result.errorText)")
                    #expect((error != "EINTR" && point.call != "flock") || result.status == 0, "\(name), \(point)")
                    let left = try FileManager.default.contentsOfDirectory(atPath: target.path)
                    #expect(left == (result.status == 0 ? [name] : []), "\(name), \(point): \(left)")
                    try run("rm", ["-rf", target.file(name)])
                }
            }
        }

        /// Without locks it can't be told whether what is in the way is in use: nobody is to be waited for.
        @Test func aLeftoverWithoutLocks() throws {
            let store = try storeWithABackup()
            let target = try TemporaryDirectory()
            for (name, command) in [
                ("key", ["keygen", "-o", target.file("key")]),
                ("files", ["restore", "-i", store.key.path] + store.flags + ["--target", target.file("files")]),
            ] {
                try run(name == "key" ? "touch" : "mkdir", [target.file(".pending-\(name)")])
                let result = try trace(command, ["-e", "trace=flock", "-e", "inject=flock:error=ENOLCK"])
                expectFailure(result, 1, naming: ".pending-\(name)", "can't be told")
                try SnapTool.run(command)
            }
            #expect(try FileManager.default.contentsOfDirectory(atPath: target.path).sorted() == ["files", "key"])
        }

        /// Only the very same archive is gone on with.
        @Test func aDownloadReplacesNothing() throws {
            let store = try storeWithABackup()
            let names = try store.names()
            let archive = try #require(names.first { $0.hasSuffix(".age") })
            let target = try TemporaryDirectory()
            let download = ["download", "latest", target.path] + store.flags
            for change in ["truncate -s -1", "truncate -s +1", "sed -i s/X25519/X25518/", "sh -c 'printf x >$0'"] {
                try run("cp", ["\(store.scopeDirectory)/\(archive)", target.path])
                try shell("\(change) \"$1\"", target.file(archive))
                let before = try Data(contentsOf: URL(fileURLWithPath: target.file(archive)))
                expectFailure(try SnapTool.attempt(download), 1, naming: archive)
                #expect(try Data(contentsOf: URL(fileURLWithPath: target.file(archive))) == before)
                #expect(try FileManager.default.contentsOfDirectory(atPath: target.path) == [archive])
            }
            try run("cp", ["\(store.scopeDirectory)/\(archive)", target.path])
            try SnapTool.run(download)
            #expect(try FileManager.default.contentsOfDirectory(atPath: target.path).sorted() == names)
        }
    }
}
