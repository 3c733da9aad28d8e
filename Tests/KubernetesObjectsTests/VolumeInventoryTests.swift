import EtcdStorage
import Foundation
import HostIO
import KubernetesObjects
import Testing

@Suite struct VolumeInventoryTests {
    private func inventory(_ rows: [(key: String, value: [UInt8])]) -> VolumeInventory {
        VolumeInventory(rows: rows.map { (Array($0.key.utf8), $0.value) }, isComplete: true)
    }

    private func compacted(_ value: [UInt8]) -> [UInt8] {
        value.withUnsafeBytes { VolumeInventory.compact($0) } ?? value
    }

    @Test func readsVolumes() throws {
        let volume = try #require(inventory(Stored.all).persistentVolumes.first)
        #expect(volume.name == "pvc-1")
        #expect(volume.capacity == "10Gi" && volume.phase == "Bound" && volume.reclaimPolicy == "Delete")
        #expect(volume.accessModes == ["ReadWriteOnce", "ReadOnlyMany"])
        #expect(volume.storageClassName == "gp3" && volume.volumeMode == "Filesystem")
        #expect(volume.claim?.namespace == "shop" && volume.claim?.name == "data-db-0")
        #expect(volume.source?.kind == "csi")
        #expect(volume.source?.driver == "ebs.csi.aws.com")
        #expect(volume.source?.volumeHandle == "vol-0123456789abcdef0")
        #expect(volume.source?.fields["fsType"] == "ext4")
        #expect(
            volume.nodeAffinity == [
                "topology.ebs.csi.aws.com/zone in (eu-1a, eu-1b) and gpu does not exist", "metadata.name in (node-7)",
            ])
    }

    @Test func readsTheOtherKinds() throws {
        let inventory = inventory(Stored.all)
        let claim = try #require(inventory.persistentVolumeClaims.first)
        #expect(claim.namespace == "shop" && claim.name == "data-db-0" && claim.volumeName == "pvc-1")
        #expect(claim.requested == "8Gi" && claim.capacity == "10Gi" && claim.phase == "Bound")
        let storageClass = try #require(inventory.storageClasses.first)
        #expect(storageClass.provisioner == "ebs.csi.aws.com" && storageClass.isDefault)
        #expect(storageClass.parameters == ["type": "gp3", "encrypted": "true"])
        #expect(storageClass.allowsVolumeExpansion && storageClass.volumeBindingMode == "WaitForFirstConsumer")
        let attachment = try #require(inventory.volumeAttachments.first)
        #expect(attachment.persistentVolumeName == "pvc-1" && attachment.nodeName == "node-7" && attachment.isAttached)
        #expect(inventory.csiDrivers.first?.attachRequired == false)
        #expect(inventory.csiNodes.first?.drivers.first?.nodeID == "i-0abc")
        #expect(inventory.nodes.first?.providerID == "aws:///eu-1a/i-0abc")
        #expect(
            inventory.nodes.first?.topology == [
                "kubernetes.io/hostname": "node-7", "topology.kubernetes.io/zone": "eu-1a",
            ])
        #expect(inventory.encryptedCounts.isEmpty && inventory.unreadableCounts.isEmpty && inventory.isComplete)
    }

    /// Sources by field number: text fields, one number field, and what is read of them.
    private static let sources: [(number: UInt64, kind: String, texts: [UInt64: [String]], fields: [String: String])] =
        [
            (1, "gcePersistentDisk", [1: ["disk"]], ["pdName": "disk"]),
            (2, "awsElasticBlockStore", [1: ["vol-1"]], ["volumeID": "vol-1"]),
            (3, "hostPath", [1: ["/srv"]], ["path": "/srv"]),
            (4, "glusterfs", [1: ["e"], 2: ["p"]], ["endpoints": "e", "path": "p"]),
            (5, "nfs", [1: ["nas"], 2: ["/x"]], ["server": "nas", "path": "/x"]),
            (6, "rbd", [1: ["m1", "m2"], 2: ["i"], 6: ["/keyring"]], ["monitors": "m1,m2", "image": "i"]),
            (7, "iscsi", [1: ["10.0.0.1:3260"], 2: ["iqn.x"]], ["targetPortal": "10.0.0.1:3260", "iqn": "iqn.x"]),
            (9, "cephfs", [1: ["m"], 4: ["/secret"]], ["monitors": "m"]),
            (10, "fc", [1: ["w1"], 5: ["w2"]], ["targetWWNs": "w1", "wwids": "w2"]),
            (13, "azureFile", [1: ["secret"], 2: ["share"]], ["shareName": "share"]),
            (14, "vsphereVolume", [1: ["[ds] a.vmdk"]], ["volumePath": "[ds] a.vmdk"]),
            (16, "azureDisk", [1: ["d"], 2: ["u"]], ["diskName": "d", "diskURI": "u"]),
            (19, "scaleIO", [1: ["g"], 8: ["v"]], ["gateway": "g", "volumeName": "v"]),
            (20, "local", [1: ["/mnt/a"]], ["path": "/mnt/a"]),
        ]

    @Test func readsInTreeSources() {
        for (number, kind, texts, fields) in Self.sources {
            let value = Stored.volume("a", source: number) { message in
                for (field, values) in texts { for text in values { message.text(field, text) } }
            }
            for bytes in [value, compacted(value)] {
                let source = inventory([("/registry/persistentvolumes/a", bytes)]).persistentVolumes.first?.source
                #expect(source?.kind == kind)
                #expect(source?.fields == fields, "\(kind)")
            }
        }
    }

    @Test func readsNumbersAndFlags() {
        let target = Stored.volume("a", source: 7) { $0.number(3, 0) }
        let share = Stored.volume("b", source: 5) { $0.number(3, 1) }
        let volumes = inventory([
            ("/registry/persistentvolumes/a", target), ("/registry/persistentvolumes/b", share),
        ]).persistentVolumes
        #expect(volumes.first?.source?.fields == ["lun": "0"])
        #expect(volumes.last?.source?.fields == ["readOnly": "true"])
    }

    /// An apiserver with `--storage-media-type=application/json` stores the same objects as JSON.
    @Test func readsJSON() throws {
        let json = """
            {"kind":"PersistentVolume","apiVersion":"v1","metadata":{"name":"pv-\\"q\\"","managedFields":[{"x":[[1.5]]}]},
            "spec":{"capacity":{"storage":10},"nfs":{"server":"nas","path":"/x"},"accessModes":["ReadWriteMany"],
            "claimRef":{"namespace":"n","name":"c"},"persistentVolumeReclaimPolicy":"Retain",
            "nodeAffinity":{"required":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"a","operator":"Exists"}]}]}}},
            "status":{"phase":"Released"}}
            """
        let inventory = inventory([("/kubernetes.io/persistentvolumes/pv", Array(json.utf8))])
        let volume = try #require(inventory.persistentVolumes.first)
        #expect(volume.name == "pv-\"q\"" && volume.capacity == "10" && volume.phase == "Released")
        #expect(volume.source?.kind == "nfs" && volume.source?.fields == ["server": "nas", "path": "/x"])
        #expect(volume.nodeAffinity == ["a exists"])
        #expect(volume.reclaimPolicy == "Retain" && volume.claim?.name == "c")
    }

    @Test func compactingChangesNothingThatIsRead() {
        let whole = inventory(Stored.all)
        let small = inventory(Stored.all.map { ($0.key, compacted($0.value)) })
        #expect(whole == small)
        for (key, value) in Stored.all {
            #expect(compacted(value).count < value.count, "\(key)")
            #expect(compacted(compacted(value)) == compacted(value))
        }
        #expect(compacted(Stored.node).count < 300)
        let text = Array("{}".utf8)
        #expect(text.withUnsafeBytes { VolumeInventory.compact($0) } == nil)
    }

    @Test func countsWhatCanNotBeRead() {
        let foreign = Pb.stored("v1", "Pod") { $0.metadata("p") }
        let deep = Array((String(repeating: "[", count: 100_000) + String(repeating: "]", count: 100_000)).utf8)
        let inventory = inventory([
            ("/registry/persistentvolumes/a", Array("k8s:enc:aescbc:v1:key1:xyz".utf8)),
            ("/registry/persistentvolumes/b", Array("k8s:enc:kms:v2:p:xyz".utf8)),
            ("/registry/persistentvolumes/c", foreign), ("/registry/persistentvolumes/d", []),
            ("/registry/minions/e", Array("{\"kind\":\"Node\",\"metadata\":".utf8) + deep + [0x7D]),
            ("/registry/minions/f", Array("{\"kind\":\"Node\"}".utf8)), ("/registry/pods/ns/p", foreign),
            ("no slashes", foreign), ("", []),
        ])
        #expect(inventory.encryptedCounts == ["PersistentVolume": 2])
        #expect(inventory.unreadableCounts == ["PersistentVolume": 2, "Node": 1])
        #expect(inventory.nodes.map(\.name) == ["f"])
        #expect(inventory.persistentVolumes.isEmpty)
    }

    /// A value that is cut anywhere is unreadable, or was cut behind the object.
    @Test func everyTruncation() {
        let whole = inventory(Stored.all)
        for (key, value) in Stored.all {
            let complete = inventory([(key, value)])
            for count in 0..<value.count {
                let cut = Array(value[..<count])
                let result = inventory([(key, cut)])
                #expect(result.unreadableCounts.values.reduce(0, +) == 1 || result == complete, "\(key) at \(count)")
                _ = cut.withUnsafeBytes { VolumeInventory.compact($0) }
            }
        }
        #expect(whole.persistentVolumes.count == 1)
    }

    @Test func fuzzedValuesDoNotCrash() {
        var generator = Generator(state: 7)
        for _ in 0..<3000 {
            for (key, value) in Stored.all {
                var bytes = value
                for _ in 0..<Int.random(in: 1...4, using: &generator) {
                    bytes[Int.random(in: 4..<bytes.count, using: &generator)] = UInt8.random(
                        in: 0...255, using: &generator)
                }
                let result = inventory([(key, bytes)])
                _ = compacted(bytes)
                #expect(result.encryptedCounts.isEmpty)
            }
        }
    }

    /// More elements than any real object has make it unreadable, in lists and maps of every kind.
    @Test(arguments: [4096, 4097, 700_000]) func countsObjectsWithTooManyElements(_ count: Int) {
        let isReadable = count <= 4096
        let texts = Pb.stored("v1", "PersistentVolume") { volume in
            volume.metadata("a")
            volume.message(2) { spec in for _ in 0..<count { spec.text(7, "") } }
        }
        let messages = Pb.stored("storage.k8s.io/v1", "CSINode") { node in
            node.metadata("a")
            node.message(2) { spec in for _ in 0..<count { spec.raw(1, []) } }
        }
        let entries = Pb.stored("v1", "Node") { node in
            node.message(1) { metadata in for index in 0..<count { metadata.entry(11, "\(index)", "") } }
        }
        let quantities = Pb.stored("v1", "PersistentVolumeClaim") { claim in
            claim.message(3) { status in for index in 0..<count { status.quantity(3, "\(index)", "1") } }
        }
        let rows: [(key: String, value: [UInt8])] = [
            ("/registry/persistentvolumes/a", texts), ("/registry/csinodes/a", messages),
            ("/registry/minions/a", entries), ("/registry/persistentvolumeclaims/n/a", quantities),
        ]
        for value in [rows, rows.map { ($0.key, compacted($0.value)) }] {
            let inventory = inventory(value)
            #expect(inventory.unreadableCounts.count == (isReadable ? 0 : 4))
            #expect(inventory.persistentVolumes.count == (isReadable ? 1 : 0))
            #expect(inventory.nodes.count == (isReadable ? 1 : 0))
        }
    }

    @Test func isCodable() throws {
        let whole = inventory(Stored.all)
        let data = try JSONEncoder().encode(whole)
        #expect(try JSONDecoder().decode(VolumeInventory.self, from: data) == whole)
    }

    /// From a real apiserver's database to typed values, in one pass.
    @Test func readsTheFixture() throws {
        let directory = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let file = try RandomAccessFile(path: directory.appending(path: "Fixtures/etcd/k8s-1.36-on-3.6.14.db").path)
        let selection = RowSelection(resources: VolumeInventory.resources) { VolumeInventory.compact($0) }
        let contents = try SnapshotStatus.verify(file, selecting: selection).report.requireSound(trailer: .required)
        let rows = try #require(contents.selectedRows)
        let inventory = VolumeInventory(rows: rows.rows.map { ($0.key, $0.value) }, isComplete: rows.isComplete)
        #expect(inventory.unreadableCounts.isEmpty && inventory.encryptedCounts.isEmpty && inventory.isComplete)
        let volume = try #require(inventory.persistentVolumes.first)
        #expect(volume.name == "pv-1" && volume.capacity == "5Gi" && volume.reclaimPolicy == "Retain")
        #expect(volume.claim?.namespace == "default" && volume.claim?.name == "pvc-1")
        #expect(volume.source?.driver == "ebs.csi.aws.com" && volume.source?.volumeHandle == "vol-0abc")
        let claim = try #require(inventory.persistentVolumeClaims.first)
        #expect(claim.name == "pvc-1" && claim.volumeName == "pv-1" && claim.requested == "5Gi")
        #expect(inventory.storageClasses.map(\.provisioner) == ["ebs.csi.aws.com"])
        #expect(inventory.nodes.map(\.providerID) == ["aws:///us-east-1a/i-123"])
        #expect(inventory.persistentVolumes.count == 1 && inventory.persistentVolumeClaims.count == 1)
    }
}

/// Reproducible random numbers (SplitMix64).
private struct Generator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }
}
