import Age
import ArchiveStore
import Certificates
import EtcdSnap
import FoundationEssentials
import HostIO
import NodeFiles
import PKIBackup
import SealedArchive

/// Looks at everything that a backup depends on, and changes nothing but the small objects by which a store elsewhere is tried.
public struct DoctorOperation: Sendable {
    private let node: NodePlan
    private let etcds: Result<[EtcdSource], any Error>
    private let recipients: Result<[any Recipient], any Error>
    private let labels: [String: String]
    private let stores: StoreSet
    private let scope: StoreScope
    private let isOfFilesAlone: Bool

    /// A look at a node; what could not even be put together is told as a check that failed.
    ///
    /// - Parameter isOfFilesAlone: whether no etcd is looked at, as for a backup without snapshots.
    public init(
        node: NodePlan, etcds: Result<[EtcdSource], any Error>, recipients: Result<[any Recipient], any Error>,
        labels: [String: String] = [:], stores: StoreSet, scope: StoreScope, isOfFilesAlone: Bool = false
    ) {
        self.isOfFilesAlone = isOfFilesAlone
        self.labels = labels
        self.node = node
        self.etcds = etcds
        self.recipients = recipients
        self.stores = stores
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
        let inventory = CertificateInventory.build(layout: node.wholeLayout, files: node.root)
        let etcds = await checkEtcds()
        let names = isOfFilesAlone ? [] : (try? self.etcds.get())?.map(\.name)
        let store = StoreSetCheck(stores: stores, scope: scope, etcds: names)
            .run(databaseByteCount: etcds.databaseByteCount, fileByteCount: survey.byteCount)
        let found = NodeCapture.findings(node, members: etcds.members)
        return DoctorReport(
            distributions: node.layout.distributions,
            components: node.layout.components.map { "\($0.name) (\($0.source))" },
            captured: CaptureClass.allCases.compactMap { classes[$0] },
            skipped: node.layout.skipped + survey.skipped,
            checks: etcds.checks + [checkRecipients()] + store.checks + [TimerCheck.run(of: node.root)],
            firstToExpire: inventory.certificates.first,
            findings: node.judged(store.findings + (etcds.findings + survey.findings).joined(with: found)))
    }

    // MARK: Checks

    /// What the etcds said.
    private struct EtcdResults {
        var checks: [DoctorReport.Check] = []
        /// How large the databases are together.
        var databaseByteCount = 0
        var members: [String: [EtcdMemberRecord]] = [:]
        var findings: [Finding] = []
    }

    private func checkEtcds() async -> EtcdResults {
        var results = EtcdResults()
        guard !isOfFilesAlone else {
            results.checks.append(.init(name: "etcd", status: .ok, message: "no snapshot is taken: files alone"))
            return results
        }
        let sources: [EtcdSource]
        do {
            sources = try etcds.get()
        } catch {
            results.checks = [failed("etcd", error)]
            return results
        }
        if let finding = node.datastoreFinding {
            results.checks.append(check("etcd", of: finding))
        } else if sources.isEmpty {
            results.checks.append(
                .init(
                    name: "etcd", status: .ok,
                    message: "there is none: the cluster's data is in a file, which is captured"))
        }
        for source in sources {
            do {
                try await check(source, &results)
            } catch {
                results.checks.append(failed(source.name, error))
            }
        }
        return results
    }

    private func check(_ source: EtcdSource, _ results: inout EtcdResults) async throws {
        let target = try await EtcdTarget(connectingTo: source, observer: Observer())
        let opened = try await target.open(observer: Observer())
        results.databaseByteCount += Int(opened.status.databaseByteCount)
        results.members[source.name] = target.members
        results.findings += [opened.ageFinding].compactMap(\.self)
        let silent = target.survey.answers.count { $0.status == nil }
        let message =
            "\(opened.status.version), \(target.members.count) members"
            + (silent == 0 ? "" : ", of which \(silent) do not answer") + ", "
            + "\(opened.status.databaseByteCount) bytes at revision \(opened.status.revision); "
            + "would be taken from \(opened.session.endpoint): \(opened.reason)"
        results.checks.append(.init(name: source.name, status: .ok, message: message))
        results.checks += target.clusterFindings.map { check(source.name, of: $0) }
        if let problem = target.survey.alarmProblem {
            results.checks.append(
                .init(
                    name: source.name, status: .warning, message: "the alarms are not known: \(problem)",
                    advice: "see `etcdctl alarm list`"))
        }
    }

    /// A finding as a check; what is accepted needs no attention.
    private func check(_ name: String, of finding: Finding) -> DoctorReport.Check {
        guard let accepted = node.judged([finding]).first?.accepted else {
            return .init(
                name: name, status: finding.severity == .error ? .error : .warning, message: finding.message,
                advice: finding.advice)
        }
        return .init(name: name, status: .ok, message: "\(finding.message); accepted: \(accepted.reason)")
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

    private func failed(_ name: String, _ error: any Error) -> DoctorReport.Check { .init(name, failed: error) }
}

extension DoctorReport.Check {
    /// That something could not be looked at, or does not work.
    init(_ name: String, failed error: any Error) {
        let failure = Failure(wrapping: error)
        self.init(
            name: name, status: .error, message: failure.description, advice: failure.hint,
            settings: failure.settings)
    }
}
