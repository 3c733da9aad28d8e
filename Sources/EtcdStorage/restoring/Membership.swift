internal import Crypto
import FoundationEssentials
import HostIO
import Protobuf

/// A member of the cluster that is to be made.
public struct PlannedMember: Sendable, Hashable {
    /// The name: etcd's `--name`.
    public var name: String
    /// The URLs that other members reach it by, sorted.
    public var peerURLs: [String]
    /// The member ID.
    public var id: UInt64

    /// The ID as etcd writes it into keys: hex without leading zeros.
    public var hexID: String { String(id, radix: 16) }

    /// The row of bucket `members`, and the context of the raft configuration change: fields in etcd's order.
    var json: [UInt8] {
        let urls = peerURLs.map(JSONText.string).joined(separator: ",")
        return Array("{\"id\":\(id),\"peerURLs\":[\(urls)],\"name\":\(JSONText.string(name))}".utf8)
    }

    /// The v2 store's attributes of the member.
    var raftAttributes: String { "{\"peerURLs\":[\(peerURLs.map(JSONText.string).joined(separator: ","))]}" }
}

/// The members of a cluster that is to be made, with the IDs that follow from URLs and token.
public struct PlannedCluster: Sendable, Hashable {
    /// The members by ascending ID.
    public let members: [PlannedMember]
    /// The cluster ID.
    public let id: UInt64
    /// The token that went into the IDs: etcd's `--initial-cluster-token`.
    public let token: String

    /// Makes a cluster of names and peer URLs.
    ///
    /// A member's ID is the first 8 bytes of SHA-1 over its sorted URLs and the token; the cluster's is that over the
    /// members' IDs (etcd `membership.computeMemberId`, `RaftCluster.genID`).
    ///
    /// - Throws: ``StorageError/invalidPlan(reason:hint:)``: no members, a URL that is malformed or named twice.
    public init(members: [(name: String, peerURLs: [String])], token: String) throws(StorageError) {
        guard !members.isEmpty else {
            throw .invalidPlan(reason: "the initial cluster has no members", hint: Self.grammarHint)
        }
        var owners: [String: String] = [:]
        var planned: [PlannedMember] = []
        for (name, urls) in members {
            try Self.validate(name, urls, &owners)
            let sorted = urls.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
            let digest = Insecure.SHA1.hash(data: Data((sorted.joined() + token).utf8))
            planned.append(PlannedMember(name: name, peerURLs: sorted, id: u64BigEndian(Array(digest))))
        }
        self.members = planned.sorted { $0.id < $1.id }
        self.token = token
        id = Self.clusterID(self.members)
        try validateIDs()
    }

    /// Makes a cluster from etcd's `--initial-cluster`: `name=url` separated by commas; a repeated name adds a URL.
    public init(initialCluster: String, token: String) throws(StorageError) {
        var members: [(name: String, peerURLs: [String])] = []
        for part in initialCluster.split(separator: ",", omittingEmptySubsequences: false) {
            guard let equals = part.firstIndex(of: "="), equals != part.startIndex else {
                throw .invalidPlan(reason: "\"\(part)\" is not a member of an initial cluster", hint: Self.grammarHint)
            }
            let name = part[..<equals].trimmed
            let url = part[part.index(after: equals)...].trimmed
            if let index = members.firstIndex(where: { $0.name == name }) {
                members[index].peerURLs.append(url)
            } else {
                members.append((name, [url]))
            }
        }
        try self.init(members: members, token: token)
    }

    /// The member of that name.
    public func member(named name: String) throws(StorageError) -> PlannedMember {
        guard let member = members.first(where: { $0.name == name }) else {
            throw .invalidPlan(
                reason: "member \"\(name)\" is not in the initial cluster",
                hint: "its members are \(members.map(\.name).sorted().joined(separator: ", "))")
        }
        return member
    }

    /// The voters as a `raftpb.ConfState`: 1 voters, and with `autoLeave` 5 auto_leave = 0 as etcd 3.5 writes it.
    var confState: [UInt8] {
        var writer = ProtobufWriter()
        for member in members { writer.field(1, member.id) }
        writer.field(5, 0)
        return writer.bytes
    }

    private static let grammarHint = "write name=https://host:2380, separated by commas"

    private static func clusterID(_ members: [PlannedMember]) -> UInt64 {
        var bytes: [UInt8] = []
        for member in members { appendBigEndian(member.id, to: &bytes) }
        return u64BigEndian(Array(Insecure.SHA1.hash(data: Data(bytes))))
    }

    private func validateIDs() throws(StorageError) {
        for (first, second) in zip(members, members.dropFirst()) where first.id == second.id {
            throw .invalidPlan(
                reason: "members \"\(first.name)\" and \"\(second.name)\" have the same ID \(first.hexID)",
                hint: "choose another token")
        }
        let names = Set(members.map(\.name))
        guard names.count == members.count else {
            throw .invalidPlan(reason: "a member's name is used twice", hint: "give each member its own name")
        }
        guard members.allSatisfy({ $0.id != 0 }), id != 0 else {
            throw .invalidPlan(reason: "an ID comes out as 0", hint: "choose another token")
        }
    }

    private static func validate(
        _ name: String, _ urls: [String], _ owners: inout [String: String]
    ) throws(StorageError) {
        guard !name.isEmpty else {
            throw .invalidPlan(reason: "a member of the initial cluster has no name", hint: grammarHint)
        }
        guard !urls.isEmpty else {
            throw .invalidPlan(reason: "member \"\(name)\" has no peer URL", hint: grammarHint)
        }
        for url in urls {
            if let reason = PeerURL.problem(url) {
                throw .invalidPlan(reason: "peer URL \"\(url)\" of member \"\(name)\" \(reason)", hint: grammarHint)
            }
            if let other = owners.updateValue(name, forKey: url) {
                throw .invalidPlan(
                    reason: "peer URL \"\(url)\" belongs to \"\(other)\" and to \"\(name)\"",
                    hint: "give each member its own URLs")
            }
        }
    }
}

/// The rules for peer URLs (etcd `types.NewURLs`).
enum PeerURL {
    /// What is wrong with a URL, as the end of a sentence; nil if nothing is.
    static func problem(_ url: String) -> String? {
        guard let separator = url.firstRange(of: "://") else { return "has no scheme" }
        let scheme = url[..<separator.lowerBound]
        let rest = url[separator.upperBound...]
        if ["unix", "unixs"].contains(scheme) { return rest.isEmpty ? "has no path" : nil }
        guard ["http", "https"].contains(scheme) else { return "must be http or https" }
        guard rest.allSatisfy({ $0.isASCII && $0 > " " && !"\"\\<>@".contains($0) }) else {
            return "has a character that can't be in it"
        }
        if rest.contains(where: { "/?#".contains($0) }) { return "must not have a path" }
        guard let colon = rest.lastIndex(of: ":") else { return "has no port" }
        let host = rest[..<colon]
        guard let port = UInt16(rest[rest.index(after: colon)...]), port > 0 else { return "has no valid port" }
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]") && host.count > 2
        guard !host.isEmpty, isBracketed || !host.contains(where: { ":[]".contains($0) }) else {
            return "has no valid host"
        }
        return nil
    }
}

extension Substring {
    fileprivate var trimmed: String {
        String(drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }
}

/// JSON as Go's encoding/json writes it.
enum JSONText {
    /// A string with quotes; `<`, `>`, `&`, U+2028 and U+2029 are escaped as Go does.
    static func string(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\\(scalar)"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case "<", ">", "&", "\u{2028}", "\u{2029}": result += escape(scalar)
            case _ where scalar.value < 0x20: result += escape(scalar)
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    private static func escape(_ scalar: Unicode.Scalar) -> String {
        let digits = String(scalar.value, radix: 16)
        return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    }
}
