import EtcdStorage
import HostIO
import SealedArchive

/// Compares what a sidecar says with what is sealed.
///
/// A sidecar lies open in a store. All that the manifest knows is compared; what only the sidecar has, such as
/// recipients and what was verified after the archive was sealed, is not confirmed by that.
struct SidecarComparison {
    let sidecar: Sidecar
    /// What the archive is called in messages.
    let name: String

    /// Without a format version the sidecar may hold a HashKV under a compaction that it does not name: that of members of
    /// the cluster which had compacted later.
    private var hasKnownHashKV: Bool { sidecar.formatVersion != nil }

    /// Compares with the manifest of the archive.
    ///
    /// - Throws: ``Failure`` with the code `integrity` for the first field that differs.
    func check(_ manifest: Manifest, tarByteCount: Int) throws(Failure) {
        let header = manifest.archive
        try header.check(isOf: sidecar.archive.reference, path: name, hint: Self.hint)
        try check(sidecar.archive.createdAt, header.createdAt, "archive.createdAt")
        guard header == sidecar.archive else {
            throw Failure(
                .integrity, "\(quoted(name)): its sidecar and what is sealed differ in archive", hint: Self.hint)
        }
        try check(sidecar.object.tarSize, tarByteCount, "object.tarSize")
        try check(sidecar.entryCount, manifest.entries.count + 1, "entryCount")
        try check(
            sidecar.findingCount, manifest.findings.defectCount + sidecar.checkFindings.defectCount, "findingCount")
        if let sequence = manifest.sequence {
            try check(sidecar.sequence, sequence, "sequence")
            try check(
                sidecar.previousSidecarSHA256 ?? "none", manifest.previousSidecarSHA256 ?? "none",
                "previousSidecarSHA256")
        }
        try check(sidecar.etcd.map(\.name), manifest.etcd.map(\.name), "etcd.name")
        for (summary, record) in zip(sidecar.etcd, manifest.etcd) { try check(summary, record) }
        let level = manifest.etcd.compactMap(\.verification.known).min() ?? .streamed
        guard let reached = sidecar.verification.known, reached < level else { return }
        try check(reached.rawValue, level.rawValue, "verification")
    }

    private func check(_ summary: Sidecar.EtcdSummary, _ record: EtcdSnapshotRecord) throws(Failure) {
        try check(summary.clusterID, record.clusterID, "etcd.clusterID")
        try check(summary.serverVersion, record.serverVersion, "etcd.serverVersion")
        try check(summary.revisionAtStart, record.revisionAtStart, "etcd.revisionAtStart")
        try check(summary.databaseSize, record.databaseSize, "etcd.databaseSize")
        try check(summary.databaseSHA256, record.databaseSHA256, "etcd.databaseSHA256")
        // These may have been found out after the manifest was written.
        try check(known: record.revision, summary.revision, "etcd.revision")
        try check(known: record.compactRevision, summary.compactRevision, "etcd.compactRevision")
        try check(known: record.hash, summary.hash, "etcd.hash")
        guard hasKnownHashKV, summary.hashKVCompactRevision == nil else { return }
        try check(known: record.hashKV, summary.hashKV, "etcd.hashKV")
    }

    /// Compares with what the database itself says; a HashKV that the manifest has not is computed.
    ///
    /// - Parameter stored: the bytes that were verified.
    /// - Throws: like the other; ``StorageError``.
    func check(_ verified: VerifiedSnapshot, of snapshot: String, stored: any RandomAccessBytes) throws {
        guard let summary = sidecar.etcd.first(where: { $0.name == snapshot }) else { return }
        let contents = try verified.report.requireSound(trailer: .ignored)
        try check(known: summary.revision, contents.currentRevision, "etcd.revision")
        try check(known: summary.compactRevision, contents.compactRevision, "etcd.compactRevision")
        try check(known: summary.hash, contents.hash, "etcd.hash")
        guard hasKnownHashKV, let hashKV = summary.hashKV else { return }
        let compaction = summary.hashKVCompactRevision ?? contents.compactRevision
        let possible = max(-1, contents.compactRevision)...contents.currentRevision
        try check(
            compaction, min(max(compaction, possible.lowerBound), possible.upperBound), "etcd.hashKVCompactRevision")
        let isKnown = contents.hashKV?.compactRevision == compaction
        let found =
            isKnown ? contents.hashKV : try verified.survey(rereading: stored, compactRevision: compaction).hashKV
        // There is none where more keys were written since the compaction than fit into memory.
        if let found { try check(hashKV, found.hash, "etcd.hashKV") }
    }

    private func check<Value: Equatable>(known expected: Value?, _ value: Value?, _ field: String) throws(Failure) {
        guard let expected, value != expected else { return }
        try check(value.map { "\($0)" } ?? "nothing", "\(expected)", field)
    }

    private func check<Value: Equatable>(_ stated: Value, _ sealed: Value, _ field: String) throws(Failure) {
        guard stated != sealed else { return }
        throw Failure(
            .integrity, "\(quoted(name)): its sidecar and what is sealed differ in \(field): \(stated) and \(sealed)",
            hint: Self.hint)
    }

    private static let hint =
        "archive and sidecar do not belong together, or one was changed: compare them with another copy of the store"
}
