import Age
import ArchiveStore
import EtcdSnap
import FoundationEssentials
import HostIO
import PKIBackup
import SealedArchive

/// What `doctor` found out about this node, its etcds and its store.
public struct DoctorReport: Codable, Sendable {
    /// Whether something works.
    public enum Status: String, Codable, Sendable {
        case ok, warning, error
    }

    /// One thing that a backup depends on.
    public struct Check: Codable, Sendable {
        /// What was looked at: `etcd`, `recipients`, `store`, `timer`.
        public var name: String
        /// Whether it works.
        public var status: Status
        /// What was found, in a sentence.
        public var message: String
        /// What to do about it; names no flag.
        public var advice: String?
        /// What the advice asks to be set; not part of documents.
        public var settings: [Failure.Setting] = []

        enum CodingKeys: String, CodingKey {
            case name, status, message, advice
        }
    }

    /// What a backup would capture of one class.
    public struct CapturedClass: Codable, Sendable {
        /// The class, as the manifest names it.
        public var captureClass: String
        /// The number of files.
        public var fileCount: Int
        /// Their size in bytes.
        public var byteCount: Int
        /// What names them: flags, mounts, layouts.
        public var referrers: [String]
    }

    /// The distributions whose layout was recognised.
    public var distributions: [String]
    /// The components found: their names and where their arguments were read.
    public var components: [String]
    /// What would be captured.
    public var captured: [CapturedClass]
    /// What would not be, and why.
    public var skipped: [SkippedPath]
    /// What a backup depends on.
    public var checks: [Check]
    /// The certificate that expires first.
    public var firstToExpire: CertificateRecord?
    /// What a rebuild would lack, as far as it can be told without a snapshot.
    public var findings: [Finding]

    /// Whether a backup would do all that it should.
    public var isHealthy: Bool { findings.isEmpty && checks.allSatisfy { $0.status == .ok } }
}

/// Looks at everything that a backup depends on, and changes nothing.
public struct DoctorOperation: Sendable {
    private let node: NodePlan
    private let etcds: Result<[EtcdSource], any Error>
    private let recipients: Result<[any Recipient], any Error>
    private let labels: [String: String]
    private let store: LocalStore
    private let scope: StoreScope

    /// A look at a node; what could not even be put together is told as a check that failed.
    public init(
        node: NodePlan, etcds: Result<[EtcdSource], any Error>, recipients: Result<[any Recipient], any Error>,
        labels: [String: String] = [:], store: LocalStore, scope: StoreScope
    ) {
        self.labels = labels
        self.node = node
        self.etcds = etcds
        self.recipients = recipients
        self.store = store
        self.scope = scope
    }

    /// Looks at everything.
    public func run() async throws -> DoctorReport {
        var classes: [CaptureClass: DoctorReport.CapturedClass] = [:]
        let survey = try node.survey { path in
            var entry =
                classes[path.captureClass]
                ?? .init(
                    captureClass: path.captureClass.rawValue, fileCount: 0, byteCount: 0, referrers: [])
            entry.fileCount += 1
            entry.byteCount += path.byteCount
            if !entry.referrers.contains(path.referrer) { entry.referrers.append(path.referrer) }
            classes[path.captureClass] = entry
        }
        let inventory = CertificateInventory.build(layout: node.wholeLayout, root: node.root)
        let (etcdChecks, databaseByteCount) = await checkEtcds()
        let found = NodeCapture(node, observer: Observer()).findings(inventory, nil)
        return DoctorReport(
            distributions: node.layout.distributions,
            components: node.layout.components.map { "\($0.name) (\($0.source))" },
            captured: CaptureClass.allCases.compactMap { classes[$0] },
            skipped: node.layout.skipped + survey.skipped,
            checks: etcdChecks + [checkRecipients()] + checkStore(databaseByteCount) + [TimerCheck.run()],
            firstToExpire: inventory.certificates.first,
            findings: survey.findings.joined(with: found))
    }

    // MARK: Checks

    /// Asks every etcd; also how large the databases are together.
    private func checkEtcds() async -> ([DoctorReport.Check], databaseByteCount: Int) {
        let sources: [EtcdSource]
        do {
            sources = try etcds.get()
        } catch {
            return ([failed("etcd", error)], 0)
        }
        var checks: [DoctorReport.Check] = []
        var databaseByteCount = 0
        if sources.isEmpty {
            let finding = node.datastoreFinding
            checks.append(
                .init(
                    name: "etcd", status: finding == nil ? .ok : .error,
                    message: finding?.message ?? "there is none: the cluster's data is in a file, which is captured",
                    advice: finding?.advice))
        }
        for source in sources {
            do {
                let target = try await EtcdTarget(connectingTo: source, observer: Observer())
                    .asked(observer: Observer())
                let candidate = target.candidate
                databaseByteCount += Int(candidate.status.databaseByteCount)
                let message =
                    "\(candidate.status.version), \(target.members.count) members, "
                    + "\(candidate.status.databaseByteCount) bytes at revision \(candidate.status.revision); "
                    + "would be taken from \(candidate.endpoint): \(candidate.reason)"
                checks.append(.init(name: source.name, status: .ok, message: message))
                for alarm in target.alarmFindings {
                    checks.append(
                        .init(name: source.name, status: .warning, message: alarm.message, advice: alarm.advice))
                }
            } catch {
                checks.append(failed(source.name, error))
            }
        }
        return (checks, databaseByteCount)
    }

    private func checkRecipients() -> DoctorReport.Check {
        do {
            let records = Keys.records(try recipients.get(), labels: labels)
            let names = records.map(\.name).joined(separator: ", ")
            guard records.count > 1 else {
                return .init(
                    name: "recipients", status: .ok,
                    message: "\(names); who loses this one key loses every backup")
            }
            return .init(name: "recipients", status: .ok, message: names)
        } catch {
            return failed("recipients", error)
        }
    }

    /// Whether the store can be written to and has room, and what the last backup is.
    private func checkStore(_ databaseByteCount: Int) -> [DoctorReport.Check] {
        do {
            let space = try store.space()
            let listing =
                space.exists ? try store.list(cluster: scope.cluster, node: scope.node) : StoreListing()
            let last = listing.latest(in: scope)
            let expected = expectedArchiveByteCount(databaseByteCount, after: last)
            var store = DoctorReport.Check(
                name: "store", status: .ok,
                message: "\(space.directory) can be written to, \(space.availableByteCount) bytes are free, "
                    + "an archive needs about \(expected)")
            if space.availableByteCount == 0 {
                store.status = .error
                store.message = "\(space.directory) has no room"
                store.advice = "name another store"
                store.settings = [.store]
            } else if !space.isWritable {
                store.status = .error
                store.message = "\(space.directory) can't be written to by this user"
                store.advice = "run as root, or name another store"
                store.settings = [.store]
            } else if space.availableByteCount < expected {
                store.status = .error
                store.advice = "free some space, or name another store"
                store.settings = [.store]
            }
            return [store, checkLast(last)] + listing.hidden.map { failed("store", $0.failure) }
                + listing.unreadable.map(checkUnreadable)
                + listing.chain.map {
                    .init(name: "archive", status: .warning, message: $0.message, advice: $0.advice)
                }
        } catch {
            return [failed("store", error)]
        }
    }

    private func checkUnreadable(_ backup: UnreadableBackup) -> DoctorReport.Check {
        .init(
            name: "archive", status: backup.isOrphan ? .warning : .error, message: backup.failure.description,
            advice: backup.failure.hint, settings: backup.failure.settings)
    }

    private func checkLast(_ last: StoredBackup?) -> DoctorReport.Check {
        guard let last else {
            return .init(
                name: "last backup", status: .warning, message: "there is none of \(scope)",
                advice: "make one with `etcd-snap backup`")
        }
        let minutes = Int(Date().timeIntervalSince(last.sidecar.completedAt) / 60)
        let hours = minutes / 60
        return .init(
            name: "last backup", status: hours < 48 ? .ok : .warning,
            message:
                "\(last.reference), \(hours < 2 ? "\(minutes) minutes" : "\(hours) hours") ago, verified: \(last.sidecar.verification.rawValue), "
                + "\(last.sidecar.findingCount) findings",
            advice: hours < 48 ? nil : "see `systemctl status etcd-snap-backup` for why there is no newer one")
    }

    private func failed(_ name: String, _ error: any Error) -> DoctorReport.Check {
        let failure = Failure(wrapping: error)
        return .init(
            name: name, status: .error, message: failure.description, advice: failure.hint,
            settings: failure.settings)
    }
}

/// How large an archive will be: by the last one's ratio, or a fifth of the databases.
func expectedArchiveByteCount(_ databaseByteCount: Int, after last: StoredBackup?) -> Int {
    var expected = Double(databaseByteCount) / 5
    if let last {
        let lastDatabaseByteCount = last.sidecar.etcd.reduce(0) { $0 + $1.databaseSize }
        if lastDatabaseByteCount > 0 {
            expected = Double(last.sidecar.object.size) / Double(lastDatabaseByteCount) * Double(databaseByteCount)
        }
    }
    return Int(min(expected, 1e18))
}

/// Whether systemd runs backups.
enum TimerCheck {
    static let unit = "etcd-snap-backup.timer"

    static func run() -> DoctorReport.Check {
        let command = HostCommand(
            "systemctl", ["show", unit, "--property=LoadState,ActiveState,UnitFileState,NextElapseUSecRealtime"])
        guard case .output(let bytes) = command.run() else {
            return .init(
                name: "timer", status: .warning, message: "systemd can't be asked on this host",
                advice: "run `etcd-snap backup` by whatever runs things here")
        }
        return judge(String(decoding: bytes, as: UTF8.self))
    }

    /// Judges the properties that `systemctl show` prints, one a line.
    static func judge(_ text: String) -> DoctorReport.Check {
        let pairs = text.split(separator: "\n").compactMap { line -> (Substring, Substring)? in
            let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return parts.count == 2 ? (parts[0], parts[1]) : nil
        }
        let properties = Dictionary(pairs) { first, _ in first }
        guard properties["LoadState"] == "loaded" else {
            return .init(
                name: "timer", status: .warning, message: "\(unit) is not installed",
                advice: "install the units of the package, then `systemctl enable --now \(unit)`")
        }
        guard properties["ActiveState"] == "active" else {
            return .init(
                name: "timer", status: .warning,
                message: "\(unit) is \(properties["ActiveState"] ?? "unknown"), "
                    + "\(properties["UnitFileState"] ?? "unknown")",
                advice: "`systemctl enable --now \(unit)`")
        }
        let next = properties["NextElapseUSecRealtime"].map { ", next run \($0)" } ?? ""
        return .init(name: "timer", status: .ok, message: "\(unit) is active\(next)")
    }
}
