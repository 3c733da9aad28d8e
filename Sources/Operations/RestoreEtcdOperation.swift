import EtcdStorage
import FoundationEssentials
import HostIO
import SealedArchive

/// How a new etcd cluster is made of a snapshot; the names are etcdutl's.
public struct RestoreEtcdRequest: Sendable {
    /// `name=url` separated by commas.
    public var initialCluster = "default=http://localhost:2380"
    /// The token that makes the IDs unique; nil for a new random one.
    public var initialClusterToken: String?
    /// The member to restore; nil for all of them.
    public var memberName: String? = "default"
    /// The member's peer URLs, which must be those of the initial cluster; nil to take them from there.
    public var initialAdvertisePeerURLs: [String]?
    /// The data directory; for all members the directory that gets one for each, named like the member.
    public var dataDirectory: String
    /// A separate directory for the write-ahead log, of one member.
    public var walDirectory: String?
    /// By how much the revision is raised; nil for a bump computed here.
    public var revisionBump: Int64?
    /// Keys that are deleted behind the snapshot's newest revision; each must exist there, and every member lose the same.
    public var deletedKeys: Set<[UInt8]> = []
    /// The version of etcd that will run; nil for any.
    public var targetVersion: MinorVersion?
    /// Whom the data is given to; nil for the owner of a directory that is filled, or else of the lost member's.
    public var owner: FileOwner?
    /// Whether the snapshot may lack its SHA-256 trailer, or have a wrong one, which is said.
    public var skipsHashCheck = false

    /// A request with etcdutl's defaults, but for the token.
    public init(dataDirectory: String) { self.dataDirectory = dataDirectory }
}

/// What restoring etcd made.
public struct RestoreEtcdReport: Codable, Sendable {
    /// The snapshot.
    public var source: String
    /// The data directories by member.
    public var dataDirectories: [String: String]
    /// The new cluster's ID in hexadecimal, which the token decides on; nil as long as there is none.
    public var clusterID: String?
    /// The new members' IDs in hexadecimal, by name; none as long as there is no token.
    public var memberIDs: [String: String]
    /// The token, with which every member of the cluster has to be restored; nil if it is only made by the restore itself.
    public var initialClusterToken: String?
    /// Whom the data belongs to, as `uid:gid`.
    public var owner: String
    /// The revision that the new cluster continues from.
    public var revision: Int64
    /// By how much the revision was raised.
    public var revisionBump: Int64
    /// Why by that much.
    public var bumpReason: String
    /// What a person should know.
    public var notes: [String]
    /// What speaks against the data that was restored.
    public var warnings: [String] = []
    /// How long it took, in seconds.
    public var durationSeconds: Double
}

/// Writes data directories of a new etcd cluster from a snapshot, without etcdutl.
public enum RestoreEtcdOperation {
    /// The least bump: the number that etcd's own documentation on disaster recovery uses.
    public static let bumpFloor: Int64 = 1_000_000_000
    /// How many times faster than measured the lost cluster may have written since the snapshot.
    static let bumpSafetyFactor = 10.0

    /// What a restore would make, from the request and the snapshot's record; nothing is verified or written.
    ///
    /// - Throws: what ``run(_:_:observer:)`` throws before it reads the snapshot, of the targets too.
    public static func dryRun(_ source: SnapshotSource, _ request: RestoreEtcdRequest) throws -> RestoreEtcdReport {
        let plan = try Plan(source, request)
        try plan.checkTargets()
        try plan.checkRoom()
        return plan.preview().after(source)
    }

    /// Restores; on failure nothing is left, and an empty directory that is filled is empty again.
    public static func run(
        _ source: SnapshotSource, _ request: RestoreEtcdRequest, observer: Observer = Observer()
    ) async throws -> RestoreEtcdReport {
        // Before it is looked at what is there.
        LeftoverRemoval.removeRegistered(observer: observer)
        let plan = try Plan(source, request)
        return try await withBlockingThread("etcd-snap.restore.etcd") {
            releaseUnusedCode()
            let start = ContinuousClock.now
            try plan.checkRoom()
            let parent =
                plan.makesDirectoryOfAll
                ? try StagingDirectory(target: request.dataDirectory, keepsExisting: true) : nil
            do {
                let targets = plan.targets(in: parent?.directory.path)
                let bytes = WatchedBytes(source.bytes, phase: "restore etcd", observer: observer)
                let report = try stoppable { try Restore.run(from: bytes, plan: plan.restore, to: targets) }
                try parent?.publish()
                return plan.report(report, seconds: (ContinuousClock.now - start).seconds).after(source)
            } catch {
                parent?.discard()
                throw error
            }
        }
    }
}

extension RestoreEtcdReport {
    /// The report with what is to be said of the snapshot's choice before all else.
    fileprivate func after(_ source: SnapshotSource) -> RestoreEtcdReport {
        var report = self
        report.notes = source.notes + notes
        report.warnings = source.warnings + warnings
        return report
    }
}

/// A request that was checked against the snapshot.
private struct Plan: Sendable {
    let source: SnapshotSource
    let request: RestoreEtcdRequest
    let restore: RestorePlan
    let bumpReason: String
    let ownerReason: OwnerReason
    /// Whether the directories of all members are made together, in a directory that appears with all of them.
    let makesDirectoryOfAll: Bool

    init(_ source: SnapshotSource, _ request: RestoreEtcdRequest) throws {
        self.source = source
        self.request = request
        let token = request.initialClusterToken ?? RestoreEtcdOperation.freshToken()
        let cluster = try PlannedCluster(initialCluster: request.initialCluster, token: token)
        try Self.checkAdvertised(request, cluster)
        try Self.checkTogether(request, cluster)
        let prepared = request.memberName == nil ? try PreparedMembers(of: cluster, in: request.dataDirectory) : nil
        makesDirectoryOfAll = request.memberName == nil && prepared == nil
        var restore = RestorePlan(cluster: cluster)
        restore.targetVersion = request.targetVersion
        (restore.owner, ownerReason) = RestoreEtcdOperation.owner(source, request, prepared)
        if let owner = request.owner {
            try owner.checkMayBeGiven()
            restore.isOwnerRequired = true
        }
        restore.trailerPolicy = request.skipsHashCheck ? .ignored : .required
        let (bump, reason) = Self.bump(source, request)
        restore.revisionBump = bump
        restore.marksCompacted = bump > 0
        restore.deletedKeys = request.deletedKeys
        try restore.validateBump()
        self.restore = restore
        bumpReason = reason
    }

    /// Where each member goes: the data directory itself, or one in the directory of all.
    func targets(in parent: String?) -> [RestoreTarget] {
        if let name = request.memberName {
            return [
                RestoreTarget(
                    memberName: name, dataDirectory: request.dataDirectory, walDirectory: request.walDirectory)
            ]
        }
        let parent = parent ?? request.dataDirectory
        return restore.cluster.members.map {
            RestoreTarget(memberName: $0.name, dataDirectory: "\(parent)/\($0.name)")
        }
    }

    /// Checks what is where the data is to be, as the restore itself does.
    func checkTargets() throws {
        if makesDirectoryOfAll {
            try StagingPlace.check(request.dataDirectory, keepsExisting: true)
        } else {
            try Restore.check(targets(in: nil))
        }
    }

    /// Checks that there is room for every member's database, at the snapshot's size, and log.
    func checkRoom() throws {
        let sizes = Restore.fileSizes(databaseByteCount: source.bytes.byteCount)
        if makesDirectoryOfAll {
            let all = restore.cluster.members.flatMap { _ in sizes.data + [sizes.log] }
            return try StagingPlace.checkRoom(for: [(request.dataDirectory, all)], keepsExisting: true)
        }
        let fillings = targets(in: nil).flatMap { target in
            guard let log = target.walDirectory else { return [(target.dataDirectory, sizes.data + [sizes.log])] }
            return [(target.dataDirectory, sizes.data), (log, [sizes.log])]
        }
        try StagingPlace.checkRoom(for: fillings, keepsExisting: true)
    }

    func preview() -> RestoreEtcdReport {
        var report = report(revision: (source.record?.revision ?? 0) + restore.revisionBump)
        report.notes = [ownerNote(refusal: nil)].compactMap(\.self)
        guard request.initialClusterToken == nil else { return report }
        // Those of the restore itself will be others.
        (report.clusterID, report.memberIDs, report.initialClusterToken) = (nil, [:], nil)
        return report
    }

    func report(_ report: MemberRestoreReport, seconds: Double) -> RestoreEtcdReport {
        var result = self.report(revision: report.revision)
        if report.ownerRefusal != nil { result.owner = FileOwner.ofThisProcess.description }
        result.notes = notes(report)
        result.warnings = Self.warnings(report.source)
        result.durationSeconds = seconds
        return result
    }

    private func report(revision: Int64) -> RestoreEtcdReport {
        let members = restore.cluster.members
        let directories =
            request.memberName.map { [$0: request.dataDirectory] }
            ?? Dictionary(uniqueKeysWithValues: members.map { ($0.name, "\(request.dataDirectory)/\($0.name)") })
        return RestoreEtcdReport(
            source: source.bytes.name, dataDirectories: directories, clusterID: String(restore.cluster.id, radix: 16),
            memberIDs: Dictionary(uniqueKeysWithValues: members.map { ($0.name, $0.hexID) }),
            initialClusterToken: restore.cluster.token, owner: (restore.owner ?? .ofThisProcess).description,
            revision: revision, revisionBump: restore.revisionBump, bumpReason: bumpReason, notes: [],
            durationSeconds: 0)
    }

    /// A trailer that was not to be checked, and is wrong.
    private static func warnings(_ source: SnapshotReport) -> [String] {
        switch source.trailer {
        case .mismatched, .cut:
            [
                "the SHA-256 trailer of \(quoted(source.name)) does not match: values may have changed that nothing else "
                    + "would tell; compare them, or take another backup"
            ]
        case .matched, .absent, .unchecked: []
        }
    }

    private func notes(_ report: MemberRestoreReport) -> [String] {
        var notes = [ownerNote(refusal: report.ownerRefusal)].compactMap(\.self)
        if report.deletedKeyCount > 0 {
            notes.append("deleted \(report.deletedKeyCount) keys behind the snapshot's newest revision")
        }
        if !report.droppedAlarms.isEmpty {
            let alarms = report.droppedAlarms.map { "\($0.kind.rawValue) of member \(hexadecimal($0.memberID))" }
            notes.append(
                "dropped the lost cluster's alarms \(alarms.joined(separator: ", ")): "
                    + "after NOSPACE compact and defragment, or raise --quota-backend-bytes")
        }
        if let store = report.source.contents?.store {
            if store.isAuthEnabled { notes.append("authentication is on: clients need their credentials") }
            if store.leaseCount > 0 { notes.append("\(store.leaseCount) leases start again with their full time") }
        }
        if report.databaseByteCount > Self.defaultQuota / 10 * 9 {
            notes.append(
                "the database has \(report.databaseByteCount) bytes and etcd's default quota is \(Self.defaultQuota): "
                    + "start it with a larger --quota-backend-bytes")
        }
        if request.memberName != nil, restore.cluster.members.count > 1 {
            notes.append("restore the other members from the same backup with the same token and the same bump")
        }
        return notes
    }

    private func ownerNote(refusal: SystemCallError?) -> String? {
        RestoreEtcdOperation.ownerNote(restore.owner, ownerReason, refusal: refusal)
    }

    /// What etcd allows a database without `--quota-backend-bytes` (etcd `DefaultQuotaBytes`).
    private static let defaultQuota = 2 << 30

    /// Members that are restored one by one must not each draw a token or compute a bump of their own.
    private static func checkTogether(_ request: RestoreEtcdRequest, _ cluster: PlannedCluster) throws {
        guard request.memberName != nil, cluster.members.count > 1 else {
            for member in cluster.members where request.memberName == nil && EntryName(member.name.utf8) == nil {
                throw Failure(
                    .usage, "the member \(quoted(member.name)) can't have a directory of its name",
                    hint: "give it another name, or restore it alone")
            }
            return
        }
        guard request.initialClusterToken != nil, request.revisionBump != nil else {
            throw Failure(
                .usage, "one of \(cluster.members.count) members is restored without a token and a bump of its cluster",
                hint: "restore all members at once, or give every one the same token and the same bump, "
                    + "such as \(RestoreEtcdOperation.bumpFloor), or none",
                settings: [.allMembers, .initialClusterToken, .bumpRevision, .noBump])
        }
    }

    private static func checkAdvertised(_ request: RestoreEtcdRequest, _ cluster: PlannedCluster) throws {
        guard let name = request.memberName else { return }
        let member = try cluster.member(named: name)
        guard let advertised = request.initialAdvertisePeerURLs else { return }
        guard advertised.sorted() == member.peerURLs.sorted() else {
            throw Failure(
                .usage,
                "the initial cluster has \(member.peerURLs.joined(separator: ",")) for \(quoted(name)), "
                    + "its advertised peer URLs are \(advertised.joined(separator: ","))",
                hint: "give both the same URLs", settings: [.initialCluster, .initialAdvertisePeerURLs])
        }
    }

    private static func bump(_ source: SnapshotSource, _ request: RestoreEtcdRequest) -> (Int64, String) {
        RestoreEtcdOperation.bump(source.record, source.archive, asked: request.revisionBump)
    }
}

extension RestoreEtcdOperation {
    /// A token that no other cluster has.
    static func freshToken() -> String {
        "etcd-snap-" + (0..<16).map { _ in String(UInt8.random(in: 0...15), radix: 16) }.joined()
    }

    /// The bump that was asked for, or one that is more than the lost cluster can have written since the snapshot; with why.
    static func bump(
        _ record: EtcdSnapshotRecord?, _ archive: ArchiveHeader?, asked: Int64?
    ) -> (Int64, String) {
        if let bump = asked { return (bump, bump == 0 ? "none, as asked for" : "as asked for") }
        guard let record, let archive, let rate = record.revisionsPerSecond, rate >= 0,
            rate < 1e9
        else {
            return (RestoreEtcdOperation.bumpFloor, "the default: the write rate is not known")
        }
        let age = max(0, Date().timeIntervalSince(archive.createdAt))
        let written = rate * age * RestoreEtcdOperation.bumpSafetyFactor
        let reason = "\(Int(rate.rounded(.up))) revisions/s for \(Int(age)) s, ten times over"
        guard written > Double(RestoreEtcdOperation.bumpFloor) else {
            return (RestoreEtcdOperation.bumpFloor, "the floor; measured were \(reason)")
        }
        return (Int64(min(written, 1e12)), reason)
    }
}
