import Foundation
import TestSupport
import Testing

extension Integration {
    /// What an apiserver wrote, read by the program that is installed.
    @Suite struct InventoryTests {
        private static let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent()
        private static let fixture = tests.appendingPathComponent("Fixtures/etcd/k8s-1.36-on-3.6.14.db").path

        @Test func volumesOfARealAPIServer() throws {
            let inventory = try SnapTool.json(["inspect", "volumes", Self.fixture])
            #expect(inventory.persistentVolumes[0].name.string == "pv-1")
            #expect(inventory.persistentVolumes[0].source.fields.volumeHandle.string == "vol-0abc")
            #expect(inventory.persistentVolumeClaims[0].name.string == "pvc-1")
            #expect(inventory.nodes[0].providerID.string == "aws:///us-east-1a/i-123")
            let text = try SnapTool.run(["inspect", "volumes", Self.fixture])
            #expect(text.text.contains("csi ebs.csi.aws.com vol-0abc") && text.errorText == "")
        }

        @Test func keysInUseOfARealAPIServer() throws {
            let status = try SnapTool.json(["inspect", "status", Self.fixture])
            let names = status.encryptionKeys.array.map(\.provider.string)
            #expect(names == ["aescbc:v1:key1", "aesgcm:v1:g1", "secretbox:v1:sb1"])
        }

        /// From etcd's stream into `host/volumes.json`, and the encryption keys in use into findings.
        @Test func backupHasTheVolumesAndTheKeysInUse() throws {
            let directory = try TemporaryDirectory()
            let data = directory.file("data")
            try SnapTool.run(
                ["restore", "etcd", Self.fixture, "--data-dir", data, "--name", "m0"]
                    + ["--initial-cluster", "m0=http://127.0.0.1:1"])
            let server = try EtcdServer.start(.v3_5, flags: ["--data-dir=\(data)"])
            defer { server.kill() }
            let store = try TestStore(server)
            let backup = try SnapTool.attempt(store.backup(["-o", "json"]))
            #expect(backup.status == 3, "the keys that the values need are not on this host: \(backup.errorText)")
            #expect(backup.errorText.contains("aescbc:v1:key1"), "\(backup.errorText)")
            let target = directory.file("out")
            try SnapTool.run(["restore", "latest", "-i", store.key.path, "--target", target] + store.flags)
            let document = try JSON(Data(contentsOf: URL(fileURLWithPath: target + "/host/volumes.json")))
            #expect(document.clusters.etcd.persistentVolumes[0].source.fields.volumeHandle.string == "vol-0abc")
            #expect(document.clusters.etcd.persistentVolumes.array.count == 1)
        }

        /// An object that can't be read is said, and the list is not called complete.
        @Test func objectsThatCannotBeReadAreSaid() throws {
            let directory = try TemporaryDirectory()
            var bytes = try Data(contentsOf: URL(fileURLWithPath: Self.fixture))
            var damagedCount = 0
            while let place = bytes.range(of: Data("k8s\0\n\u{16}\n\u{02}v1\u{12}\u{10}PersistentVolume\u{12}".utf8)) {
                bytes[place.lowerBound] = 0x4B
                damagedCount += 1
            }
            #expect(damagedCount > 0)
            let path = directory.file("damaged.db")
            try bytes.write(to: URL(fileURLWithPath: path))
            let result = try SnapTool.attempt(["inspect", "volumes", path, "-o", "json"])
            #expect(result.status == 3)
            #expect(result.errorText.contains("1 objects of kind PersistentVolume could not be read"))
            let inventory = try JSON(result.output)
            #expect(inventory.isComplete.value as? Bool == false)
            #expect(inventory.unreadableCounts.PersistentVolume.int == 1)
            #expect(inventory.persistentVolumes.array.isEmpty && inventory.nodes.array.count == 1)
        }
    }
}
