import FoundationEssentials
import HostIO
import SealedArchive

/// A field of a sidecar that nothing sealed confirms: it is the word of whoever wrote the sidecar.
public struct UnconfirmedField: Codable, Sendable, Equatable {
    /// The field, such as `object.frameSize`, with the index of a list's element in brackets.
    public var field: String
    /// What it says.
    public var value: String
    /// Why that is not confirmed.
    public var reason: String
}

extension SidecarComparison {
    /// Which fields were compared with what is sealed, once nothing was found to differ.
    ///
    /// - Parameter unconfirmed: those that were not.
    func confirmed(except unconfirmed: [UnconfirmedField]) -> [String] {
        let always = ["archive", "object.tarSize", "manifestSHA256", "entryCount"]
        let sometimes =
            ["sequence", "previousSidecarSHA256", "object.frameSize", "findingCount", "verification"]
            + confirmedRecipients.sorted().map(Self.fingerprintField)
            + sidecar.etcd.indices.map { "etcd[\($0)]" }
            + (sidecar.slot == nil ? [] : ["slot"]) + (sidecar.sharedSnapshots == nil ? [] : ["sharedSnapshots"])
            + (sidecar.retentionClass == nil ? [] : ["retentionClass"])
        let left = Set(unconfirmed.map(\.field))
        return always
            + sometimes.filter { !left.contains($0) }.map { field in
                let parts = left.filter { $0.hasPrefix("\(field).") }.sorted()
                return parts.isEmpty ? field : "\(field) but for \(parts.joined(separator: " and "))"
            }
    }

    /// What only the sidecar says, once everything else was compared and every page of the snapshots read.
    func unconfirmed(by manifest: Manifest) -> [UnconfirmedField] {
        chain(manifest) + times(manifest) + frames() + checks(manifest) + recipients() + hashes()
    }

    private func chain(_ manifest: Manifest) -> [UnconfirmedField] {
        guard manifest.sequence == nil else { return [] }
        let reason = "this archive is of a version that did not seal it"
        return [
            .init(field: "sequence", value: "\(sidecar.sequence)", reason: reason),
            .init(
                field: "previousSidecarSHA256", value: sidecar.previousSidecarSHA256.map(quoted) ?? "none",
                reason: reason),
        ]
    }

    private func times(_ manifest: Manifest) -> [UnconfirmedField] {
        let began = manifest.archive.createdAt
        var reason = "sealed is when the backup began, \(began.text)"
        if sidecar.completedAt < began { reason += "; it is before that" }
        if sidecar.completedAt > Date() { reason += "; it is in the future" }
        var fields = [UnconfirmedField(field: "completedAt", value: sidecar.completedAt.text, reason: reason)]
        if sidecar.rebuilt == true {
            fields.append(
                .init(field: "rebuilt", value: "true", reason: "nothing sealed tells that the first sidecar was lost"))
        }
        return fields
    }

    private func frames() -> [UnconfirmedField] {
        var fields: [UnconfirmedField] = []
        if sidecar.object.frameSize != largestFrameByteCount {
            fields.append(
                .init(
                    field: "object.frameSize", value: "\(sidecar.object.frameSize)",
                    reason: "no frame is full, the largest has \(largestFrameByteCount) bytes"))
        }
        let level = sidecar.object.compressionLevel
        return fields
            + [.init(field: "object.compressionLevel", value: "\(level)", reason: "frames do not tell it")]
    }

    private func checks(_ manifest: Manifest) -> [UnconfirmedField] {
        let codes = sidecar.checkFindings.map { quoted($0.code) }
        var fields = [
            UnconfirmedField(
                field: "checkFindings", value: codes.isEmpty ? "none" : codes.joined(separator: ", "),
                reason: "what was found after the manifest was sealed")
        ]
        if sidecar.checkFindings.defectCount > 0 {
            fields.append(
                .init(
                    field: "findingCount", value: "\(sidecar.findingCount)",
                    reason: "sealed are \(manifest.findings.defectCount) of them"))
        }
        // What every page was read for just now holds, whoever says so.
        let proved = sidecar.etcd.isEmpty ? manifest.reachedLevel : max(manifest.reachedLevel, .structural)
        if sidecar.verification.known.map({ $0 > proved }) != false {
            fields.append(
                .init(
                    field: "verification", value: quoted(sidecar.verification.rawValue),
                    reason: "sealed or checked now is \(proved.rawValue)"))
        }
        return fields
    }

    private func recipients() -> [UnconfirmedField] {
        sidecar.recipients.enumerated().flatMap { index, recipient in
            var fields: [UnconfirmedField] = []
            if !confirmedRecipients.contains(index), !recipient.fingerprint.isEmpty {
                fields.append(
                    .init(
                        field: Self.fingerprintField(index), value: quoted(recipient.fingerprint),
                        reason: "its key is not at hand"))
            }
            if let label = recipient.label {
                fields.append(
                    .init(field: "recipients[\(index)].label", value: quoted(label), reason: "nothing sealed has it"))
            }
            return fields
        }
    }

    private func hashes() -> [UnconfirmedField] {
        sidecar.etcd.enumerated().compactMap { index, summary in
            guard let hash = summary.hashKV, !confirmedHashKVs.contains(summary.name) else { return nil }
            return UnconfirmedField(
                field: "etcd[\(index)].hashKV", value: "\(hash)",
                reason: sidecar.formatVersion == nil
                    ? "the sidecar is of a version that does not say under which compaction it is"
                    : "more keys were written since the compaction than fit into memory")
        }
    }

    private static func fingerprintField(_ index: Int) -> String { "recipients[\(index)].fingerprint" }
}
