import FoundationEssentials

/// The time slot that a backup was made for, where several nodes share the snapshots of their etcd.
public struct SlotRecord: Codable, Sendable, Equatable {
    /// The number of the slot; the first one of a length began a quarter of it before 1970.
    public var number: Int
    /// How long slots are, in minutes.
    public var lengthMinutes: Int

    /// A slot by its number.
    public init(number: Int, lengthMinutes: Int) {
        self.number = number
        self.lengthMinutes = lengthMinutes
    }
}

/// An etcd of which a backup has no snapshot, because another node's backup has one.
public struct SharedSnapshot: Codable, Sendable, Equatable {
    /// The name of this etcd on the node.
    public var name: String
    /// The ID of the etcd cluster in hexadecimal.
    public var clusterID: String
    /// The number of the slot that the snapshot was to be made in.
    public var slot: Int
    /// The backup that has the snapshot, `cluster/node/id`; nil if there was none yet when this one was sealed.
    public var reference: String?
    /// When that backup began.
    public var createdAt: Date?
    /// The revision of the snapshot.
    public var revision: Int64?
    /// SHA-256 of its database in hexadecimal.
    public var databaseSHA256: String?

    /// A snapshot that nobody has made yet.
    public init(name: String, clusterID: String, slot: Int) {
        self.name = name
        self.clusterID = clusterID
        self.slot = slot
    }

    /// The node whose backup has the snapshot.
    public var node: String? {
        let parts = reference?.split(separator: "/") ?? []
        return parts.count == 3 ? String(parts[1]) : nil
    }

    /// `NODE in REFERENCE`, or that it is not known yet.
    public var place: String {
        guard let node, let reference else { return "another node, not known when this was sealed" }
        return "\(node) in \(reference)"
    }
}

extension DocumentLimits {
    /// Of 10 minutes and more, until the year 9999.
    static let slot = -1...(1 << 40)

    static func check(_ slot: SlotRecord?, _ shared: [SharedSnapshot]?, of name: String) throws {
        try check(slot?.number, Self.slot, "slot.number", of: name)
        try check(slot?.lengthMinutes, 1...(1 << 32), "slot.lengthMinutes", of: name)
        for snapshot in shared ?? [] {
            try check(snapshot.slot, Self.slot, "sharedSnapshots.slot", of: name)
            try check(snapshot.revision, revision, "sharedSnapshots.revision", of: name)
        }
    }
}
