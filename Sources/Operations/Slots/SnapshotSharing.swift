import HostIO

/// How the nodes of a cluster share the snapshots of their etcd.
public struct SnapshotSharing: Sendable, Equatable {
    /// Whether every node makes its own.
    public var isOff = false
    /// How long a slot is, in minutes: one node makes a snapshot in each.
    public var slotMinutes = 60
    /// After how many minutes without a snapshot the next member in the order makes it.
    public var takeOverMinutes = 5

    /// The defaults.
    public init() {}

    var clock: SlotClock { SlotClock(lengthMinutes: slotMinutes) }

    /// How long the member at a place of the order waits for those before it, in seconds: for each of them the configured time,
    /// or twice as long as the last backup with a snapshot took, where that is more.
    func waitSeconds(place: Int, lastDurationSeconds: Double) -> Double {
        Double(place) * min(max(Double(takeOverMinutes) * 60, 2 * lastDurationSeconds), Self.longestTurnSeconds)
    }

    /// A backup that took longer than this is no measure.
    private static let longestTurnSeconds = 3600.0
}

extension Configuration {
    /// How snapshots are shared.
    ///
    /// - Parameter everyNode: the flag, which goes before; nil without it.
    /// - Throws: ``Failure`` that names the place of a number out of range.
    public func snapshotSharing(everyNode: Bool? = nil) throws -> SnapshotSharing {
        try check(snapshot?.slotMinutes, isIn: 10...10_080, at: "snapshot.slotMinutes")
        try check(snapshot?.takeOverMinutes, isIn: 1...60, at: "snapshot.takeOverMinutes")
        var sharing = SnapshotSharing()
        sharing.isOff = everyNode ?? snapshot?.everyNode ?? false
        sharing.slotMinutes = snapshot?.slotMinutes ?? sharing.slotMinutes
        sharing.takeOverMinutes = snapshot?.takeOverMinutes ?? sharing.takeOverMinutes
        return sharing
    }
}
