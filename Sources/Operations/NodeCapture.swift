import EncryptionAtRest
import EtcdStorage
import FoundationEssentials
import HostIO
import KubernetesObjects
import NodeFiles
import PKIBackup
import SealedArchive

/// Takes the state of this node into an archive and judges whether a cluster could be rebuilt from it.
struct NodeCapture {
    private let plan: NodePlan
    private let observer: Observer
    /// What was sealed, which is what is judged.
    private let captured: CapturedFiles

    init(_ plan: NodePlan, observer: Observer) {
        self.plan = plan
        self.observer = observer
        captured = CapturedFiles(fallback: plan.root, keeping: CertificateInventory.need(of:role:))
    }

    /// The keys of this moment, to be compared with those of a later one.
    func epoch() throws -> CaptureEpoch {
        try CaptureEpoch.digest(
            of: plan.references, root: plan.root, exclude: plan.exclude, excludedPaths: plan.excludedPaths)
    }

    /// Captures files and facts.
    ///
    /// - Throws: errors of the archive only; what can't be read of the node becomes a finding.
    func capture(into archive: ArchiveWriter, _ manifest: inout Manifest) throws {
        let capture = ControlPlaneCapture(
            into: archive, root: plan.root, exclude: plan.exclude, excludedPaths: plan.excludedPaths,
            limits: plan.limits, captured: captured
        ) { [observer] fileCount, byteCount in
            observer.progress(
                Progress(phase: "\(fileCount) files", doneByteCount: byteCount, totalByteCount: nil))
        }
        try capture.capture(plan.references)
        manifest.findings += plan.withExclusions(capture.report.findings)
        manifest.skipped += plan.layout.skipped + capture.report.skipped
        guard plan.collectsFacts else { return }
        let skipped = try HostFacts.collect(root: plan.root, components: plan.layout.components) { fact in
            try archive.add(
                EntryMetadata(path: fact.path, byteCount: fact.bytes.count, time: archive.header.createdAt),
                role: CaptureClass.host.rawValue, source: Array(fact.source.utf8), bytes: fact.bytes)
        }
        manifest.skipped += skipped
    }

    /// What was captured of certificates, keys and configurations.
    func inventory() -> CertificateInventory { CertificateInventory.build(layout: plan.wholeLayout, files: captured) }

    /// The API servers with the keys that were captured, by which values of snapshots are tried.
    func encryption(_ inventory: CertificateInventory) -> NodeEncryption {
        NodeEncryption(inventory.encryptionServers, in: captured)
    }

    /// Adds what is said of certificates and volumes, and finds what a rebuild would lack.
    func complete(
        _ archive: ArchiveWriter, _ inventory: CertificateInventory, _ snapshots: [StreamedSnapshot],
        _ manifest: inout Manifest
    ) throws {
        if !inventory.certificates.isEmpty {
            try archive.add(
                CertificateDocument(certificates: inventory.certificates), at: CertificateDocument.path)
        }
        let volumes = Dictionary(
            uniqueKeysWithValues: snapshots.compactMap { snapshot in
                snapshot.volumes.flatMap { $0.isEmpty ? nil : (snapshot.record.name, $0) }
            })
        if !volumes.isEmpty { try archive.add(VolumeDocument(clusters: volumes), at: VolumeDocument.path) }
        manifest.findings += snapshots.flatMap {
            $0.contents?.unreadFindings(of: $0.record.name, volumes: $0.volumes) ?? []
        }
        for snapshot in snapshots where snapshot.encryptionKeys?.isComplete == false {
            manifest.findings.append(
                Finding(
                    .warning, code: "encryption-keys-incomplete", subject: snapshot.record.name,
                    message: "values are encrypted with more keys than could be noted, so some were not looked for",
                    advice: "see that the encryption configuration in the backup has all of them"))
        }
        manifest.findings = manifest.findings.joined(with: findings(inventory, snapshots.facts))
    }

    /// What can be found without a snapshot, of the files as they are on the node now.
    ///
    /// - Parameter members: the members of each etcd, as they say.
    static func findings(_ plan: NodePlan, members: [String: [EtcdMemberRecord]]) -> [Finding] {
        let inventory = CertificateInventory.build(layout: plan.wholeLayout, files: plan.root)
        return NodeCapture(plan, observer: Observer())
            .findings(inventory, members.isEmpty ? nil : SnapshotFacts(members: members))
    }

    /// What a rebuild would lack, judged now, with what discovery found wrong.
    func findings(_ inventory: CertificateInventory, _ snapshot: SnapshotFacts?) -> [Finding] {
        Completeness.check(
            layout: plan.wholeLayout, files: captured, inventory: inventory, snapshot: snapshot,
            options: CompletenessOptions(now: Date(), expiryWarningDays: plan.expiryWarningDays)
        ).filter { !plan.isOfExcludedKey($0) }
    }
}

extension [StreamedSnapshot] {
    /// What the snapshots tell that files must agree with; nil if there are none.
    fileprivate var facts: SnapshotFacts? {
        guard !isEmpty else { return nil }
        return SnapshotFacts(
            encryptionKeysInUse: EncryptionKeyInUse.joined(flatMap { $0.encryptionKeys?.keys ?? [] }),
            members: Dictionary(uniqueKeysWithValues: map { ($0.record.name, $0.record.members) }))
    }
}

extension NodePlan {
    /// What a capture or a survey found, with what was asked to be left out.
    fileprivate func withExclusions(_ findings: [Finding]) -> [Finding] {
        findings + [exclusionFinding].compactMap(\.self)
    }

    /// That files which a rebuild needs are left out, as was asked for; nil if none are.
    private var exclusionFinding: Finding? {
        let needed: Set<CaptureClass> = [
            .caCertificate, .caKey, .serviceAccountKey, .encryptionConfiguration, .joinToken, .privateKey, .certificate,
            .kubeconfig,
        ]
        let paths = Set(references.filter { needed.contains($0.captureClass) }.map(\.path)).sorted().filter {
            CaptureWalk.excludes(Array($0.utf8), exclude)
        }
        guard let first = paths.first else { return nil }
        let named = paths.prefix(4).map(quoted).joined(separator: ", ")
        let others = paths.count > 4 ? " and \(paths.count - 4) more" : ""
        return Finding(
            .note, code: "needed-excluded", subject: first,
            message: "\(named)\(others) \(paths.count == 1 ? "is" : "are") left out as asked, and a rebuild needs "
                + "\(paths.count == 1 ? "it" : "them")",
            advice: "see that there is another way to them: they are not in the backup")
    }

    /// Whether a finding misses the key of a certificate which is only left out as was asked for.
    fileprivate func isOfExcludedKey(_ finding: Finding) -> Bool {
        guard finding.code == "key-missing", let dot = finding.subject.lastIndex(of: ".") else { return false }
        return CaptureWalk.excludes(Array((finding.subject[..<dot] + ".key").utf8), exclude)
    }

    /// The size of all files that a backup would capture, in bytes, by a walk alone.
    func fileByteCount() throws -> Int {
        try CaptureSurvey.byteCount(
            of: references, root: root, exclude: exclude, excludedPaths: excludedPaths, limits: limits)
    }

    /// Looks at everything that a backup would capture.
    func survey(_ body: (SurveyedPath) throws -> Void) throws -> CaptureReport {
        var report = try CaptureSurvey.survey(
            references, root: root, exclude: exclude, excludedPaths: excludedPaths, limits: limits, body)
        report.findings = withExclusions(report.findings)
        return report
    }
}

extension [Finding] {
    private static func saysThatItCantBeHad(_ finding: Finding) -> Bool {
        ["reference-missing", "reference-unreadable", "file-unreadable"].contains(finding.code)
    }

    /// Findings of a capture with those of the analysis, which say better what a file that can't be had is needed for.
    ///
    /// What both find is said once. Two findings of one side stay two, though code and subject be the same: two alarms of one
    /// etcd are two.
    func joined(with analysis: [Finding]) -> [Finding] {
        let judged = Set(analysis.map(\.subject))
        let unusable = Set(filter { $0.code == "path-unusable" || $0.code == "file-too-large" }.map(\.subject))
        let captured = filter {
            !(["file-missing", "file-unreadable"].contains($0.code) && judged.contains($0.subject))
        }
        let known = Set(captured.map { [$0.code, $0.subject] })
        let added = analysis.filter {
            !(unusable.contains($0.subject) && Self.saysThatItCantBeHad($0)) && !known.contains([$0.code, $0.subject])
        }
        var said: Set<[String]> = []
        return (captured + added).filter { said.insert([$0.code, $0.subject, $0.message]).inserted }
    }
}
