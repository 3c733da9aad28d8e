import Foundation
import TestSupport
import Testing

extension Integration {
    /// Stores that a later version wrote to, and sidecars that somebody changed.
    @Suite struct GrowthTests {
        private let store: TestStore
        /// The older of two backups.
        private let older: String
        private let key: [String]
        private var id: String { TestStore.id(of: older) }

        init() throws {
            store = try TestStore(Laboratory.shared().server(.v3_4))
            older = try store.makeBackup(["--verify", "consistent"])
            try store.makeBackup()
            key = ["-i", store.key.path]
        }

        @Test(arguments: [
            ("formatVersion", 2, 1), ("formatVersion", 0, 7), ("archive.formatVersion", 2, 1),
            ("archive.formatVersion", 0, 7),
        ])
        func aBackupOfAnotherVersionStandsInNobodysWay(field: String, version: Int, status: Int32) throws {
            try changeSidecar(of: older) { SidecarField.set(field, version, in: &$0) }
            try expectTheRestWorks(status, naming: "has format version \(version)")
        }

        @Test(arguments: ["requires", "archive.requires"])
        func norDoesOneThatRequiresMore(field: String) throws {
            try changeSidecar(of: older) { SidecarField.set(field, ["mirrored"], in: &$0) }
            try expectTheRestWorks(1, naming: "requires the feature \"mirrored\"")
        }

        private func expectTheRestWorks(_ status: Int32, naming reason: String) throws {
            let path = sidecar(of: older)
            let list = try SnapTool.attempt(["list", "-o", "json"] + store.flags)
            #expect(list.status == status && list.errorText.contains("\"\(path)\" \(reason)"), "\(list.errorText)")
            let listed = try JSON(list.output).array.map(\.archive.id.string)
            #expect(listed.count == 1 && listed != [id])
            for arguments in [["verify"], ["verify"] + key, ["describe"], ["download"]] {
                let target = arguments[0] == "download" ? [store.directory.file("copy")] : []
                let result = try SnapTool.attempt(arguments + [id] + target + store.flags)
                expectFailure(result, status, naming: path, reason)
                if status == 1 { #expect(result.errorText.contains("newer etcd-snap"), "\(result.errorText)") }
            }
            try SnapTool.run(["verify", listed[0]] + key + store.flags)
            try SnapTool.run(["describe", listed[0]] + key + store.flags)
            // The next one is made, and says what is beside it.
            let next = try SnapTool.attempt(store.backup(["-o", "json"]))
            #expect(next.status == 3, "\(next.errorText)")
            let code = status == 1 ? "backup-unreadable" : "backup-damaged"
            #expect(try JSON(next.output).findings.array.map(\.code.string).contains(code))
        }

        @Test func fieldsAndValuesThatAreNotKnownAreShown() throws {
            try changeSidecar(of: older) { document in
                document["unheardOf"] = ["deep": [1, "x"] as [Any]]
                SidecarField.set("object.mirrors", 3, in: &document)
                SidecarField.set("etcd.0.shards", 7, in: &document)
                SidecarField.set("verification", "rehearsed", in: &document)
            }
            // A sidecar that is not as it was breaks the chain, which list says.
            let list = try JSON(SnapTool.attempt(["list", "-o", "json"] + store.flags).output)
            let described = try SnapTool.json(["describe", id] + key + store.flags)
            for sidecar in [list[0], described.sidecar] {
                #expect(sidecar.unheardOf.deep[1].string == "x" && sidecar.object.mirrors.int == 3)
                #expect(sidecar.etcd[0].shards.int == 7 && sidecar.verification.string == "rehearsed")
            }
            #expect(described.manifest.entries.array.count == 2)
            let yaml = try SnapTool.run(["describe", id, "-o", "yaml"] + store.flags).text
            #expect(yaml.contains("shards: 7") && yaml.contains("verification: rehearsed"))
            #expect(try SnapTool.attempt(["list"] + store.flags).text.contains("rehearsed"))
            try SnapTool.run(["verify", id] + key + store.flags)
        }

        @Test func aLocatorOfALaterVersionIsCalledThat() throws {
            let payload = try SnapTool.run(["unseal", "--raw", older] + key).output
            let place = try #require(payload.range(of: Data("esnapmf1".utf8), options: .backwards))
            for (offset, byte, reason) in [(7, UInt8(ascii: "2"), "format version 2"), (57, 2, "\"locator bit 9\"")] {
                var later = payload
                later[place.lowerBound + offset] = byte
                let path = store.directory.file("later.tar.zst.age")
                try? FileManager.default.removeItem(atPath: path)
                try run("age", ["-r", store.key.recipient, "-o", path], input: later)
                let result = try SnapTool.attempt(
                    ["restore", path, "--target", store.directory.file("target")] + key)
                expectFailure(result, 1, naming: "manifest locator", reason)
                #expect(result.errorText.contains("newer etcd-snap"))
            }
        }

        /// Whoever can write to a store can change a sidecar; what is sealed contradicts.
        @Test func verifyComparesWhatTheManifestKnows() throws {
            let original = try Data(contentsOf: URL(fileURLWithPath: sidecar(of: older)))
            for (field, value) in SidecarField.sealed + SidecarField.computed {
                try changeSidecar(of: older) { SidecarField.set(field, value, in: &$0) }
                let result = try SnapTool.attempt(["verify", id] + key + store.flags)
                #expect(result.status == 7, "\(field): \(result.status) \(result.errorText)")
                try original.write(to: URL(fileURLWithPath: sidecar(of: older)))
            }
            try SnapTool.run(["verify", id] + key + store.flags)
        }

        /// Without a format version less would be compared, so one that is gone is damage.
        @Test func aFormatVersionThatIsGoneIsNoticed() throws {
            try changeSidecar(of: older) { $0["formatVersion"] = nil }
            expectFailure(try SnapTool.attempt(["verify", id] + key + store.flags), 7, naming: older, "formatVersion")
        }

        /// An age header that was damaged is damage, also to who has the key, and shows without it.
        @Test func everyByteOfTheHeaderIsKnown() throws {
            let url = URL(fileURLWithPath: older)
            let bytes = try Data(contentsOf: url)
            let end = try #require(bytes.range(of: Data("\n--- ".utf8))).upperBound + 44
            let target = store.directory.file("target")
            let commands = [
                ["verify", id], ["verify", id] + key, ["describe", id] + key,
                ["restore", id, "--target", target] + key, ["download", id, target],
            ]
            for index in 0..<end {
                var damaged = bytes
                damaged[index] ^= 1 << UInt8(index % 8)
                try damaged.write(to: url)
                let result = try SnapTool.attempt(commands[index % commands.count] + store.flags)
                expectFailure(result, 7, naming: older, "age header sha256 mismatch")
            }
            #expect(!FileManager.default.fileExists(atPath: target))
        }

        /// Two files whose names look the same as text: the link is a further name of the right one.
        @Test func aHardLinkResolvesByBytes() throws {
            let tree = store.directory.file("tree")
            try shell("mkdir \"$1\"; cd \"$1\"; echo e8 >$'n\\xe8'; echo e9 >$'n\\xe9'; ln $'n\\xe9' o", tree)
            try store.makeBackup(["--include", tree])
            let entries = try SnapTool.json(["describe"] + key + store.flags).manifest.entries.array
            let link = try #require(entries.first { $0.kind.string == "hardLink" })
            #expect(Data(base64Encoded: link.linkTargetBytes.string)?.last == 0xE9)
            let restored = store.directory.file("restored")
            try SnapTool.run(["restore", "files", "--only", "include", "--target", restored] + key + store.flags)
            #expect(try differences(tree, "\(restored)\(tree)") == "")
            let again = try SnapTool.json(
                ["restore", "files", "--in-place", "--root", restored, "--dry-run", "--only", "include"] + key
                    + store.flags)
            #expect(again.array.count >= 3 && again.array.allSatisfy { $0.action.string == "unchanged" })
        }
    }
}
