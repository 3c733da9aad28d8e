import EtcdStorage
import HostIO
import Testing

@Suite struct StatusTests {
    @Test func thereAreFixtures() { #expect(Fixtures.expected.count == 15) }

    @Test(arguments: Fixtures.expected) func equalsTheRealTools(_ expected: Fixtures.Expected) throws {
        let (report, survey) = try readStatus(Fixtures.file(expected.file))
        let contents = try report.requireSound(trailer: .optional)
        #expect(contents.hash == expected.status35.hash)
        #expect(contents.revision == expected.status35.revision)
        #expect(contents.totalRowCount == expected.status35.totalKey)
        #expect(survey.liveKeyCount == expected.status37.totalKey)
        #expect(report.databaseByteCount == expected.status37.totalSize)
        #expect((contents.store.storageVersion ?? "") == expected.status37.version)
        #expect(survey.hashKV?.hash == expected.hashkv.hash)
        #expect(survey.hashKV?.revision == expected.hashkv.hashRevision)
        #expect(survey.hashKV?.compactRevision == expected.hashkv.compactRevision)
        let isStream = report.fileByteCount % 512 == 32
        if case .matched = report.trailer { #expect(isStream) } else { #expect(!isStream) }
    }

    @Test(arguments: Fixtures.expected, [1, 7, 4096, 32768, 1 << 22])
    func streamsInPiecesOfAnySize(_ expected: Fixtures.Expected, _ pieceByteCount: Int) throws {
        let report = try verify(Fixtures.bytes(expected.file), pieceByteCount: pieceByteCount)
        let contents = try report.requireSound(trailer: .optional)
        #expect(contents.hash == expected.status35.hash)
        #expect(contents.revision == expected.status35.revision)
        #expect(contents.totalRowCount == expected.status35.totalKey)
        if let liveKeyCount = contents.liveKeyCount { #expect(liveKeyCount == expected.status37.totalKey) }
        if let hashKV = contents.hashKV { #expect(hashKV.hash == expected.hashkv.hash) }
    }

    /// Only a compaction that is not finished (the bump's) leaves the stream alone without an answer.
    @Test(arguments: Fixtures.expected) func streamCountsLiveKeys(_ expected: Fixtures.Expected) throws {
        let contents = try verify(Fixtures.bytes(expected.file)).requireSound(trailer: .optional)
        #expect((contents.liveKeyCount == nil) == expected.file.contains("bump"))
        #expect((contents.hashKV == nil) == (expected.hashkv.compactRevision != -1))
    }

    @Test func readsTheStore() throws {
        let contents = try verify(Fixtures.bytes("snap-3.5.30.db")).requireSound(trailer: .required)
        let store = contents.store
        #expect(!store.isAuthEnabled)
        #expect(store.authRevision == 6 && store.userCount == 2 && store.roleCount == 1)
        #expect(store.removedMemberCount == 1)
        #expect(store.leaseCount == 1)
        #expect(store.members.map(\.name) == ["m1"])
        #expect(store.consistentIndex == 83 && store.term == 2)
        #expect(store.clusterVersion == "3.5.0")
        #expect(store.compactRevision == 20)
        let alarms = try verify(Fixtures.bytes("nospace-alarm-3.5.30.db")).contents?.store.alarms
        #expect(alarms?.map(\.kind) == [.noSpace])
        #expect(alarms?.first?.memberID != 0)
    }

    @Test func findsEncryptionKeys() throws {
        let survey = try readStatus(Fixtures.file("k8s-1.36-on-3.6.14.db")).survey
        #expect(survey.encryptionKeys.map(\.provider) == ["aescbc:v1:key1", "aesgcm:v1:g1", "secretbox:v1:sb1"])
        #expect(survey.encryptionKeys.allSatisfy { $0.rowCount > 0 })
        #expect(survey.prefixes.contains { $0.prefix == "/registry/apiregistration.k8s.io/apiservices" })
        #expect(survey.prefixes.first { $0.prefix == "/registry/leases" }?.rowCount == 26)
    }

    @Test func hashKVOfThePastFollowsTheRows() throws {
        let bytes = try Fixtures.file("snap-3.5.30.db")
        // Another way to the same value: from the rows themselves, as etcd's `unsafeHashByRev` describes it.
        for revision in [Int64(20), 21, 30, 47, 60, 68, 69] {
            let expected = try NaiveHashKV(bytes).hash(revision: revision, compactRevision: 20)
            #expect(try hashKV(of: bytes, revision: revision).hash == expected)
        }
        #expect(throws: StorageError.self) { try hashKV(of: bytes, revision: 19) }
        #expect(throws: StorageError.self) { try hashKV(of: bytes, revision: 70) }
    }

    @Test func oneSnapshotGivesHashesOfSeveralRevisions() throws {
        let bytes = try Fixtures.file("snap-3.6.14.db")
        let snapshot = try SnapshotStatus.verify(bytes)
        let first = try snapshot.survey(rereading: bytes).hashKV
        let past = try snapshot.survey(rereading: bytes, revision: 40).hashKV
        #expect(past == (try hashKV(of: bytes, revision: 40)))
        #expect(try snapshot.survey(rereading: bytes).hashKV == first)
    }
}

/// HashKV straight from its definition, with everything in memory.
struct NaiveHashKV {
    private let rows: [BoltRow]

    init(_ bytes: any RandomAccessBytes) throws {
        let file = try BoltFile(bytes)
        let buckets = try file.buckets()
        rows = try buckets.first { $0.title == "key" }.map { try file.rows(in: $0) } ?? []
    }

    func hash(revision: Int64, compactRevision: Int64) -> UInt32 {
        var newest: [[UInt8]: [UInt8]] = [:]
        for row in rows where main(row) <= revision { newest[userKey(row)] = row.key }
        let keep = Set(newest.values.filter { $0.count == 17 })
        var hash = CRC32C(Array("key".utf8))
        for row in rows where main(row) <= revision {
            if main(row) <= compactRevision, !keep.isEmpty, !keep.contains(row.key) { continue }
            hash.append(CRC32C(row.key + row.value))
        }
        return hash.value
    }

    func liveKeyCount(revision: Int64) -> Int {
        var newest: [[UInt8]: [UInt8]] = [:]
        for row in rows where main(row) <= revision { newest[userKey(row)] = row.key }
        return newest.values.count { $0.count == 17 }
    }

    private func main(_ row: BoltRow) -> Int64 { row.key.prefix(8).reduce(0) { $0 << 8 | Int64($1) } }

    /// Field 1 comes first and keys here are shorter than 128 bytes.
    private func userKey(_ row: BoltRow) -> [UInt8] {
        row.value.isEmpty ? [] : Array(row.value[2..<(2 + Int(row.value[1]))])
    }
}
