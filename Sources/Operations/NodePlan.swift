import ArchiveStore
import HostIO
import NodeFiles
import PKIBackup
import SealedArchive

/// What of this node a backup takes, and how complete it has to be.
public struct NodePlan: Sendable {
    /// The node's file system.
    public var root: NodeRoot
    /// What the node's control plane is made of; empty when nothing was discovered.
    public var layout: NodeLayout
    /// What was asked for besides.
    public var included: [FileReference]
    /// Patterns of absolute paths that are left out, with what is below.
    public var exclude: [String]
    /// The directories of the stores, which are left out: a backup that holds earlier ones grows without end.
    public var storePaths: [String]
    /// How large a file may be.
    public var limits: CaptureLimits
    /// Whether addresses, routes, rule sets and versions are asked of the host.
    public var collectsFacts: Bool
    /// How many days before its end a certificate is a finding.
    public var expiryWarningDays: Int
    /// What the configuration accepts of what is found.
    public var accepted: [AcceptedFinding]

    /// What is captured: what was asked for, and what the layout refers to.
    var references: [FileReference] { included + layout.references }

    /// What is left out with what is below, and why.
    var excludedPaths: [SkippedPath] {
        layout.excludedPaths
            + storePaths.compactMap(root.path(of:)).map { SkippedPath(path: $0, reason: "the store of the backups") }
    }

    /// A store that holds what is to be captured would silently leave it out.
    private func check(storePath: String) throws {
        guard let store = root.path(of: storePath) else { return }
        let real = (try? root.realPath(of: store)) ?? store
        let captured = references.first { reference in
            [reference.path, (try? root.realPath(of: reference.path)) ?? reference.path].contains { path in
                [store, real].contains { isPath(path, atOrBelow: $0) }
            }
        }
        guard let captured, root.attributes(of: captured.path) != nil else { return }
        throw Failure(
            .usage,
            "the store \(quoted(storePath)) lies at or above \(quoted(captured.path)), which is to be captured",
            hint: "name a directory of its own", settings: [.store])
    }

    /// Whether the cluster's data is in a database that is no etcd: SQLite, or one that kine serves.
    public var usesOtherDatastore: Bool {
        switch layout.datastore {
        case .file, .elsewhere: true
        case .etcd, nil: false
        }
    }

    /// Whether nothing of what would be captured is there.
    var isEmpty: Bool { references.allSatisfy { root.attributes(of: $0.path) == nil } }

    /// Findings as they are recorded: those that are accepted are marked, and who took `include` for a pattern is told.
    func judged(_ findings: [Finding]) -> [Finding] {
        let patterns = Set(included.map(\.path).filter { $0.contains { "*?[".contains($0) } })
        return accepted.applied(
            to: findings.map { finding in
                guard patterns.contains(finding.subject), ["file-missing", "reference-missing"].contains(finding.code)
                else { return finding }
                var finding = finding
                finding.advice = "include takes no patterns: name the directory, or each file"
                return finding
            })
    }

    /// That the cluster's data is not in the backup, if it is in a database elsewhere.
    var datastoreFinding: Finding? {
        guard case .elsewhere(let kind) = layout.datastore else { return nil }
        return Finding(
            .error, code: "datastore-elsewhere", subject: layout.datastoreOrigin ?? "datastore",
            message: "the cluster's data is in a database (\(kind)) that is no etcd, and is not in this backup",
            advice: "back that database up with its own tools, at the same time")
    }

    /// The data directory of an etcd on this node, as far as it can be looked at.
    func dataDirectory(of etcd: String) -> DataDirectoryRecord? {
        guard let path = layout.etcds.first(where: { $0.name == etcd })?.dataDirectory,
            let attributes = root.attributes(of: path), attributes.kind == .directory
        else { return nil }
        return DataDirectoryRecord(
            path: path, owner: FileOwner(of: attributes).description, mode: "0" + String(attributes.mode, radix: 8))
    }

    /// The plan with the node looked at anew.
    func rediscovered() -> NodePlan {
        guard !layout.distributions.isEmpty || !layout.references.isEmpty else { return self }
        var plan = self
        plan.layout = NodeDiscovery(root: root).discover()
        return plan
    }

    /// The layout with everything that is captured as its references.
    var wholeLayout: NodeLayout {
        var layout = layout
        layout.references = references
        layout.excludedPaths = excludedPaths
        return layout
    }

    /// The plan that a configuration makes for this host.
    ///
    /// - Parameters:
    ///   - include: absolute paths to capture besides those of the configuration.
    ///   - exclude: patterns to leave out besides those of the configuration.
    ///   - storePaths: the directories of the stores.
    /// - Throws: ``Failure`` with the code `usage` for a class that does not exist, or a store above what is captured.
    public static func make(
        _ configuration: Configuration, include: [String] = [], exclude: [String] = [], root: NodeRoot = NodeRoot(),
        storePaths: [String] = []
    ) throws -> NodePlan {
        let layout = configuration.discover ?? true ? NodeDiscovery(root: root).discover() : NodeLayout()
        let included = try (configuration.include ?? []).map(reference) + include.map(FileReference.init(including:))
        var limits = CaptureLimits()
        for (name, byteCount) in configuration.fileByteLimits ?? [:] {
            try configuration.check(byteCount, isIn: 0...(1 << 50), at: "fileByteLimits.\(name)")
            limits.byteCounts[try captureClass(name)] = byteCount
        }
        // A hundred years: no certificate is meant to end in this time and to be no finding.
        try configuration.check(configuration.expiryWarningDays ?? 30, isIn: 0...36_500, at: "expiryWarningDays")
        let plan = NodePlan(
            root: root, layout: layout, included: included,
            exclude: (configuration.exclude ?? []) + exclude, storePaths: storePaths, limits: limits,
            collectsFacts: configuration.hostFacts ?? true, expiryWarningDays: configuration.expiryWarningDays ?? 30,
            accepted: configuration.accept ?? [])
        for (index, accepted) in plan.accepted.enumerated() {
            try configuration.locating("accept.\(index)") { try accepted.check() }
        }
        for path in storePaths { try plan.check(storePath: path) }
        return plan
    }

    private static func reference(_ path: Configuration.IncludedPath) throws -> FileReference {
        var reference = FileReference(including: path.path)
        reference.captureClass = try path.captureClass.map(captureClass) ?? .include
        return reference
    }

    private static func captureClass(_ name: String) throws -> CaptureClass {
        guard let captureClass = CaptureClass(rawValue: name) else {
            throw Failure(
                .usage, "the configuration names the unknown class \(quoted(name))",
                hint: "known are: \(CaptureClass.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return captureClass
    }
}
