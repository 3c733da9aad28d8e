import Age
import Certificates
import FoundationEssentials
import HostIO
import NodeRewrite
import PKIBackup
import SealedArchive
import SystemPackage

/// Plans how the lost control plane of a cluster is put on new hosts; changes nothing.
public enum RebuildPlanner {
    /// The plan for a topology from backups of one cluster, each of another node.
    ///
    /// - Throws: ``Failure`` for backups that don't belong together, can't be opened or are not good enough, for a topology
    ///   that can't be, and for files that can't be changed safely.
    public static func plan(
        _ archives: [OpenedArchive], identities: [any Identity], topology: RebuildTopology, options: RebuildOptions,
        observer: Observer = Observer()
    ) async throws -> RebuildPlan {
        try await withBlockingThread("etcd-snap.rebuild.plan") {
            LeftoverRemoval.removeRegistered(observer: observer)
            var sources = try RebuildSources(archives, identities: identities, options: options)
            if let survivors = options.survivors {
                sources.survivors = try await ChosenSurvivor.decide(survivors, sources, options, observer: observer)
                if sources.survivors?.chosen == nil, let failure = sources.snapshotFailure { throw failure }
            }
            var plan = try plan(sources, topology, options, observer)
            plan.survivors = options.survivors?.comparison.descriptions
            plan.software = RebuildSoftware.found(in: sources.backups)
            return try plan.sealed()
        }
    }

    /// A topology's file for the nodes of backups as they were.
    public static func example(_ archives: [OpenedArchive], identities: [any Identity]) throws -> String {
        let nodes = try archives.map { try NodeBackup($0, identities: identities).node }
        return RebuildTopology.example(
            of: nodes.map { ($0.name, $0.addresses[0].text) }, endpoint: nodes.first?.endpoint?.text)
    }

    private static func plan(
        _ sources: RebuildSources, _ topology: RebuildTopology, _ options: RebuildOptions, _ observer: Observer
    ) throws -> RebuildPlan {
        let nodes = try NodeAssignment.replaced(topology, sources)
        let change = TopologyChange(nodes, endpoint: topology.endpoint)
        var parts: [RebuildNodePlan] = []
        let inside =
            nodes.contains { $0.backup.node.memberName != nil }
            ? try InsideDatabase.search(change, sources, keepsLeases: options.keepsLeases, observer: observer) : nil
        for index in nodes.indices { parts.append(try part(change, index, options, inside?.certificateSeconds)) }
        var etcd = try cluster(sources, parts, options)
        etcd?.deletions = inside.flatMap { $0.deletions.isEmpty ? nil : $0.deletions }
        let situation = situation(sources, options)
        return RebuildPlan(
            createdAt: options.now, cluster: sources.backups[0].manifest.archive.cluster, store: options.store,
            layout: sources.backups[0].layout.kind, situation: situation, archives: sources.backups.map(archive),
            snapshot: sources.plannedSnapshot, etcd: etcd, oldEndpoint: change.oldEndpoint?.text,
            newEndpoint: change.newEndpoint?.text, inside: inside?.report, nodes: parts,
            forecast: forecast(sources, parts),
            warnings: [situation.warning].compactMap(\.self) + warnings(change, sources),
            notes: NodeAssignment.notes(nodes, sources) + (sources.snapshot?.source.notes ?? [])
                + (sources.survivors?.notes ?? []) + (inside?.notes ?? []))
    }

    private static func situation(_ sources: RebuildSources, _ options: RebuildOptions) -> RebuildSituation {
        RebuildSituation(of: sources.snapshot?.record.members ?? [], probes: options.probesMembers) { name in
            let own = sources.backups.first { $0.node.memberName == name }?.node.name
            return own ?? sources.backups[0].layout.nodeName(ofMember: name)
        }
    }

    // MARK: Parts

    private static func part(
        _ change: TopologyChange, _ index: Int, _ options: RebuildOptions, _ certificateSeconds: Int?
    ) throws -> RebuildNodePlan {
        let node = change.nodes[index]
        var mapping = RebuildMapping(try change.fileChange(of: index))
        mapping.certificateSeconds = certificateSeconds
        let work = try NodeWork(mapping, addresses: node.new.addresses, from: node.backup, now: options.now)
        if let refusal = work.certificates.refusals.first { throw refusal }
        let member = try self.member(node, work)
        return RebuildNodePlan(
            name: node.new.name, oldName: node.old?.name ?? "", archiveID: node.backup.manifest.archive.id.description,
            isOwnBackup: node.isOwn, oldAddresses: node.backup.node.addresses.map(\.text),
            addresses: node.newAddresses.map(\.text), mapping: mapping, member: member,
            files: work.items.map {
                RebuildNodePlan.File(
                    path: $0.path, role: $0.role, step: $0.step.rawValue, action: $0.action,
                    byteCount: $0.metadata.byteCount)
            },
            changes: work.changes.map { change in
                RebuildNodePlan.Change(
                    path: change.path,
                    settings: change.edits.map { edit in
                        let what =
                            edit.oldValue.isEmpty
                            ? "\(edit.newValue) is added" : "\(edit.oldValue) becomes \(edit.newValue)"
                        return withoutSecrets("\(edit.path): \(what) (\(edit.reason))")
                    },
                    diff: change.unifiedDiff)
            },
            certificates: work.certificates.leaves.map { leaf in
                var certificate = RebuildNodePlan.Certificate(leaf)
                if !leaf.kind.isEmbedded { certificate.path = work.newPath(certificate.path) }
                certificate.authority = node.backup.node.layout.path(of: leaf.kind.authority)
                return certificate
            }, leftOut: work.leftOut,
            leftovers: work.leftovers,
            remarks: work.remarks + lost(node)
                + node.backup.layout.remarks(of: node, node.backup.backedUp, endpoint: change.newEndpoint),
            steps: steps(work, member, node.backup.layout))
    }

    /// The member that the node's files start after their change: its data is made for just that.
    ///
    /// - Throws: ``Failure`` with the code `usage` if it would be reached at an address that the new node does not have.
    private static func member(_ node: ReplacedNode, _ work: NodeWork) throws(Failure) -> RebuildNodePlan.Member? {
        let member = node.backup.layout.member(of: node) { path in
            guard let item = work.items.first(where: { $0.path == path }), case .bytes(let bytes) = item.content else {
                return nil
            }
            return bytes.withBytes { copy $0 }
        }
        try member?.checkAddresses(of: node)
        return member
    }

    private static func lost(_ node: ReplacedNode) -> [String] {
        guard !node.isOwn else { return [] }
        let name = node.old.map { quoted($0.name) } ?? "the lost node"
        return [
            "there is no backup of \(name): files come from \(quoted(node.backup.reference)) of "
                + "\(quoted(node.backup.node.name)), and what was on \(name) alone is lost, such as settings of its kubelet "
                + "and drop-ins"
        ]
    }

    private static func steps(
        _ work: NodeWork, _ member: RebuildNodePlan.Member?, _ layout: any RebuildLayout
    ) -> [RebuildNodePlan.Step] {
        let used = Set(work.items.map(\.step))
        return RebuildStep.allCases.filter {
            $0 == .etcdData
                ? member != nil
                : used.contains($0) || $0 == .certificates && [.kubeadm, .kubespray].contains(layout.kind)
        }
        .map { RebuildNodePlan.Step(name: $0.rawValue, what: $0.what, check: layout.check($0, member)) }
    }

    // MARK: The whole

    private static func archive(_ backup: NodeBackup) -> RebuildPlan.Archive {
        let name = absolutePath(backup.archive.file.name).string
        return RebuildPlan.Archive(
            reference: backup.reference, id: backup.manifest.archive.id.description,
            path: (try? RandomAccessFile(path: name)) == nil ? nil : name, node: backup.node.name,
            createdAt: backup.manifest.archive.createdAt, manifestSHA256: backup.reader.manifestSHA256)
    }

    private static func cluster(
        _ sources: RebuildSources, _ parts: [RebuildNodePlan], _ options: RebuildOptions
    ) throws(Failure) -> RebuildPlan.Cluster? {
        let members = parts.compactMap(\.member)
        guard !members.isEmpty else { return nil }
        let urls = members.flatMap(\.peerURLs)
        if let twice = urls.first(where: { url in urls.count { $0 == url } > 1 }) {
            throw Failure(
                .usage, "two members would be reached at \(twice)",
                hint: "the manifests of their lost nodes name no address of their own for other members")
        }
        guard sources.plannedSnapshot != nil else {
            throw Failure(
                .notFound, "the nodes ran etcd, and none of the \(sources.backups.count) backups has a snapshot of it",
                hint: "name a backup with a snapshot besides; `etcd-snap list` shows which have one")
        }
        let (bump, reason) = RestoreEtcdOperation.bump(
            sources.snapshot?.record, sources.snapshot?.header, asked: options.revisionBump)
        return RebuildPlan.Cluster(
            token: RestoreEtcdOperation.freshToken(),
            initialCluster: members.flatMap { member in member.peerURLs.map { "\(member.name)=\($0)" } }
                .joined(separator: ","), revisionBump: bump, bumpReason: reason)
    }

    private static func warnings(_ change: TopologyChange, _ sources: RebuildSources) -> [String] {
        var warnings = (sources.snapshot?.source.warnings ?? []) + (sources.survivors?.warnings ?? [])
        for node in change.nodes {
            for address in node.newAddresses where address.isLoopback {
                warnings.append(
                    "\(address.text), of \(node.new.name), is an address that only this host reaches itself by")
            }
        }
        warnings += change.nodes.compactMap(familyWarning)
        if let endpoint = change.oldEndpoint, endpoint == change.newEndpoint,
            let address = IPAddress(endpoint.host),
            let lost = change.nodes.first(where: { $0.old?.addresses.contains(address) == true }),
            !change.nodes.contains(where: { $0.newAddresses.contains(address) })
        {
            warnings.append(
                "the endpoint \(endpoint.text) is the address of the lost node \(lost.old?.name ?? ""), which no new node "
                    + "has: give another endpoint, or move that address")
        }
        if !change.nodes.contains(where: { $0.backup.node.memberName != nil }) {
            warnings.append(
                "the lost nodes ran no etcd: the one that they used is not restored, and where the API servers look for it stays"
            )
        } else if change.nodes.count.isMultiple(of: 2) {
            warnings.append("\(change.nodes.count) members of etcd bear no more losses than \(change.nodes.count - 1)")
        }
        return warnings + sources.backups.flatMap(\.defects)
    }

    /// An API server advertises an address of the family that the first range of services has, and that never changes.
    private static func familyWarning(_ node: ReplacedNode) -> String? {
        guard let new = node.newAddresses.first, let old = node.backup.node.addresses.first,
            new.bytes.count != old.bytes.count
        else { return nil }
        let family = old.bytes.count == 4 ? "IPv4" : "IPv6"
        return
            "\(new.text), the first address of \(node.new.name), is not of \(family), as \(old.text) was: an API server "
            + "refuses to start where the first range of services is of another family; name an \(family) address first"
    }

    private static func forecast(_ sources: RebuildSources, _ parts: [RebuildNodePlan]) -> RebuildForecast {
        RebuildForecast(
            databaseByteCount: sources.plannedSnapshot?.databaseByteCount ?? 0,
            fileByteCount: parts.map { $0.files.reduce(0) { $0 + $1.byteCount } }.max() ?? 0,
            drills: RebuildForecast.drills(
                of: sources.backups.map(\.archive), cluster: sources.backups[0].manifest.archive.cluster))
    }
}

extension RebuildNodePlan.Certificate {
    init(_ leaf: NodeReissuePlan.Leaf) {
        switch leaf.plan.decision {
        case .keep: (action, reasons) = ("keep", ["nothing in it changes"])
        case .reissue(let all): (action, reasons) = (leaf.isRequested ? "request" : "issue", all.map(\.clause))
        case .refuse(let problems): (action, reasons) = ("refuse", problems.map(\.clause))
        }
        path = leaf.kind.isEmbedded ? "\(leaf.place.certificate.path) (\(leaf.kind.path))" : leaf.place.certificate.path
        added = leaf.plan.addedHosts.map(\.description)
        removed = leaf.plan.removedHosts.map(\.description)
        remarks = leaf.plan.remarks.map(\.clause)
    }
}
