import ArchiveStore
import EtcdSnap
import FoundationEssentials
import HostIO
import SealedArchive
import SystemPackage

/// Finds out whose turn it is to make the snapshot of an etcd that several nodes back up into one store.
///
/// Nothing is written for that, to etcd or to the store, and nothing is locked: the order of the members follows from what
/// every node can see, and whoever is not the first looks into the store until the snapshot is there, or it is his turn.
struct SlotTurns: Sendable {
    let plan: BackupPlan
    let observer: Observer
    /// When the backup began.
    let start = Date()

    private var sharing: SnapshotSharing { plan.sharing }

    /// Sorts etcds into those that this node takes now, those that others have taken, and those to wait for.
    func begin(with targets: [EtcdTarget]) async throws -> SlotRound {
        var round = SlotRound()
        let candidates = targets.filter { reasonAgainst(sharing: $0) == nil }
        let listing = candidates.isEmpty ? nil : await listing()
        for target in targets {
            if let reason = reasonAgainst(sharing: target) ?? reasonAgainst(sharing: target, in: listing) {
                if !reason.isEmpty { observer.detail("\(target.name): this node takes its own snapshot: \(reason)") }
                round.taken.append(target)
            } else if case .success(let listing) = listing {
                place(target, by: listing, in: &round)
            }
        }
        return round
    }

    /// Waits until there is something to take, or nothing to wait for.
    ///
    /// - Throws: `CancellationError`.
    func settle(_ round: inout SlotRound) async throws {
        var pause = Duration.seconds(2)
        while round.taken.isEmpty, let end = round.waiting.map(\.end).min() {
            let rest = end - ContinuousClock.now
            if rest > .zero { try await Task.sleep(for: min(pause, rest)) }
            pause = min(pause * 2, Self.longestPause)
            let listing = await listing()
            if case .failure(let failure) = listing { observer.detail("the store can't be listed: \(failure.message)") }
            let waiting = round.waiting
            round.waiting = []
            for etcd in waiting { await look(for: etcd, in: try? listing.get(), &round) }
        }
    }

    /// The most time between two looks into the store: each costs requests.
    private static let longestPause = Duration.seconds(60)

    // MARK: One etcd

    private func place(_ target: EtcdTarget, by listing: StoreListing, in round: inout SlotRound) {
        round.slot = SlotRecord(number: sharing.clock.slot(at: start), lengthMinutes: sharing.slotMinutes)
        let snapshots = snapshots(of: target, in: listing)
        var target = target
        target.previous = previous(snapshots, in: listing)
        switch SlotState(snapshots, start: start, now: Date(), sharing.clock) {
        case .covered(let seen):
            observer.note("\(target.name): the snapshot of this slot is \(seen.reference)")
            round.shared.append(SharedSnapshot(seen, of: target))
        case .due(let number):
            let place = target.place(in: number)
            guard place > 0 else {
                observer.detail("\(target.name): it is this node's turn to take the snapshot")
                round.taken.append(target)
                return
            }
            let last = snapshots.max()
            let seconds = sharing.waitSeconds(place: place, lastDurationSeconds: last?.durationSeconds ?? 0)
            observer.note(
                "\(target.name): the snapshot of this slot is the turn of \(target.firstMemberName(in: number)): waiting "
                    + "for it, at most \(Int(seconds)) s")
            round.waiting.append(
                .init(target: target, place: place, seconds: seconds, end: ContinuousClock.now + .seconds(seconds)))
        }
    }

    /// Looks whether a snapshot is there, or has not come in time.
    private func look(for etcd: SlotRound.Waiting, in listing: StoreListing?, _ round: inout SlotRound) async {
        let snapshots = listing.map { self.snapshots(of: etcd.target, in: $0) } ?? []
        if case .covered(let seen) = SlotState(snapshots, start: start, now: Date(), sharing.clock) {
            observer.note("\(etcd.target.name): the snapshot of this slot is \(seen.reference)")
            round.shared.append(SharedSnapshot(seen, of: etcd.target))
        } else if ContinuousClock.now < etcd.end {
            round.waiting.append(etcd)
        } else {
            observer.warn(
                "\(etcd.target.name): no other node has made the snapshot of this slot within \(Int(etcd.seconds)) s: this "
                    + "one takes it")
            round.taken.append(await asked(etcd.target))
        }
    }

    /// What the members say now; what they said before where they can't be asked, for the attempt to tell why.
    private func asked(_ target: EtcdTarget) async -> EtcdTarget {
        guard var fresh = try? await EtcdTarget(connectingTo: target.source, observer: observer) else { return target }
        fresh.previous = target.previous
        return fresh
    }

    private func snapshots(of target: EtcdTarget, in listing: StoreListing) -> [SeenSnapshot] {
        listing.snapshots(ofEtcd: target.clusterID, in: plan.scope.cluster, sharing.clock)
    }

    private func previous(_ snapshots: [SeenSnapshot], in listing: StoreListing) -> StoredBackup? {
        let newest = snapshots.max()
        return listing.backups.first { $0.reference == newest?.reference }
    }

    // MARK: Where nothing is shared

    /// Why this node takes its own snapshot whatever is in the store; empty where that goes without saying.
    private func reasonAgainst(sharing target: EtcdTarget) -> String? {
        if sharing.isOff { return "as was asked for" }
        if target.survey.voterCount == 1 { return "" }
        if !target.source.isOfThisNode {
            return "it is not known to run on this node: its endpoints were given, or its static pod or unit names no "
                + "data directory that is mounted from here"
        }
        if plan.node.isEmpty { return "there are no files of this node to make a backup of" }
        if target.ownMember == nil { return "it is not known which of the members runs on this node" }
        return nil
    }

    private func reasonAgainst(sharing target: EtcdTarget, in listing: Result<StoreListing, Failure>?) -> String? {
        switch listing {
        case .failure(let failure): "the store can't be listed: \(failure.message)"
        case .success(let listing) where listing.hasOtherNodes(than: plan.scope, ofEtcd: target.clusterID): nil
        case .success, nil: "no other node has stored anything of this etcd in \(quoted(plan.store.name))"
        }
    }

    private func listing() async -> Result<StoreListing, Failure> {
        do {
            return .success(
                try await withBlockingThread("etcd-snap.slot") { try plan.store.list(cluster: plan.scope.cluster) })
        } catch let error as SystemCallError where error.errno == .noSuchFileOrDirectory {
            return .success(StoreListing())
        } catch {
            return .failure(Failure(wrapping: error))
        }
    }
}

extension EtcdTarget {
    /// The ID of the etcd cluster in hexadecimal.
    var clusterID: String { hexadecimal(candidate.status.clusterID) }

    /// The member that runs on this node: the one behind its loopback addresses, or the only one that its endpoints lead to.
    var ownMember: MemberStatus? {
        let reached = survey.candidates.filter { $0.status != nil && $0.status?.clusterID == survey.clusterID }
        let near = reached.filter { ([$0.endpoint] + $0.otherEndpoints).contains(where: \.isLoopback) }
        let possible = near.isEmpty ? reached : near
        return possible.count == 1 ? possible[0].status : nil
    }

    /// The members with a vote that answer, see a leader and are not corrupt.
    private var healthyVoters: [Member] {
        let corrupt = Set((survey.alarms ?? []).filter { $0.kind == .corrupt }.map(\.memberID))
        return survey.answers.filter { answer in
            guard let status = answer.status else { return false }
            return !answer.member.isLearner && status.leaderID != 0 && !corrupt.contains(answer.member.id)
        }.map(\.member)
    }

    /// How many members come before this node's; one that is not healthy comes after all that are.
    func place(in round: Int) -> Int {
        let order = SlotOrder.members(healthyVoters.map(\.id), ofEtcd: clusterID, round: round)
        return order.firstIndex { $0 == ownMember?.memberID } ?? order.count
    }

    /// What the first of the order is called.
    func firstMemberName(in round: Int) -> String {
        let order = SlotOrder.members(healthyVoters.map(\.id), ofEtcd: clusterID, round: round)
        let first = healthyVoters.first { $0.id == order.first }
        return "member \(printable(first?.name ?? "")) (\(hexadecimal(order.first ?? 0)))"
    }
}
