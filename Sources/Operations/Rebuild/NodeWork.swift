import Certificates
import FoundationEssentials
import HostIO
import NodeFiles
import NodeRewrite
import PKIBackup
import SealedArchive

/// What a node gets: every file with its bytes, and how they were arrived at.
struct NodeWork {
    /// What is to be at a path.
    enum Content {
        case directory
        case bytes(SecretBytes)
        case link([UInt8])
        /// A file that is read from the archive when it is placed.
        case archived(ManifestEntry)
    }

    /// Something that is to be at a path.
    struct Item {
        var path: String
        var role: String
        var action: RebuildNodePlan.Action
        var metadata: EntryMetadata
        var content: Content

        var step: RebuildStep { RebuildStep(role: role) }
    }

    private(set) var items: [Item] = []
    private(set) var changes: [FileChange] = []
    private(set) var leftOut: [RebuildNodePlan.LeftOut] = []
    private(set) var leftovers: [String] = []
    private(set) var remarks: [String] = []
    let certificates: NodeReissuePlan

    private let backup: NodeBackup
    private let search: OldNameSearch
    private let fileChange: NodeChange

    /// Decides on everything; makes no key.
    ///
    /// - Throws: ``Failure`` for a file of the control plane that can't be changed safely.
    init(_ mapping: RebuildMapping, addresses: [String], from backup: NodeBackup, now: Date) throws {
        let fileChange = try mapping.nodeChange()
        self.backup = backup
        self.fileChange = fileChange
        search = OldNameSearch(fileChange)
        var changed: [String: SecretBytes] = [:]
        var changes: [FileChange] = []
        var remarks: [String] = []
        var contents: [(file: BackedUpFile, change: FileChange?)] = []
        for file in backup.files.values.sorted(by: { $0.path < $1.path }) {
            let result = try Self.rewrite(file, fileChange, &remarks)
            contents.append((file, result))
            guard let result, !result.edits.isEmpty else { continue }
            changes.append(result)
            changed[file.path] = result.newBytes.withUnsafeBytes { SecretBytes(copying: $0) }
        }
        let rewritten = changed
        certificates = try NodeReissuePlan(
            layout: backup.node.layout, change: mapping.identityChange(from: backup.node, to: addresses),
            configuration: nil, lifetimeSeconds: mapping.certificateSeconds, now: now
        ) { (path) throws(Failure) in rewritten[path] ?? backup.content(path) }
        self.changes = changes
        self.remarks = remarks
        for (file, result) in contents { add(file, result, rewritten[file.path]) }
    }

    private static func rewrite(
        _ file: BackedUpFile, _ change: NodeChange, _ remarks: inout [String]
    ) throws(Failure) -> FileChange? {
        guard let content = file.content, CaptureClass(rawValue: file.entry.role)?.isPlacedByDefault != false else {
            return nil
        }
        do {
            let result = try NodeRewriter.rewrite(
                path: file.path, bytes: content.withBytes { copy $0 }, change: change)
            remarks += result?.remarks ?? []
            return result
        } catch {
            let kept: [CaptureClass] = [.staticPod, .kubeconfig, .kubeletConfiguration, .etcdConfiguration]
            if kept.contains(where: { $0.rawValue == file.entry.role }) { throw error }
            remarks.append("\(quoted(file.path)) stays as it was: \(error.description)")
            return nil
        }
    }

    // MARK: Files

    private mutating func add(_ file: BackedUpFile, _ change: FileChange?, _ changed: SecretBytes?) {
        if let reason = reasonToLeaveOut(file) {
            if file.metadata.kind != .directory { leftOut.append(.init(path: file.path, reason: reason)) }
            return
        }
        let content: Content
        switch file.metadata.kind {
        case .directory: content = .directory
        case .symbolicLink: content = .link(file.metadata.linkTarget ?? [])
        case .hardLink:
            let target = String(decoding: (file.metadata.linkTarget ?? []), as: UTF8.self)
            let path = String(target.dropFirst(ArchiveFormat.filesPrefix.count))
            guard let bytes = backup.files[path]?.content else {
                remarks.append("\(quoted(file.path)) is a further name of \(quoted(path)), which is too large: copy it")
                return
            }
            content = .bytes(bytes)
        case .file: content = (changed ?? file.content).map { .bytes($0) } ?? .archived(file.entry)
        }
        let action: RebuildNodePlan.Action =
            issuedPaths.contains(file.path) ? .issue : changed == nil ? .place : .change
        items.append(
            Item(
                path: newPath(file.path), role: file.entry.role, action: action, metadata: file.metadata,
                content: content))
        findLeftovers(file, change, isIssued: action == .issue && change == nil)
    }

    private mutating func findLeftovers(_ file: BackedUpFile, _ change: FileChange?, isIssued: Bool) {
        guard !isIssued, file.metadata.kind == .file, let content = file.content, content.count <= 1 << 20 else {
            return
        }
        let found =
            change.map { search.occurrences(in: $0) }
            ?? content.withBytes { search.occurrences(path: file.path, bytes: copy $0) }
        leftovers += found.map { "\($0.path):\($0.line): \($0.word)" }
    }

    private func reasonToLeaveOut(_ file: BackedUpFile) -> String? {
        if let known = CaptureClass(rawValue: file.entry.role), !known.isPlacedByDefault {
            return "it describes the host and its networks"
        }
        if let reason = backup.layout.reasonToLeaveOut(file) { return reason }
        let name = lastName(file.path)
        guard file.path.hasPrefix("/var/lib/kubelet/pki/"), isKubeletIssued else { return nil }
        if name.hasPrefix("kubelet-client-") { return "the kubelet's certificate is made anew" }
        // It is self-signed, or was requested under the old name.
        if name == "kubelet.crt" || name == "kubelet.key" || name.hasPrefix("kubelet-server-") {
            return "the kubelet makes its serving certificate itself"
        }
        return nil
    }

    private var isKubeletIssued: Bool {
        certificates.leaves.contains { $0.kind == .kubelet && $0.plan.decision != .keep }
    }

    /// The files that a certificate made anew is in, with its key.
    private var issuedPaths: Set<String> {
        Set(
            certificates.leaves.filter { $0.plan.decision != .keep }.flatMap {
                [$0.place.certificate.path, $0.place.key.path]
            })
    }

    // MARK: Certificates

    /// The items with those of certificates that were made anew in their places.
    func items(with issued: [ReissuedFiles.Item], now: Date) -> [Item] {
        var result = items
        for made in issued {
            let path = newPath(made.path)
            let old = result.firstIndex { $0.path == path }
            let model = old.map { result[$0].metadata } ?? backup.files[made.path]?.metadata
            let item = item(made, model, old.map { result[$0].role }, now)
            if let old { result[old] = item } else { result.append(item) }
        }
        return result
    }

    private func item(_ made: ReissuedFiles.Item, _ model: EntryMetadata?, _ role: String?, _ now: Date) -> Item {
        let path = Array((ArchiveFormat.filesPrefix + made.path).utf8)
        let role = role ?? self.role(ofNew: made.path)
        var metadata: EntryMetadata
        let content: Content
        switch made.content {
        case .file(let bytes, let mode):
            metadata = EntryMetadata(path: path, kind: .file, byteCount: bytes.count, mode: mode, modifiedAt: now)
            content = .bytes(bytes)
        case .symbolicLink(let target):
            metadata = EntryMetadata(path: path, kind: .symbolicLink, mode: 0o777, modifiedAt: now)
            metadata.linkTarget = Array(target.utf8)
            content = .link(Array(target.utf8))
        }
        if let model {
            (metadata.userID, metadata.groupID) = (model.userID, model.groupID)
            if metadata.kind == model.kind { metadata.mode = model.mode }
            metadata.extendedAttributes = model.extendedAttributes
        }
        return Item(path: newPath(made.path), role: role, action: .issue, metadata: metadata, content: content)
    }

    /// Where a file is to be that was at a path.
    func newPath(_ path: String) -> String { NodeRewriter.newPath(path, change: fileChange) }

    private func role(ofNew path: String) -> String {
        let known: CaptureClass =
            path.hasPrefix("/var/lib/kubelet/") ? .kubeletPKI : path.hasSuffix(".key") ? .privateKey : .certificate
        return known.rawValue
    }
}
