import Foundation
import TestSupport
import Testing

extension Integration {
    /// Archives that have lost their sidecars, and sidecars that have lost their archives.
    @Suite struct OrphanTests {
        private let store: TestStore
        /// The IDs of three backups, the oldest first.
        private let ids: [String]

        init() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            self.store = store
            ids = try (0..<3).map { _ in
                // IDs of one second sort by chance.
                defer { Thread.sleep(forTimeInterval: 1.1) }
                return try store.makeBackupID()
            }
        }

        private func archive(_ index: Int) -> String { "\(store.scopeDirectory)/\(ids[index]).tar.zst.age" }
        private func sidecar(_ index: Int) -> String { "\(store.scopeDirectory)/\(ids[index]).json" }
        private func listed() throws -> [String] {
            try JSON(SnapTool.attempt(["list", "-o", "json"] + store.flags).output).array.map(\.archive.id.string)
        }
        private func adopt(_ archive: String, _ more: [String] = []) throws -> CommandResult {
            let place = archive.hasPrefix("/") ? [] : store.flags
            return try SnapTool.attempt(["adopt", archive, "-i", store.key.path] + place + more)
        }

        @Test func writersLeaveThemAlone() throws {
            try run("rm", [sidecar(1)])
            let before = try Data(contentsOf: URL(fileURLWithPath: archive(1)))
            let backup = try SnapTool.attempt(store.backup())
            #expect(backup.status == 3)
            #expect(backup.errorText.contains("backup-sidecar-missing") && backup.errorText.contains(ids[1]))
            #expect(backup.errorText.contains(ids[1]) && backup.errorText.contains("adopt test/node/\(ids[1])"))
            try SnapTool.run(["delete", ids[0], "--yes"] + store.flags)
            #expect(try Data(contentsOf: URL(fileURLWithPath: archive(1))) == before)
            // Nor does naming it remove it.
            expectFailure(try SnapTool.attempt(["delete", ids[1], "--yes"] + store.flags), 7, naming: ids[1])
            #expect(try Data(contentsOf: URL(fileURLWithPath: archive(1))) == before)
        }

        /// Archives that are copied back come before their sidecars, while the timer fires.
        @Test func aCopyThatArrivesMeanwhile() throws {
            let copy = store.directory.file("copy")
            try run("cp", ["-a", store.root, copy])
            try run("rm", ["-r", store.root])
            for (index, id) in ids.enumerated() {
                try run("mkdir", ["-p", store.scopeDirectory])
                try run("cp", ["\(copy)/test/node/\(id).tar.zst.age", store.scopeDirectory])
                // The count has begun anew, and is ahead by the first one only.
                let backup = try SnapTool.attempt(store.backup())
                #expect(backup.status == 3 && backup.errorText.contains("backup-sidecar-missing"))
                #expect(backup.errorText.contains("backup-number-reused") == (index > 1))
                try run("cp", ["\(copy)/test/node/\(id).json", store.scopeDirectory])
                #expect(try listed().filter(ids.contains).count == index + 1)
            }
            for id in ids { try SnapTool.run(["verify", id, "-i", store.key.path] + store.flags) }
        }

        @Test func theyAreReported() throws {
            try run("rm", [sidecar(1), archive(0)])
            let list = try SnapTool.attempt(["list"] + store.flags)
            #expect(list.status == 7)
            #expect(!list.text.contains(ids[1]) && !list.text.contains(ids[0]) && list.text.contains(ids[2]))
            #expect(list.errorText.contains("test/node/\(ids[1])\" has an archive and no sidecar"))
            #expect(list.errorText.contains("test/node/\(ids[0])\" has a sidecar and no archive"))
            let problems = try SnapTool.attempt(["list", "--problems", "-o", "json"] + store.flags)
            #expect(problems.status == 7)
            let documents = try JSON(problems.output).array
            #expect(documents.map(\.reference.string) == ["test/node/\(ids[0])", "test/node/\(ids[1])"])
            #expect(documents.map { $0.isOrphan.value as? Bool } == [false, true])
            #expect(documents.allSatisfy { $0.message.string != "" && $0.hint.string != "" })
            #expect(try SnapTool.attempt(["list", "--problems"] + store.flags).text.contains(ids[1]))

            let doctor = try SnapTool.attempt(
                ["doctor", "--no-discover", "-r", store.key.recipient, "-o", "json"] + store.server.flags()
                    + store.flags)
            #expect(doctor.status == 3)
            let findings = try JSON(doctor.output).findings.array
            #expect(findings.map(\.code.string) == ["backup-damaged", "backup-sidecar-missing"])
            #expect(findings.map(\.subject.string) == ["test/node/\(ids[0])", "test/node/\(ids[1])"])

            // A sidecar that is only missing is no damage.
            try run("rm", [sidecar(0)])
            #expect(try SnapTool.attempt(["list"] + store.flags).status == 3)
            #expect(try listed() == [ids[2]])
        }

        /// The one before it must not pass for the latest.
        @Test func theLatestMayBeOne() throws {
            try run("rm", [sidecar(2)])
            for command in [["verify"], ["describe"], ["verify", ids[2]]] {
                expectFailure(try SnapTool.attempt(command + store.flags), 7, naming: ids[2])
            }
            try SnapTool.run(["verify", ids[1]] + store.flags)
        }

        @Test(arguments: [0, 1, 2])
        func adopting(_ index: Int) throws {
            let original = try JSON(Data(contentsOf: URL(fileURLWithPath: sidecar(index))))
            let sealed = try Data(contentsOf: URL(fileURLWithPath: archive(index)))
            try run("rm", [sidecar(index)])
            let dry = try JSON(adopt(ids[index], ["--dry-run", "-o", "json"]).output)
            #expect(dry.isAdopted.value as? Bool == false && dry.sidecar.archive.id.string == ids[index])
            #expect(try listed().count == 2)
            // By its ID, by a reference, by its path.
            let name = [ids[index], "test/node/\(ids[index])", archive(index)][index]
            let result = try adopt(name, ["-o", "json"])
            #expect(result.status == 0, "\(result.errorText)")
            #expect(try listed() == ids)
            #expect(try Data(contentsOf: URL(fileURLWithPath: archive(index))) == sealed)
            try store.expectPrivate()
            let rebuilt = try JSON(Data(contentsOf: URL(fileURLWithPath: sidecar(index))))
            #expect(rebuilt.rebuilt.value as? Bool == true && original.rebuilt.value == nil)
            for field in ["size", "headerSize", "tarSize"] {
                #expect(rebuilt.object[field].int == original.object[field].int, "\(field)")
            }
            #expect(rebuilt.object.payloadSHA256.string == original.object.payloadSHA256.string)
            #expect(rebuilt.manifestSHA256.string == original.manifestSHA256.string)
            #expect(rebuilt.entryCount.int == original.entryCount.int)
            #expect(rebuilt.sequence.int == index + 1)
            #expect(rebuilt.previousSidecarSHA256.string == original.previousSidecarSHA256.string)
            #expect(rebuilt.object.headerSHA256.string == original.object.headerSHA256.string)
            #expect(rebuilt.verification.string == "structural")
            #expect(rebuilt.recipients[0].type.string == "X25519")
            #expect(rebuilt.recipients[0].fingerprint.string == original.recipients[0].fingerprint.string)
            #expect(rebuilt.etcd[0].revision.int == original.etcd[0].revision.int)
            try SnapTool.run(["verify", ids[index], "-i", store.key.path] + store.flags)
            let shown = try SnapTool.run(["describe", ids[index]] + store.flags).text
            #expect(shown.contains("rebuilt"))
            #expect(try !SnapTool.run(["describe", ids[(index + 1) % 3]] + store.flags).text.contains("rebuilt"))
            let latest = try SnapTool.json(["describe", "latest"] + store.flags)
            #expect(latest.sidecar.archive.id.string == ids[2])
            expectFailure(try adopt(ids[index]), 1, naming: ids[index])
            try store.expectNextRunSucceeds()
        }

        /// Its number is given to no other, whether the record tells of it or only that it is the newest.
        @Test(arguments: [true, false]) func aNumberIsNotTaken(hasRecord: Bool) throws {
            try run("rm", [sidecar(2)] + (hasRecord ? [] : ["\(store.scopeDirectory)/chain.json"]))
            #expect(try SnapTool.attempt(store.backup()).status == 3)
            #expect(try adopt(ids[2]).status == 0)
            #expect(try SnapTool.json(["list"] + store.flags).array.map(\.sequence.int) == [1, 2, 3, 4])
        }

        @Test func whatIsNotAdopted() throws {
            let whole = try Data(contentsOf: URL(fileURLWithPath: archive(1)))
            try run("rm", [sidecar(1)])
            let other = try Laboratory.shared().key("other")
            let wrongKey = ["adopt", ids[1], "-i", other.path] + store.flags
            expectFailure(try SnapTool.attempt(wrongKey), 8, naming: ids[1])
            expectFailure(try SnapTool.attempt(["adopt", ids[1]] + store.flags), 2)
            expectFailure(try adopt("20200101T000000Z-aaaaaa"), 4, naming: "20200101T000000Z-aaaaaa")
            // One byte in the middle, and an end that is missing.
            var damaged = whole
            damaged[whole.count - 700] ^= 1
            for bytes in [damaged, whole.dropLast(1), whole.prefix(100)] {
                try bytes.write(to: URL(fileURLWithPath: archive(1)))
                #expect([7, 8].contains(try adopt(ids[1]).status))
            }
            try whole.write(to: URL(fileURLWithPath: archive(1)))
            // Copies in a place of another cluster or node, in no place at all, and under another name.
            let root = store.directory.path
            for place in ["flat", "usb/test/other", "usb/prod/node"] {
                try run("mkdir", ["-p", "\(root)/\(place)"])
                try run("cp", [archive(1), "\(root)/\(place)"])
                let path = "\(root)/\(place)/\(ids[1]).tar.zst.age"
                expectFailure(try adopt(path), 7, naming: path, "test/node/\(ids[1])")
                #expect(try FileManager.default.contentsOfDirectory(atPath: "\(root)/\(place)").count == 1)
            }
            let renamed = "\(store.scopeDirectory)/20200101T000000Z-aaaaaa.tar.zst.age"
            try run("cp", [archive(1), renamed])
            expectFailure(try adopt(renamed), 7, naming: "test/node/\(ids[1])")
            expectFailure(try adopt("\(root)/x.age"), 4, naming: "x.age")
            try run("cp", [archive(1), "\(root)/x.age"])
            expectFailure(try adopt("\(root)/x.age"), 2, naming: "x.age")
            try run("rm", [renamed])
            // Not while its sidecar is only damaged: nothing is replaced.
            try Data("{".utf8).write(to: URL(fileURLWithPath: sidecar(1)))
            expectFailure(try adopt(ids[1]), 7, naming: ids[1])
            #expect(try Data(contentsOf: URL(fileURLWithPath: sidecar(1))) == Data("{".utf8))
            try run("rm", [sidecar(1)])
            #expect(try adopt(ids[1]).status == 0)
            #expect(try store.names().count == 6)
        }

        /// Somebody's terminal may be in the middle of it when the timer fires.
        @Test func adoptingWaitsForNobody() throws {
            try run("rm", [sidecar(1)])
            let (holder, _) = try store.holdLock()
            expectFailure(try adopt(ids[1]), 5, naming: store.scopeDirectory)
            #expect(try adopt(ids[1], ["--dry-run"]).status == 0)
            holder.stop()
            #expect(try adopt(ids[1]).status == 0)
        }
    }
}
