import Age
import Certificates
import EtcdStorage
import FoundationEssentials
import HostIO
import NodeFiles
import PKIBackup
import SealedArchive

/// How a node's part of a plan is carried out.
public struct RebuildApplyRequest: Sendable {
    /// The plan.
    public var plan: RebuildPlan
    /// The plan's document, byte by byte.
    public var document: [UInt8]
    /// The node of the plan that this host is to be.
    public var node: String
    /// The root of the host's file system.
    public var root: String
    /// Whether a data directory of etcd that is there is moved aside.
    public var keepsData = false
    /// The level that the snapshot must have reached.
    public var minimumLevel = VerificationLevel.structural
    /// The beginning of the digest that the plan must have; nil for any.
    public var planID: String?
    /// Whether this host may have none of the node's addresses.
    public var mayBeElsewhere = false
    /// Where the snapshot of a survivor may be, if the plan has one.
    public var snapshotFiles: [String] = []
    /// The time.
    public var now: Date
    /// Called behind each record of the journal; what it throws ends the work there, as a crash would.
    var didWrite: (@Sendable (String) throws -> Void)?

    /// A request with a plan and its document.
    public init(_ file: (plan: RebuildPlan, document: [UInt8]), node: String, root: String, now: Date) {
        (plan, document) = file
        self.node = node
        self.root = root
        self.now = now
    }
}

/// What a rebuild did on a host.
public struct RebuildApplyReport: Codable, Sendable {
    /// The node.
    public var node: String
    /// The root.
    public var root: String
    /// The plan, by the beginning of its digest.
    public var planID: String
    /// The number of files and links placed.
    public var fileCount: Int
    /// The number of certificates made anew.
    public var issuedCount: Int
    /// The data directory; nil where etcd runs elsewhere.
    public var dataDirectory: String?
    /// Where data that was there is kept; nil if there was none.
    public var keptData: String?
    /// The new etcd cluster's ID in hexadecimal.
    public var clusterID: String?
    /// The revision that it continues from.
    public var revision: Int64?
    /// What a person should know.
    public var notes: [String]
    /// Steps that an earlier run had done.
    public var resumedSteps: [String]
    /// How long it took, in seconds.
    public var durationSeconds: Double
}

/// Does one node's part of a plan on its host.
public enum RebuildApply {
    /// Does it; killed anywhere, the same again goes on.
    ///
    /// - Parameter open: opens the archive of an entry of the plan.
    /// - Throws: ``Failure`` with the code `findings` where certificates have to be signed elsewhere first, `noSpace` before
    ///   anything is written, `locked` while another one runs.
    public static func run(
        _ request: RebuildApplyRequest, identities: [any Identity],
        open: @escaping @Sendable (RebuildPlan.Archive) throws -> OpenedArchive, observer: Observer = Observer()
    ) async throws -> RebuildApplyReport {
        try await withBlockingThread("etcd-snap.rebuild.apply") {
            let start = ContinuousClock.now
            let root = try OpenDirectory(path: request.root)
            try checkPlanID(request)
            let node = try request.plan.node(request.node)
            if let report = try finished(request) { return report }
            let sources = try checked(request, node, root, identities, open, observer)
            guard let journal = try RebuildJournal(root: root, makes: true) else {
                throw Failure(.failed, "the journal can't be made")
            }
            if let didWrite = request.didWrite { journal.didWrite = { try didWrite($0.kind.rawValue) } }
            // Whoever goes on by the journal alone finds it there, also where it was lost on the way.
            try keepPlan(of: request, in: journal)
            if journal.begin == nil { try begin(journal, request) }
            LeftoverRemoval.removeRegistered(observer: observer)
            do {
                let work = try RebuildWork(request, node, sources, journal, root, observer)
                return try await work.run(since: start)
            } catch {
                throw stopped(error, request.root)
            }
        }
    }

    /// What would be refused before anything is written; for a dry run.
    public static func check(
        _ request: RebuildApplyRequest, identities: [any Identity],
        open: @Sendable (RebuildPlan.Archive) throws -> OpenedArchive, observer: Observer = Observer()
    ) throws {
        let root = try OpenDirectory(path: request.root)
        try checkPlanID(request)
        _ = try checked(request, request.plan.node(request.node), root, identities, open, observer)
    }

    /// The sources of a host's part, after everything that is refused.
    private static func checked(
        _ request: RebuildApplyRequest, _ node: RebuildNodePlan, _ root: OpenDirectory, _ identities: [any Identity],
        _ open: (RebuildPlan.Archive) throws -> OpenedArchive, _ observer: Observer
    ) throws -> ApplySources {
        let journal = try RebuildJournal(root: root, makes: false)
        try checkRecorded(journal, request)
        // What has begun goes on: an interface may be down meanwhile.
        let host = try journal?.begin == nil ? RebuildHost(of: root, request) : nil
        try host?.checkAddresses(of: node)
        try preflight(request, node, root, journal)
        let sources = try ApplySources(request, node, identities, open)
        host?.checkName(of: node, sources.backup, observer)
        try checkWork(request, node, sources, root)
        try checkRoom(request, node, sources, root, journal)
        return sources
    }

    private static func checkPlanID(_ request: RebuildApplyRequest) throws(Failure) {
        guard let wanted = request.planID else { return }
        let id = wanted.lowercased()
        guard id.utf8.count >= request.plan.id.utf8.count else {
            throw Failure(
                .usage, "\(quoted(wanted)) is no ID of a plan: it has \(request.plan.id.utf8.count) digits",
                hint: "it is in the runbook, and `etcd-snap rebuild plan` has shown it", settings: [.planID])
        }
        guard request.plan.sha256?.hasPrefix(id) != true else { return }
        throw Failure(
            .failed, "this is the plan \(request.plan.id), and \(quoted(wanted)) is asked for",
            hint: "members from two plans are no cluster: copy the one plan to every host")
    }

    private static func keepPlan(of request: RebuildApplyRequest, in journal: RebuildJournal) throws {
        if journal.begin != nil, (try? RebuildPlan.read(of: journal)) != nil { return }
        if journal.directory.contains(RebuildJournal.planName) {
            try journal.directory.removeFile(RebuildJournal.planName)
        }
        let file = try PendingFile(in: journal.directory, name: RebuildJournal.planName)
        try request.document.withUnsafeBytes { try file.write($0) }
        try file.publish(replacing: true)
    }

    /// An error in the middle, with what can be done then.
    private static func stopped(_ error: any Error, _ root: String) -> any Error {
        var failure = error is CancellationError ? Failure(.failed, "it was stopped") : Failure(wrapping: error)
        guard failure.code != .findings else { return failure }
        let next =
            "the same command goes on, or `etcd-snap rebuild continue`, and `etcd-snap rebuild undo` takes back what was done"
        failure.hint = failure.hint.map { "\($0); \(next)" } ?? next
        failure.settings += RebuildUndo.settings(root)
        return failure
    }

    private static func begin(
        _ journal: RebuildJournal, _ request: RebuildApplyRequest
    ) throws {
        try journal.write(.begin) { record in
            record.version = RebuildJournal.version
            record.node = request.node
            record.planSHA256 = request.plan.sha256
            record.at = request.now
        }
        try journal.write(
            journal.madeParents.map { path in
                var record = RebuildJournal.Record(.makes)
                record.path = path
                return record
            })
    }

    /// What a run that was killed behind its last step would have said; nil where there is something to do.
    private static func finished(_ request: RebuildApplyRequest) throws -> RebuildApplyReport? {
        guard let status = try? RebuildStatus.read(root: request.root, readsPlan: false), status.state == "done",
            status.node == request.node, status.planSHA256 == request.plan.sha256
        else { return nil }
        if let journal = try RebuildJournal(root: OpenDirectory(path: request.root), makes: false) {
            try keepPlan(of: request, in: journal)
        }
        return RebuildApplyReport(
            node: status.node, root: status.root, planID: request.plan.id, fileCount: status.fileCount, issuedCount: 0,
            dataDirectory: try request.plan.node(request.node).member?.dataDirectory, keptData: status.keptData,
            notes: ["\(quoted(status.node)) was rebuilt by this plan already: nothing was done"],
            resumedSteps: status.steps.map(\.name), durationSeconds: 0)
    }

    // MARK: Refusals

    private static func checkRecorded(
        _ journal: RebuildJournal?, _ request: RebuildApplyRequest
    ) throws(Failure) {
        guard let journal, let begin = journal.begin else { return }
        let undo = "take it back first: `etcd-snap rebuild undo`"
        if journal.isUndoing {
            throw Failure(
                .failed, "a rebuild of \(quoted(begin.node ?? "")) is being taken back below \(quoted(request.root))",
                hint: "finish that: `etcd-snap rebuild undo`", settings: RebuildUndo.settings(request.root))
        }
        guard begin.node == request.node, begin.planSHA256 == request.plan.sha256 else {
            throw Failure(
                .failed,
                "another rebuild, of \(quoted(begin.node ?? "")) by the plan \(RebuildPlan.id(ofDigest: begin.planSHA256 ?? "")) "
                    + "begun at \(begin.at.formatted(.iso8601)), is recorded below \(quoted(request.root)); this is "
                    + "\(quoted(request.node)) of the plan \(request.plan.id)", hint: undo,
                settings: RebuildUndo.settings(request.root))
        }
        if journal.isDone {
            throw Failure(
                .failed, "\(quoted(request.node)) was rebuilt below \(quoted(request.root)) by this plan already",
                hint: "see `etcd-snap rebuild status`; to do it anew \(undo)",
                settings: RebuildUndo.settings(request.root))
        }
    }

    /// Refuses a host where a control plane runs.
    static func checkNothingRuns(_ root: String) throws {
        let live = LiveControlPlane()
        guard live.isVisible else {
            throw Failure(
                .failed, "whether a control plane runs below \(quoted(root)) can't be told: /proc is not mounted",
                hint: "mount it: mount -t proc proc /proc")
        }
        let users = try live.users(of: OpenDirectory(path: root))
        guard !users.isEmpty else { return }
        let others = users.count > 4 ? " and \(users.count - 4) more" : ""
        throw Failure(
            .failed, "a control plane runs below \(quoted(root)): \(users.prefix(4).joined(separator: ", "))\(others)",
            hint: "if it is not what was lost, it must not be overwritten; else stop the kubelet and the static pods")
    }

    /// Refuses where something listens already at what the node is to be reached by.
    private static func checkNothingListens(_ node: RebuildNodePlan) throws(Failure) {
        let addresses = node.addresses.compactMap { IPAddress($0) }
        var places = addresses.map { (address: $0, port: node.mapping.port) }
        for url in node.member?.peerURLs ?? [] {
            if let (host, port) = LostNode.hostAndPort(url), let address = IPAddress(host), let port,
                // What every host has tells nothing of the one below this root.
                !["127.0.0.1", "::1"].contains(address.text)
            {
                places += [(address, port), (address, 2379)]
            }
        }
        guard let (address, port) = LocalListener.first(of: places) else { return }
        let what = port == node.mapping.port ? "an API server" : "an etcd"
        throw Failure(
            .failed,
            "something listens at \(address.text) on port \(port) already, where \(what) of \(quoted(node.name)) is to be",
            hint: "if a control plane lives there, nothing was lost; else stop what it is")
    }

    private static func preflight(
        _ request: RebuildApplyRequest, _ node: RebuildNodePlan, _ root: OpenDirectory, _ journal: RebuildJournal?
    ) throws {
        try checkNothingRuns(request.root)
        try checkNothingListens(node)
        guard let member = node.member, journal?.data == nil else { return }
        let place = DataPlace(member.dataDirectory, root: request.root)
        try place.checkUnused()
        guard try place.isOccupied() else { return }
        guard !request.keepsData else {
            _ = try place.before(at: request.now)
            return
        }
        throw Failure(
            .failed, "there is data of an etcd in \(quoted(place.path)) already",
            hint: "if it is not what you need, have it moved aside: it may be newer than the backup",
            settings: [.keepData])
    }

    /// Refuses a time at which certificates would not be valid, and whatever else would keep them from being issued, or files
    /// from being placed.
    private static func checkWork(
        _ request: RebuildApplyRequest, _ node: RebuildNodePlan, _ sources: ApplySources, _ root: OpenDirectory
    ) throws {
        try RebuildSources.checkClock([sources.backup], request.now)
        let work = try NodeWork(node.mapping, addresses: node.addresses, from: sources.backup, now: request.now)
        if let refusal = work.certificates.refusals.first { throw refusal }
        let placement = ReversiblePlacement(root: root, keptIn: root)
        for item in work.items {
            if case .directory = item.content { continue }
            try placement.check(item.path)
        }
    }

    /// More than a line of the journal has for a file.
    private static let recordByteCount = 512

    private static func checkRoom(
        _ request: RebuildApplyRequest, _ node: RebuildNodePlan, _ sources: ApplySources, _ root: OpenDirectory,
        _ journal: RebuildJournal?
    ) throws {
        let done = journal?.finishedSteps ?? []
        var demand = SpaceDemand()
        func directory(_ path: String) throws -> OpenDirectory {
            var directory = root
            // The last one is no directory, or one that may be a file system of its own.
            for part in path.split(separator: "/") {
                guard let name = EntryName(Array(part.utf8)), let next = try? directory.openDirectory(name) else {
                    break
                }
                directory = next
            }
            return directory
        }
        let own = try directory(RebuildDirectory.path)
        try demand.add(request.document.count + node.files.count * recordByteCount, in: own, as: own.path)
        for file in node.files where !done.contains(RebuildStep(role: file.role)) {
            let place = try directory(file.path)
            try demand.add(file.byteCount, in: place, as: place.path)
            // On the same file system what is replaced is kept by a second name.
            guard try place.attributes().identity.device != own.attributes().identity.device,
                let name = EntryName(Array(lastName(file.path).utf8)),
                let replaced = try place.existingAttributes(of: name), replaced.kind != .directory
            else { continue }
            try demand.add(replaced.byteCount, in: own, as: own.path)
        }
        if let member = node.member, let snapshot = sources.snapshot, !done.contains(.etcdData) {
            let sizes = Restore.fileSizes(databaseByteCount: snapshot.bytes.byteCount)
            let place = try directory(member.dataDirectory)
            for size in sizes.data + [sizes.log] { try demand.add(size, in: place, as: place.path) }
        }
        try demand.check()
    }
}
