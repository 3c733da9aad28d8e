import Certificates
import FoundationEssentials
import HostIO
import NodeFiles
import PKIBackup
import SealedArchive
import SystemPackage

/// The steps of a node's rebuild on its host, each with its records in the journal.
struct RebuildWork {
    private let request: RebuildApplyRequest
    private let node: RebuildNodePlan
    private let sources: ApplySources
    private let journal: RebuildJournal
    private let placement: ReversiblePlacement
    private let observer: Observer
    private let items: [NodeWork.Item]
    private let directories: [String: EntryMetadata]
    private let issuedCount: Int

    init(
        _ request: RebuildApplyRequest, _ node: RebuildNodePlan, _ sources: ApplySources, _ journal: RebuildJournal,
        _ root: OpenDirectory, _ observer: Observer
    ) throws {
        (self.request, self.node, self.sources) = (request, node, sources)
        (self.journal, self.observer) = (journal, observer)
        let kept = try Self.directory(RebuildJournal.keptName, in: journal)
        placement = ReversiblePlacement(root: root, keptIn: kept)
        // What a resumed run issues is named and valid as if there had been one run.
        let now = journal.begin?.at ?? request.now
        let work = try NodeWork(node.mapping, addresses: node.addresses, from: sources.backup, now: now)
        let issued = try work.certificates.issue()
        // What was signed elsewhere is judged by the clock.
        let signed =
            issued.requests.isEmpty
            ? []
            : try Self.signed(
                issued,
                NodeWork(node.mapping, addresses: node.addresses, from: sources.backup, now: request.now).certificates,
                journal)
        items = work.items(with: issued.items + signed, now: now)
        issuedCount = work.certificates.leaves.count { $0.plan.decision != .keep }
        directories = Dictionary(
            sources.backup.files.values.filter { $0.metadata.kind == .directory }.map { ($0.path, $0.metadata) }
        ) { first, _ in first }
    }

    private static func directory(_ name: String, in journal: RebuildJournal) throws -> OpenDirectory {
        if !journal.directory.contains(name) { _ = try journal.directory.makeDirectory(name) }
        return try journal.directory.openDirectory(name)
    }

    // MARK: Signing elsewhere

    /// What was signed elsewhere; where nothing was yet, the requests are written.
    ///
    /// - Throws: ``Failure`` with the code `findings` that says where the requests are.
    private static func signed(
        _ issued: ReissuedFiles, _ plan: NodeReissuePlan, _ journal: RebuildJournal
    ) throws -> [ReissuedFiles.Item] {
        let directory = try directory(RebuildJournal.requestsName, in: journal)
        let place = quoted(directory.path)
        // The table comes last: without it the requests are not complete, and are written anew.
        guard directory.contains(NodeReissuePlan.tableName) else {
            for item in issued.requests { try write(item, below: directory) }
            throw Failure(
                .findings,
                "\(issued.requests.count / 2) certificates have to be signed by authorities whose keys are not in "
                    + "the backup; the requests are in \(place)",
                hint:
                    "have each signed as \(NodeReissuePlan.tableName) says, put it beside its request with the ending .crt, "
                    + "and run `etcd-snap rebuild continue`; nothing else was changed")
        }
        return try plan.placeSigned { (path) throws(Failure) in try read(path, below: directory) }.items
    }

    private static func write(_ item: ReissuedFiles.Item, below directory: OpenDirectory) throws {
        guard case .file(let bytes, let mode) = item.content else { return }
        var parent = directory
        let parts = item.path.split(separator: "/").map(String.init)
        for part in parts.dropLast() {
            if !parent.contains(part) { _ = try parent.makeDirectory(part) }
            parent = try parent.openDirectory(part)
        }
        let file = try PendingFile(in: parent, name: parts[parts.count - 1])
        try bytes.withUnsafeBytes { try file.write($0) }
        try file.publish(replacing: true)
        let opened = try parent.openFile(parts[parts.count - 1])
        defer { try? opened.close() }
        try OpenFileAttributes(of: opened, name: file.path).setMode(mode)
    }

    private static func read(_ path: String, below directory: OpenDirectory) throws(Failure) -> SecretBytes? {
        do {
            let file = try RandomAccessFile(path: directory.path(of: path))
            var bytes = try file.bytes(at: 0, count: min(file.byteCount, 1 << 20))
            defer { wipe(&bytes) }
            return bytes.withUnsafeBytes { SecretBytes(copying: $0) }
        } catch let error as SystemCallError where error.errno == .noSuchFileOrDirectory {
            return nil
        } catch {
            throw Failure(wrapping: error)
        }
    }

    // MARK: Steps

    func run(since start: ContinuousClock.Instant) async throws -> RebuildApplyReport {
        let finished = journal.finishedSteps
        var etcd: RestoreEtcdReport?
        try removeStaged()
        for step in RebuildStep.allCases where !finished.contains(step) {
            try Task.checkCancellation()
            let own = items.filter { $0.step == step }
            guard step == .etcdData ? node.member != nil : !own.isEmpty else { continue }
            observer.note("\(request.node): \(step.what)")
            try journal.write(.stepBegins) { $0.step = step }
            if step == .etcdData {
                etcd = try await makeData()
            } else {
                try place(own, of: step)
            }
            try journal.write(.stepEnds) { $0.step = step }
        }
        try journal.write(.end)
        return report(etcd, finished, since: start)
    }

    private func removeStaged() throws {
        for directory in Set(journal.places.map { parentPath($0.path) }) { try placement.removeStaged(in: directory) }
    }

    private func place(_ items: [NodeWork.Item], of step: RebuildStep) throws {
        let ordered = Self.ordered(items, step)
        let known = Set(journal.places.map(\.path))
        try makeDirectories(for: ordered)
        var records: [RebuildJournal.Record] = []
        for item in ordered where !known.contains(item.path) {
            if case .directory = item.content { continue }
            var record = RebuildJournal.Record(.places)
            (record.path, record.step) = (item.path, step)
            record.before = try placement.keep(item.path)
            records.append(record)
        }
        try journal.write(records)
        for item in ordered { try put(item) }
    }

    /// etcd's manifest first, which the others wait for.
    private static func ordered(_ items: [NodeWork.Item], _ step: RebuildStep) -> [NodeWork.Item] {
        let items = items.sorted { $0.path < $1.path }
        // A link's file is there before the link.
        let files = items.filter { if case .link = $0.content { false } else { true } }
        let links = items.filter { if case .link = $0.content { true } else { false } }
        guard step == .staticPods else { return files + links }
        func isFirst(_ item: NodeWork.Item) -> Bool {
            guard case .bytes(let bytes) = item.content else { return false }
            return PlacementOrder(role: item.role).comesFirst?(bytes.withBytes { copy $0 }) ?? false
        }
        return files.filter(isFirst) + files.filter { !isFirst($0) } + links
    }

    private func makeDirectories(for items: [NodeWork.Item]) throws {
        for item in items {
            var missing = try placement.missingDirectories(to: item.path)
            if case .directory = item.content { missing = try placement.missingDirectories(to: item.path + "/entry") }
            let known = Set(journal.madeDirectories)
            try journal.write(
                missing.filter { !known.contains($0) }.map { path in
                    var record = RebuildJournal.Record(.makes)
                    record.path = path
                    return record
                })
            for path in missing { try placement.makeDirectory(path, like: directories[path]) }
        }
    }

    private func put(_ item: NodeWork.Item) throws {
        try Task.checkCancellation()
        switch item.content {
        case .directory: break
        case .link: try placement.putLink(item.path, item.metadata)
        case .bytes(let bytes):
            try placement.put(item.path, item.metadata) { sink in try bytes.withUnsafeBytes { try sink.write($0) } }
        case .archived(let entry):
            let source = try sources.backup.reader.bytes(of: entry)
            try placement.put(item.path, item.metadata) { sink in try ArchivedBytes.copy(source, entry, to: sink) }
        }
    }

    // MARK: etcd

    private func makeData() async throws -> RestoreEtcdReport {
        guard let member = node.member, let cluster = request.plan.etcd, let source = sources.snapshot else {
            throw Failure(.integrity, "the plan has a member of etcd and no cluster or snapshot", hint: "plan again")
        }
        let place = DataPlace(member.dataDirectory, root: request.root)
        let missing = try placement.missingDirectories(to: member.dataDirectory)
        let known = Set(journal.madeDirectories)
        try journal.write(
            missing.filter { !known.contains($0) }.map { path in
                var record = RebuildJournal.Record(.makes)
                record.path = path
                return record
            })
        for path in missing { try placement.makeDirectory(path, like: directories[path]) }
        let before: RebuildJournal.DataBefore
        if let recorded = journal.data {
            before = recorded
        } else {
            let found = try place.before(at: request.now)
            if found.kind == .moved, !request.keepsData {
                throw Failure(
                    .failed, "there is data of an etcd in \(quoted(place.path)) already",
                    hint: "have it moved aside", settings: [.keepData])
            }
            before = found
            try journal.write(.makesData) { record in
                (record.path, record.data, record.step) = (member.dataDirectory, found, .etcdData)
            }
        }
        try place.clear(before)
        var restore = RestoreEtcdRequest(dataDirectory: place.path)
        restore.memberName = member.name
        (restore.initialCluster, restore.initialClusterToken) = (cluster.initialCluster, cluster.token)
        restore.revisionBump = cluster.revisionBump
        restore.deletedKeys = Set((cluster.deletions ?? []).map { Array($0.key.utf8) })
        // A directory that was there was made for somebody of this host.
        if let owner = before.owner.flatMap({ FileOwner(numbers: $0) }), owner.userID != 0 { restore.owner = owner }
        return try await RestoreEtcdOperation.run(source, restore, observer: observer)
    }

    private func report(
        _ etcd: RestoreEtcdReport?, _ finished: Set<RebuildStep>, since start: ContinuousClock.Instant
    ) -> RebuildApplyReport {
        let data = node.member.map { DataPlace($0.dataDirectory, root: request.root).path }
        return RebuildApplyReport(
            node: request.node, root: request.root, planID: request.plan.id, fileCount: journal.places.count,
            issuedCount: issuedCount,
            dataDirectory: data,
            keptData: journal.data?.movedTo.flatMap { name in data.map { joinPath(parentPath($0), name) } },
            clusterID: etcd?.clusterID, revision: etcd?.revision,
            notes: (etcd?.notes ?? []).filter { !$0.hasPrefix("restore the other members") } + refusalNotes(),
            resumedSteps: RebuildStep.allCases.filter(finished.contains).map(\.rawValue),
            durationSeconds: (ContinuousClock.now - start).seconds)
    }

    private func refusalNotes() -> [String] {
        guard placement.refusals.count > 0 else { return [] }
        let reason = placement.refusals.firstReason.map { ": \($0)" } ?? ""
        return ["\(placement.refusals.count) owners or attributes could not be set\(reason)"]
    }
}
