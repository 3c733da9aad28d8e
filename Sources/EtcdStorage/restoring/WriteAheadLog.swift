import HostIO
import Protobuf

// A write-ahead log file is a sequence of frames: u64le length field, record, zeros up to a multiple of 8. The length
// field's low 56 bits are the record's byte count; if there is padding its highest byte is 0x80 | padding count (etcd
// `server/storage/wal/encoder.go`). A record is walpb.Record {1 type, 2 crc, 3 data}; the crc runs over the data of all
// records so far. A length field of 0 ends the data.

/// The write-ahead log of a member that was just restored.
public struct WriteAheadLog: Sendable {
    /// The size that etcd preallocates (`wal.SegmentSizeBytes`).
    public static let segmentByteCount = 64_000_000
    /// The name of the first file: sequence number 0, first index 0.
    public static let fileName = "0000000000000000-0000000000000000.wal"

    /// What a record is (etcd `server/storage/wal/wal.go`).
    enum RecordType: UInt64 {
        case metadata = 1
        case entry = 2
        case state = 3
        case crc = 4
        case snapshot = 5
    }

    /// The frames; everything behind them in the file is zero.
    public private(set) var bytes: [UInt8] = []
    private var crc = CRC32C()

    /// The log of `member`: one configuration change for each member of the cluster, all committed in term 1, and a
    /// snapshot behind them, in the form that etcd 3.5 and 3.6 write and 3.4 to 3.7 read.
    public init(cluster: PlannedCluster, member: PlannedMember) {
        append(.crc, data: nil)
        var metadata = ProtobufWriter()
        metadata.field(1, member.id)
        metadata.field(2, cluster.id)
        append(.metadata, data: metadata.bytes)
        append(.snapshot, data: [0x08, 0x00, 0x10, 0x00])
        for (offset, member) in cluster.members.enumerated() {
            append(.entry, data: Self.addNode(member, index: UInt64(offset + 1)))
        }
        let count = UInt64(cluster.members.count)
        var state = ProtobufWriter()
        state.field(1, 1)
        state.field(2, cluster.members[0].id)
        state.field(3, count)
        append(.state, data: state.bytes)
        var snapshot = ProtobufWriter()
        snapshot.field(1, count)
        snapshot.field(2, 1)
        snapshot.field(3, cluster.confState)
        append(.snapshot, data: snapshot.bytes)
    }

    /// raftpb.Entry {1 Type = ConfChange, 2 Term = 1, 3 Index, 4 Data} of a ConfChange {1 id = 0, 2 type = AddNode, 3
    /// node ID, 4 context}.
    private static func addNode(_ member: PlannedMember, index: UInt64) -> [UInt8] {
        var change = ProtobufWriter()
        change.field(1, 0)
        change.field(2, 0)
        change.field(3, member.id)
        change.field(4, member.json)
        var entry = ProtobufWriter()
        entry.field(1, 1)
        entry.field(2, 1)
        entry.field(3, index)
        entry.field(4, change.bytes)
        return entry.bytes
    }

    private mutating func append(_ type: RecordType, data: [UInt8]?) {
        if let data { data.withUnsafeBytes { crc.update($0) } }
        bytes += Self.frame(type, crc: crc.value, data: data)
    }

    /// A record in its frame; `crc` covers its data already.
    static func frame(_ type: RecordType, crc: UInt32, data: [UInt8]?) -> [UInt8] {
        var record = ProtobufWriter()
        record.field(1, type.rawValue)
        record.field(2, UInt64(crc))
        if let data { record.field(3, data) }
        let padding = (8 - record.bytes.count % 8) % 8
        let flag = padding == 0 ? 0 : UInt64(0x80 | padding) << 56
        var bytes: [UInt8] = []
        appendLittleEndian(UInt64(record.bytes.count) | flag, to: &bytes)
        return bytes + record.bytes + [UInt8](repeating: 0, count: padding)
    }
}
