import Crypto
import FoundationEssentials
import HostIO

/// Whether an etcd needs a new snapshot now: a pure function of the store and the clock.
enum SlotState: Sendable, Equatable {
    /// There is one, and nobody needs to make another.
    case covered(by: SeenSnapshot)
    /// There is none. The round says which order of members counts; it is told by the store, so that nodes whose clocks
    /// differ, or lie on both sides of where slots meet, have the same.
    case due(round: Int)

    /// The state of an etcd.
    ///
    /// - Parameters:
    ///   - snapshots: those in the store.
    ///   - start: when this node's backup began, by its clock; the slot is that of this time however long it waits.
    ///   - now: the time by the same clock.
    init(_ snapshots: [SeenSnapshot], start: Date, now: Date, _ clock: SlotClock) {
        // What says that it is from the future may be any age.
        let past = snapshots.filter { $0.createdAt.timeIntervalSince(now) <= SlotClock.toleranceSeconds }
        let newest = past.max()
        guard let newest else {
            self = .due(round: 0)
            return
        }
        let age = start.timeIntervalSince(newest.createdAt)
        // In the same moment, be it before or behind the end of a slot.
        let isOfNow = age < SlotClock.toleranceSeconds
        // A timer that is early by a little, or a clock that is late, is no reason to leave a slot out.
        let isOfSlot =
            newest.slot >= clock.slot(at: start) && age < clock.lengthSeconds - SlotClock.toleranceSeconds
        self = isOfNow || isOfSlot ? .covered(by: newest) : .due(round: newest.slot + 1)
    }
}

/// The order in which the members of an etcd cluster are to make a snapshot.
enum SlotOrder {
    /// The members, the first one first: by a digest, so that each is as often the first as the others.
    ///
    /// - Parameters:
    ///   - memberIDs: the healthy members with a vote, in any order.
    ///   - clusterID: the cluster's ID in hexadecimal, so that the members of several etcds of one node have orders of their own.
    static func members(_ memberIDs: some Sequence<UInt64>, ofEtcd clusterID: String, round: Int) -> [UInt64] {
        Set(memberIDs).map { (digest: digest($0, clusterID, round), id: $0) }
            .sorted { ($0.digest, $0.id) < ($1.digest, $1.id) }.map(\.id)
    }

    private static func digest(_ memberID: UInt64, _ clusterID: String, _ round: Int) -> String {
        Array(SHA256.hash(data: Array("\(clusterID) \(round) \(hexadecimal(memberID))".utf8))).hexadecimal
    }
}
