import Protobuf

/// The raft snapshot file of a member that was just restored: the membership for etcd up to 3.6, which takes it from
/// here, as a v2 store in JSON.
///
/// The bytes are snappb.Snapshot {1 crc, 2 data} around raftpb.Snapshot {1 data = JSON, 2 metadata {1 conf state, 2
/// index, 3 term}}, in the form of etcd 3.4 and 3.5.
public struct RaftSnapshot: Sendable {
    /// The size of the v2 store's event history (`v2store.newEventHistory`).
    private static let eventCapacity = 1000
    private static let zeroTime = "0001-01-01T00:00:00Z"

    /// The file's name: term and index in hex.
    public let fileName: String
    /// The file's bytes.
    public let bytes: [UInt8]

    /// The snapshot of a cluster whose members were added at indices 1 to their count, in term 1.
    public init(cluster: PlannedCluster) {
        let index = UInt64(cluster.members.count)
        var metadata = ProtobufWriter()
        metadata.field(1, cluster.confState)
        metadata.field(2, index)
        metadata.field(3, 1)
        var snapshot = ProtobufWriter()
        snapshot.field(1, Array(Self.storeJSON(cluster.members).utf8))
        snapshot.field(2, metadata.bytes)
        var file = ProtobufWriter()
        file.field(1, UInt64(CRC32C(snapshot.bytes).value))
        file.field(2, snapshot.bytes)
        bytes = file.bytes
        fileName = "\(Self.hex16(1))-\(Self.hex16(index)).snap"
    }

    private static func hex16(_ number: UInt64) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    private static func storeJSON(_ members: [PlannedMember]) -> String {
        "{\"Root\":\(rootNode(members)),\"WatcherHub\":\(watcherHub(members)),\"CurrentIndex\":\(members.count),"
            + "\"Stats\":\(stats(members.count)),\"CurrentVersion\":2}"
    }

    private static func node(_ path: String, _ index: Int, _ value: String, _ children: String) -> String {
        "{\"Path\":\(JSONText.string(path)),\"CreatedIndex\":\(index),\"ModifiedIndex\":\(index),"
            + "\"ExpireTime\":\"\(zeroTime)\",\"Value\":\(JSONText.string(value)),\"Children\":\(children)}"
    }

    private static func rootNode(_ members: [PlannedMember]) -> String {
        let indexed = zip(members, 1...).map { member, index in (key: member.hexID, node: memberNode(member, index)) }
        let children = indexed.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
            .map { "\"\($0.key)\":\($0.node)" }.joined(separator: ",")
        let membersNode = node("/0/members", 1, "", "{\(children)}")
        let storeNode = node("/0", 0, "", "{\"members\":\(membersNode)}")
        return node("/", 0, "", "{\"0\":\(storeNode),\"1\":\(node("/1", 0, "", "{}"))}")
    }

    private static func memberNode(_ member: PlannedMember, _ index: Int) -> String {
        let path = "/0/members/\(member.hexID)"
        let attributes = node("\(path)/raftAttributes", index, member.raftAttributes, "null")
        return node(path, index, "", "{\"raftAttributes\":\(attributes)}")
    }

    private static func watcherHub(_ members: [PlannedMember]) -> String {
        var events = zip(members, 1...).map { member, index in
            "{\"action\":\"create\",\"node\":{\"key\":\"/0/members/\(member.hexID)/raftAttributes\","
                + "\"value\":\(JSONText.string(member.raftAttributes)),\"modifiedIndex\":\(index),\"createdIndex\":\(index)}}"
        }
        events += Array(repeating: "null", count: max(0, eventCapacity - events.count))
        let count = members.count
        return "{\"EventHistory\":{\"Queue\":{\"Events\":[\(events.joined(separator: ","))],\"Size\":\(count),"
            + "\"Front\":0,\"Back\":\(count),\"Capacity\":\(eventCapacity)},\"StartIndex\":1,\"LastIndex\":\(count)}}"
    }

    private static func stats(_ createCount: Int) -> String {
        let names = [
            "getsSuccess", "getsFail", "setsSuccess", "setsFail", "deleteSuccess", "deleteFail", "updateSuccess",
            "updateFail", "createSuccess", "createFail", "compareAndSwapSuccess", "compareAndSwapFail",
            "compareAndDeleteSuccess", "compareAndDeleteFail", "expireCount", "watchers",
        ]
        return "{" + names.map { "\"\($0)\":\($0 == "createSuccess" ? createCount : 0)" }.joined(separator: ",") + "}"
    }
}
