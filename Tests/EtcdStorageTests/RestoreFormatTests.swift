import EtcdStorage
import TestSupport
import Testing

@Suite struct RestoreFormatTests {
    /// The worked example that the real tools' outputs among the fixtures were made for.
    static func example() throws -> PlannedCluster {
        try PlannedCluster(
            initialCluster: "m1=http://10.0.0.1:2380,m2=http://10.0.0.2:2380,m3=http://10.0.0.3:2380", token: "tok-1")
    }

    @Test func idsFollowFromURLsAndToken() throws {
        let cluster = try Self.example()
        #expect(cluster.members.map(\.name) == ["m3", "m2", "m1"])
        #expect(
            cluster.members.map(\.id) == [
                381_726_092_490_427_501, 3_174_032_271_440_447_180, 16_673_987_396_221_252_003,
            ])
        #expect(cluster.id == 0x6041_8e96_a4f9_5d7b)
        let single = try PlannedCluster(initialCluster: "default=http://localhost:2380", token: "etcd-cluster")
        #expect(single.members[0].hexID == "8e9e05c52164694d")
        #expect(single.id == 0xcdf8_1819_4e3a_8c32)
    }

    @Test(arguments: ["restored-etcdutl-3.5.30-from-3.5.30", "restored-etcdutl-3.6.14-from-3.6.14"])
    func walEqualsTheRealTools(_ name: String) throws {
        let cluster = try Self.example()
        let log = WriteAheadLog(cluster: cluster, member: try cluster.member(named: "m2"))
        let head = try Fixtures.bytes(name + ".wal.head560")
        #expect(log.bytes.count == 536)
        #expect(log.bytes + [UInt8](repeating: 0, count: 560 - log.bytes.count) == head)
    }

    @Test(arguments: ["restored-etcdctl-3.4.23-from-3.4.23", "restored-etcdutl-3.5.30-from-3.5.30"])
    func raftSnapshotEqualsTheRealTools(_ name: String) throws {
        let snapshot = RaftSnapshot(cluster: try Self.example())
        #expect(snapshot.bytes == (try Fixtures.bytes(name + ".snap")))
        #expect(snapshot.fileName == "0000000000000001-0000000000000003.snap")
    }

    @Test(arguments: [
        "", "m1", "=http://h:1", "m1=", "m1=h:2380", "m1=ftp://h:2380", "m1=http://h", "m1=http://h:0",
        "m1=http://h:70000", "m1=http://h:2380/path", "m1=http://:2380", "m1=http://a:b:1",
        "m1=http://h:1,,m2=http://g:1",
        "m1=http://h:1,m2=http://h:1", "m1=http://h:1,m1=http://h:1", "m1=http://u@h:1", "m1=http://h\n:1",
    ])
    func refusesClusters(_ text: String) {
        #expect {
            try PlannedCluster(initialCluster: text, token: "t")
        } throws: { error in
            guard case .invalidPlan = error as? StorageError else { return false }
            return true
        }
    }

    @Test func acceptsIPv6AndSeveralURLs() throws {
        let cluster = try PlannedCluster(
            initialCluster: "a=https://[::1]:2380,a=http://10.0.0.9:2380, b=https://b.example:2380", token: "t")
        #expect(cluster.members.first { $0.name == "a" }?.peerURLs == ["http://10.0.0.9:2380", "https://[::1]:2380"])
        #expect(cluster.members.contains { $0.name == "b" })
    }

    @Test func seededClustersEncodeToWellFormedFiles() throws {
        var generator = SeededGenerator(seed: 11)
        for _ in 0..<200 {
            let count = Int.random(in: 1...9, using: &generator)
            let members = (0..<count).map { index in
                let name =
                    String(
                        (0..<Int.random(in: 1...20, using: &generator)).map { _ in
                            Character(
                                ["a", "é", "<", "\"", "\\", "\u{2028}", "-", "7", "\u{1}"].randomElement(
                                    using: &generator) ?? "a")
                        }) + "\(index)"
                return (
                    name: name, peerURLs: ["http://10.1.\(index).1:\(Int.random(in: 1...65535, using: &generator))"]
                )
            }
            let cluster = try PlannedCluster(members: members, token: "tok")
            try WALReader.check(WriteAheadLog(cluster: cluster, member: cluster.members[0]).bytes, entryCount: count)
            #expect(RaftSnapshot(cluster: cluster).bytes.count > 6000)
        }
    }
}

/// Reads a log back by the frame's definition, independently of the encoder.
enum WALReader {
    static func check(_ bytes: [UInt8], entryCount: Int) throws {
        var offset = 0
        var crc = CRC32C()
        var types: [UInt8] = []
        while offset < bytes.count {
            let field = bytes[offset..<(offset + 8)].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            let padding = field >> 63 == 1 ? Int(field >> 56 & 7) : 0
            let count = Int(field & 0xFF_FFFF_FFFF_FFFF)
            var record = bytes[(offset + 8)..<(offset + 8 + count)]
            #expect(record.removeFirst() == 0x08)
            types.append(record.removeFirst())
            #expect(record.removeFirst() == 0x10)
            let stored = varint(&record)
            if record.first == 0x1A {
                record.removeFirst()
                #expect(varint(&record) == UInt64(record.count))
                crc.append(CRC32C(Array(record)))
            }
            #expect(stored == UInt64(crc.value))
            offset += 8 + count + padding
            #expect(offset % 8 == 0)
        }
        #expect(types == [4, 1, 5] + Array(repeating: 2, count: entryCount) + [3, 5])
    }

    private static func varint(_ bytes: inout ArraySlice<UInt8>) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while let byte = bytes.popFirst() {
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { break }
            shift += 7
        }
        return value
    }
}
