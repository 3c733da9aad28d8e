import Foundation
import TestSupport
import Testing

@testable import Operations

@Suite struct SlotStateTests {
    private let clock = SlotClock(lengthMinutes: 60)
    /// A full hour.
    private let hour = Date(timeIntervalSince1970: 1_795_402_800)

    private func snapshot(_ secondsAfterHour: Double, slot: Int? = nil) -> SeenSnapshot {
        let time = hour.addingTimeInterval(secondsAfterHour)
        return SeenSnapshot(reference: "c/n/\(time)", node: "n", createdAt: time, slot: slot ?? clock.slot(at: time))
    }

    private func state(_ snapshots: [SeenSnapshot], at seconds: Double, now: Double? = nil) -> SlotState {
        SlotState(
            snapshots, start: hour.addingTimeInterval(seconds), now: hour.addingTimeInterval(now ?? seconds), clock)
    }

    @Test(arguments: [10, 15, 60, 360, 1440])
    func timersAtFullHoursAreFarFromWhereSlotsMeet(_ minutes: Int) {
        let clock = SlotClock(lengthMinutes: minutes)
        // Midnight is a multiple of each length.
        let midnight = Date(timeIntervalSince1970: 1_795_392_000)
        let slot = clock.slot(at: midnight)
        let quarter = clock.lengthSeconds / 4
        #expect(clock.slot(at: midnight.addingTimeInterval(-quarter)) == slot)
        #expect(clock.slot(at: midnight.addingTimeInterval(3 * quarter - 1)) == slot)
        #expect(clock.slot(at: midnight.addingTimeInterval(3 * quarter)) == slot + 1)
        #expect(clock.slot(at: midnight.addingTimeInterval(-quarter - 1)) == slot - 1)
        #expect(clock.slot(at: Date(timeIntervalSince1970: 0)) == 0)
    }

    /// Times are whole seconds; the names of archives of one second are in no order.
    @Test(arguments: [("a", "b"), ("b", "a")])
    func ofOneSecondTheLastIsTaken(_ names: (String, String)) {
        let seen = [(1, names.0), (2, names.1)].map { sequence, name in
            var seen = SeenSnapshot(reference: name, node: "n", createdAt: hour, slot: clock.slot(at: hour))
            seen.sequence = sequence
            return seen
        }
        #expect(state(seen, at: 60) == .covered(by: seen[1]))
        #expect(state(seen.reversed(), at: 60) == .covered(by: seen[1]))
    }

    @Test func aSnapshotOfTheSlotIsEnough() {
        let seen = snapshot(0)
        #expect(state([seen], at: 1800) == .covered(by: seen))
        #expect(state([snapshot(-3600), seen], at: 1800) == .covered(by: seen))
        #expect(state([seen], at: 3600) == .due(round: seen.slot + 1))
        #expect(state([], at: 0) == .due(round: 0))
    }

    /// A node whose clock is behind by a minute may think that it is still the slot before, and the other way round.
    @Test func aMomentAgoIsNowOnBothSidesOfWhereSlotsMeet() {
        let end = 45.0 * 60
        let seen = snapshot(end - 30)
        #expect(state([seen], at: end + 30) == .covered(by: seen))
        let later = snapshot(end + 30)
        #expect(state([later], at: end - 30) == .covered(by: later))
        #expect(clock.slot(at: seen.createdAt) + 1 == clock.slot(at: later.createdAt))
        #expect(state([seen], at: end + 130) == .due(round: seen.slot + 1))
    }

    /// A timer that fires where slots meet would else leave every other slot out.
    @Test func aTimerThatIsEarlyByALittleLeavesNoSlotOut() {
        let begin = -15.0 * 60
        let seen = snapshot(begin + 10)
        #expect(clock.slot(at: seen.createdAt) == clock.slot(at: hour.addingTimeInterval(begin + 3590)))
        #expect(state([seen], at: begin + 3590) == .due(round: seen.slot + 1))
    }

    /// However long it waits, a backup is for the slot that it was begun in.
    @Test func whatAppearsLateCounts() {
        let end = 45.0 * 60
        let seen = snapshot(end + 200, slot: clock.slot(at: hour.addingTimeInterval(end - 100)))
        #expect(state([seen], at: end - 100, now: end + 400) == .covered(by: seen))
        // It does not count for the next slot, though it was made in that.
        #expect(state([seen], at: end + 3500) == .due(round: seen.slot + 1))
    }

    @Test func whatIsFromTheFutureIsNone() {
        #expect(state([snapshot(7200)], at: 0) == .due(round: 0))
        let ahead = snapshot(110)
        #expect(state([ahead], at: 0) == .covered(by: ahead))
    }

    @Test func theWaitIsLongerWhereBackupsTakeLong() {
        var sharing = SnapshotSharing()
        #expect(sharing.waitSeconds(place: 1, lastDurationSeconds: 20) == 300)
        #expect(sharing.waitSeconds(place: 2, lastDurationSeconds: 400) == 1600)
        #expect(sharing.waitSeconds(place: 1, lastDurationSeconds: 1e9) == 3600)
        sharing.takeOverMinutes = 1
        #expect(sharing.waitSeconds(place: 3, lastDurationSeconds: 0) == 180)
    }
}

@Suite struct SlotOrderTests {
    @Test func everyNodeFindsTheSameOrder() {
        let members: [UInt64] = [0x8e9e_05c5_2164_694d, 1, .max]
        let order = SlotOrder.members(members, ofEtcd: "cdf8", round: 7)
        #expect(Set(order) == Set(members) && order.count == 3)
        #expect(SlotOrder.members(members.reversed() + members, ofEtcd: "cdf8", round: 7) == order)
        // Without one of them the others keep their order.
        for member in members {
            #expect(
                SlotOrder.members(members.filter { $0 != member }, ofEtcd: "cdf8", round: 7)
                    == order.filter { $0 != member })
        }
    }

    /// No member has all the work, and two etcds of the same nodes have orders of their own.
    @Test func eachIsTheFirstAsOftenAsTheOthers() {
        let members: [UInt64] = [11, 12, 13]
        var counts: [UInt64: Int] = [:]
        var differing = 0
        for round in 0..<3000 {
            let order = SlotOrder.members(members, ofEtcd: "a", round: round)
            counts[order[0], default: 0] += 1
            if SlotOrder.members(members, ofEtcd: "b", round: round) != order { differing += 1 }
        }
        for member in members { #expect((850...1150).contains(counts[member] ?? 0), "\(counts)") }
        #expect(differing > 2000)
    }
}

/// Nodes with timers and clocks of their own, one store, and time that passes.
private struct SlotSimulation {
    struct Node {
        var memberID: UInt64
        /// By how much the clock is ahead, in seconds.
        var clockOffset: Double
        /// Whether its backups fail after it was found to be healthy.
        var fails = false
    }

    struct Event {
        var time: Double
        var node: Node
        /// When the backup began and its place in the order; nil before that.
        var begun: (start: Date, place: Int)?
    }

    let clock: SlotClock
    let takeOverSeconds: Double
    var store: [(visibleFrom: Double, snapshot: SeenSnapshot)] = []
    /// How many nodes were the first of a round.
    private(set) var firstCount = 0

    init(clock: SlotClock, takeOverSeconds: Double) {
        self.clock = clock
        self.takeOverSeconds = takeOverSeconds
    }

    /// Lets each node make its backup, and says how many snapshots were taken.
    mutating func round(_ starts: [(time: Double, node: Node)], seconds: () -> Double) -> Int {
        var events = starts.map { Event(time: $0.time, node: $0.node) }
        let members = starts.map(\.node.memberID)
        let before = store.count
        firstCount = 0
        while let index = events.indices.min(by: { events[$0].time < events[$1].time }) {
            let event = events.remove(at: index)
            let now = Date(timeIntervalSince1970: event.time + event.node.clockOffset)
            let start = event.begun?.start ?? now
            let seen = store.filter { $0.visibleFrom <= event.time }.map(\.snapshot)
            guard case .due(let round) = SlotState(seen, start: start, now: now, clock) else { continue }
            guard event.begun == nil else {
                take(event, start, now, seconds())
                continue
            }
            let order = SlotOrder.members(members, ofEtcd: "c", round: round)
            let place = order.firstIndex(of: event.node.memberID) ?? order.count
            if place == 0 { firstCount += 1 }
            events.append(
                Event(
                    time: event.time + Double(place) * takeOverSeconds, node: event.node, begun: (start, place)))
        }
        return store.count - before
    }

    private mutating func take(_ event: Event, _ start: Date, _ now: Date, _ seconds: Double) {
        guard !event.node.fails else { return }
        let snapshot = SeenSnapshot(
            reference: "\(store.count)", node: "\(event.node.memberID)", createdAt: now,
            slot: min(clock.slot(at: start), clock.slot(at: now)))
        store.append((event.time + seconds, snapshot))
    }
}

/// For any clocks within a minute of the time, any set of members and any time of day.
@Suite struct SlotPropertyTests {
    private static let lengths = [10, 15, 60, 360, 1440]

    private struct Setting {
        var simulation: SlotSimulation
        var nodes: [SlotSimulation.Node]
        /// When the timers fire, from 1970 on, and each length of a slot later.
        var firstTime: Double
    }

    private func setting(_ random: inout SeededGenerator) -> Setting {
        let clock = SlotClock(lengthMinutes: Self.lengths.randomElement(using: &random) ?? 60)
        let count = Int.random(in: 1...7, using: &random)
        let nodes = (0..<count).map { _ in
            SlotSimulation.Node(
                memberID: .random(in: 1 ... .max, using: &random), clockOffset: .random(in: -60...60, using: &random))
        }
        var time = 1_795_392_000 + Double.random(in: 0..<86_400, using: &random).rounded()
        // As often as not right where slots meet.
        if Bool.random(using: &random) {
            let slot = (time / clock.lengthSeconds).rounded(.down)
            time = (slot - 0.25) * clock.lengthSeconds + .random(in: -90...90, using: &random)
        }
        return Setting(simulation: SlotSimulation(clock: clock, takeOverSeconds: 300), nodes: nodes, firstTime: time)
    }

    @Test func oneIsTheFirstAndOneSnapshotIsTaken() {
        var random = SeededGenerator(seed: 20_261_127)
        for _ in 0..<2000 {
            var setting = setting(&random)
            for slot in 0..<6 {
                // Any of them may be down, in any slot.
                let healthy = setting.nodes.filter { _ in Int.random(in: 0..<4, using: &random) > 0 }
                guard !healthy.isEmpty else { continue }
                let time = setting.firstTime + Double(slot) * setting.simulation.clock.lengthSeconds
                let starts = healthy.map { (time: time + .random(in: 0...5, using: &random), node: $0) }
                let seconds = Double.random(in: 6...100, using: &random)
                let count = setting.simulation.round(starts) { seconds }
                #expect(count == 1, "\(setting), slot \(slot)")
                #expect(setting.simulation.firstCount == 1, "\(setting), slot \(slot)")
                guard count == 1 else { return }
            }
        }
    }

    /// Whoever fails is taken over as long as one does not.
    @Test func whoeverFailsIsTakenOver() {
        var random = SeededGenerator(seed: 11)
        for _ in 0..<1000 {
            var setting = setting(&random)
            let well = setting.nodes.indices.randomElement(using: &random) ?? 0
            for index in setting.nodes.indices where index != well {
                setting.nodes[index].fails = Bool.random(using: &random)
            }
            for slot in 0..<4 {
                let time = setting.firstTime + Double(slot) * setting.simulation.clock.lengthSeconds
                let starts = setting.nodes.map { (time: time + .random(in: 0...5, using: &random), node: $0) }
                let count = setting.simulation.round(starts) { 60 }
                // Who takes over in a short slot may be so late that the next begins before it is out of date.
                let isLong = setting.simulation.clock.lengthMinutes >= 60
                #expect(isLong ? count == 1 : (0...1).contains(count), "\(setting), slot \(slot)")
                guard count == 1 || !isLong else { return }
            }
        }
    }
}
