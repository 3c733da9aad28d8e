import Age
import EtcdStorage
import FoundationEssentials
import HostIO
import SealedArchive

/// Compares what a sidecar says with what is sealed.
///
/// A sidecar lies open in a store. Everything that the sealed archive can confirm is compared; what it can't is listed by
/// ``unconfirmed(by:)``. Used by one thread at a time.
final class SidecarComparison {
    let sidecar: Sidecar
    /// What the archive is called in messages.
    private let name: String
    /// The indices of recipients whose keys were at hand.
    private(set) var confirmedRecipients: Set<Int> = []
    /// The names of snapshots whose HashKV was computed and is the same.
    private(set) var confirmedHashKVs: Set<String> = []
    /// The uncompressed size of the largest zstd frame.
    private(set) var largestFrameByteCount = 0

    init(sidecar: Sidecar, name: String) {
        self.sidecar = sidecar
        self.name = name
    }

    /// Without a format version the sidecar may hold a HashKV under a compaction that it does not name: that of members of
    /// the cluster which had compacted later.
    private var hasKnownHashKV: Bool { sidecar.formatVersion != nil }

    /// Compares with the manifest and the frames of the archive.
    ///
    /// - Throws: ``Failure`` with the code `integrity` for the first field that differs.
    func check(_ reader: ArchiveReader) throws {
        let manifest = try reader.readManifest()
        largestFrameByteCount = reader.largestFrameByteCount
        try checkFormat(manifest)
        try check(manifest.archive)
        try check(sidecar.object.tarSize, reader.tarByteCount, "object.tarSize")
        try checkFrames()
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
        try checkShared(manifest)
        try check(sidecar.retentionClass ?? "none", manifest.retentionClass ?? "none", "retentionClass")
        if sidecar.rebuilt == true { try checkRebuilt(manifest.archive) }
        guard let reached = sidecar.verification.known, reached < manifest.reachedLevel else { return }
        try check(reached.rawValue, manifest.reachedLevel.rawValue, "verification")
    }

    /// Of which slot it is, and which snapshots of other nodes belong to it.
    private func checkShared(_ manifest: Manifest) throws(Failure) {
        try check(sidecar.slot?.number ?? -2, manifest.slot?.number ?? -2, "slot.number")
        try check(sidecar.slot?.lengthMinutes ?? 0, manifest.slot?.lengthMinutes ?? 0, "slot.lengthMinutes")
        let (stated, sealed) = (sidecar.sharedSnapshots ?? [], manifest.sharedSnapshots ?? [])
        try check(stated.map(\.name), sealed.map(\.name), "sharedSnapshots.name")
        for (stated, sealed) in zip(stated, sealed) {
            try check(stated.clusterID, sealed.clusterID, "sharedSnapshots.clusterID")
            try check(stated.slot, sealed.slot, "sharedSnapshots.slot")
            try check(stated.place, sealed.place, "sharedSnapshots.reference")
            try check(
                stated.createdAt?.text ?? "none", sealed.createdAt?.text ?? "none", "sharedSnapshots.createdAt")
            try check(stated.revision ?? 0, sealed.revision ?? 0, "sharedSnapshots.revision")
            try check(
                stated.databaseSHA256 ?? "none", sealed.databaseSHA256 ?? "none", "sharedSnapshots.databaseSHA256")
        }
    }

    /// What every sidecar has since manifests have a format version: without it less would be compared.
    private func checkFormat(_ manifest: Manifest) throws(Failure) {
        guard let version = manifest.formatVersion else { return }
        try check(known: version, sidecar.formatVersion, "formatVersion")
        if let features = manifest.requires { try check(known: features, sidecar.requires, "requires") }
        guard sidecar.object.headerSHA256 != nil else {
            throw differs("object.headerSHA256", "nothing", "a digest, as all of this version have")
        }
    }

    private func check(_ header: ArchiveHeader) throws(Failure) {
        let stated = sidecar.archive
        try check(stated.id.description, header.id.description, "archive.id")
        try check(stated.cluster, header.cluster, "archive.cluster")
        try check(stated.node, header.node, "archive.node")
        try check(stated.createdAt.text, header.createdAt.text, "archive.createdAt")
        try check(stated.tool.name, header.tool.name, "archive.tool.name")
        try check(stated.tool.version, header.tool.version, "archive.tool.version")
        try check(stated.formatVersion, header.formatVersion, "archive.formatVersion")
        let required = (stated: stated.requires?.description, sealed: header.requires?.description)
        try check(required.stated ?? "nothing", required.sealed ?? "nothing", "archive.requires")
    }

    /// A frame is never larger than the size at which frames are cut.
    private func checkFrames() throws(Failure) {
        let stated = sidecar.object.frameSize
        guard stated < largestFrameByteCount else { return }
        throw differs("object.frameSize", "\(stated)", "\(largestFrameByteCount) in the largest frame")
    }

    /// One that was made anew says only what is sealed, see `docs/archive-format.md`.
    private func checkRebuilt(_ header: ArchiveHeader) throws(Failure) {
        try check(sidecar.completedAt.text, header.createdAt.text, "completedAt, for it is rebuilt")
        try check(sidecar.object.frameSize, largestFrameByteCount, "object.frameSize, for it is rebuilt")
        try check(sidecar.object.compressionLevel, 0, "object.compressionLevel, for it is rebuilt")
        try check(sidecar.checkFindings.count, 0, "checkFindings, for it is rebuilt")
        if let level = sidecar.verification.known, level > .structural {
            throw differs("verification, for it is rebuilt", level.rawValue, "at most structural")
        }
    }

    private func check(_ summary: Sidecar.EtcdSummary, _ record: EtcdSnapshotRecord) throws(Failure) {
        try check(summary.clusterID, record.clusterID, "etcd.clusterID")
        try check(summary.serverVersion, record.serverVersion, "etcd.serverVersion")
        try check(summary.revisionAtStart, record.revisionAtStart, "etcd.revisionAtStart")
        try check(summary.databaseSize, record.databaseSize, "etcd.databaseSize")
        try check(summary.databaseSHA256, record.databaseSHA256, "etcd.databaseSHA256")
        try check(summary.mayBeOld ?? false, record.mayBeOld ?? false, "etcd.mayBeOld")
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
        guard let found else { return }
        try check(hashKV, found.hash, "etcd.hashKV")
        confirmedHashKVs.insert(snapshot)
    }

    /// Compares the recipients with the keys that are at hand.
    ///
    /// - Throws: like the others; ``AgeError``.
    func check(_ header: Header, openedBy identities: [any Identity]) throws {
        let keys = identities.compactMap { $0 as? any KeyIdentity }
        for (index, (stanza, stated)) in zip(header.stanzas, sidecar.recipients).enumerated() {
            guard let key = try keys.first(where: { try $0.unwrap([stanza]) != nil }) else { continue }
            // It was made anew with another key.
            if sidecar.rebuilt == true, stated.fingerprint.isEmpty { continue }
            try check(stated.fingerprint, key.fingerprint ?? "", "recipients[\(index)].fingerprint")
            confirmedRecipients.insert(index)
        }
    }

    private func check<Value: Equatable>(known expected: Value?, _ value: Value?, _ field: String) throws(Failure) {
        guard let expected, value != expected else { return }
        throw differs(field, value.map { "\($0)" } ?? "nothing", "\(expected)")
    }

    private func check<Value: Equatable>(_ stated: Value, _ sealed: Value, _ field: String) throws(Failure) {
        guard stated != sealed else { return }
        throw differs(field, "\(stated)", "\(sealed)")
    }

    private func differs(_ field: String, _ stated: String, _ sealed: String) -> Failure {
        Failure(
            .integrity, "\(quoted(name)): its sidecar and what is sealed differ in \(field): \(stated) and \(sealed)",
            hint: "archive and sidecar do not belong together, or one was changed: compare them with another copy of "
                + "the store")
    }
}

extension KeyIdentity {
    fileprivate var fingerprint: String? { recipient.fingerprint }
}

extension Date {
    /// As documents have it.
    var text: String { formatted(.iso8601) }
}

extension Manifest {
    /// How far the snapshots were verified when it was written: the least of their levels.
    public var reachedLevel: VerificationLevel { etcd.compactMap(\.verification.known).min() ?? .streamed }
}
