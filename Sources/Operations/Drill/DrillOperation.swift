import Age
import ArchiveStore
import FoundationEssentials
import HostIO
import SealedArchive

/// Proves that an archive would bring the cluster back: restores it and boots a real etcd from it.
public enum DrillOperation {
    /// What a drill would do; nothing is verified, written or booted.
    ///
    /// - Throws: what ``run(_:identities:options:observer:)`` throws before its first stage.
    public static func preview(
        _ archive: OpenedArchive, identities: [any Identity], options: DrillOptions
    ) throws -> DrillPreview {
        let plan = try Plan(archive, identities, options)
        return DrillPreview(
            reference: archive.reference, etcd: plan.program.record, apiServer: plan.apiServer?.record,
            scratch: plan.scratch,
            isScratchInMemory: DrillScratch.isInMemory(plan.scratch),
            databases: plan.sources.map { _, record in
                DrillRecord.Database(
                    name: record.name, size: record.databaseSize, revision: record.revision ?? record.revisionAtStart,
                    serverVersion: record.serverVersion)
            },
            neededMemory: DrillMemory.need(
                databaseByteCount: plan.largestDatabase, hasAPIServer: plan.apiServer != nil),
            availableMemory: plan.availableMemory)
    }

    /// Makes a drill.
    ///
    /// Nothing of it is left when it ends, and what a killed one leaves the next one removes.
    ///
    /// - Returns: the record, also of a drill that an archive did not pass, with why.
    /// - Throws: ``Failure`` if it could not begin: there is no etcd, no memory, no snapshot in the archive, no key that
    ///   opens it; `CancellationError`.
    public static func run(
        _ archive: OpenedArchive, identities: [any Identity], options: DrillOptions, observer: Observer = Observer()
    ) async throws -> DrillReport {
        let plan: Plan
        do {
            plan = try Plan(archive, identities, options)
        } catch {
            let failure = Failure(wrapping: error)
            guard failure.code == .integrity, let report = report(of: failure, archive, options, observer) else {
                throw error
            }
            return report
        }
        LeftoverRemoval.removeRegistered(observer: observer)
        let scratch = try DrillScratch(in: plan.scratch)
        if let leftover = scratch.leftover { observer.warn(leftover) }
        var record = DrillRecord(
            of: plan.manifest.archive, manifestSHA256: plan.manifestSHA256, startedAt: Date(),
            host: DrillRecord.Host(
                coreCount: availableCoreCount(), availableMemory: plan.availableMemory,
                isScratchInMemory: scratch.isInMemory))
        record.etcd = plan.program.record
        record.apiServer = plan.apiServer?.record
        let run = DrillRun(record, observer: observer)
        var recoverySeconds: Double?
        var failure: Failure?
        do {
            recoverySeconds = try await stages(plan, scratch, run)
        } catch let stopped as DrillRun.Stopped {
            failure = stopped.failure
        }
        run.finish(plan.sources.map(\.record.name), recoverySeconds: recoverySeconds)
        return DrillReport(
            record: run.record, failure: failure, warnings: plan.sources.flatMap(\.source.warnings))
    }

    /// The report of an archive that can't even be opened; nil without a sidecar, which says what it should be.
    private static func report(
        of failure: Failure, _ archive: OpenedArchive, _ options: DrillOptions, _ observer: Observer
    ) -> DrillReport? {
        guard let sidecar = archive.sidecar else { return nil }
        let scratch = options.scratch ?? DrillOptions.defaultScratch
        let record = DrillRecord(
            of: sidecar.archive, manifestSHA256: sidecar.manifestSHA256, startedAt: Date(),
            host: DrillRecord.Host(
                coreCount: availableCoreCount(), availableMemory: availableMemoryByteCount(),
                isScratchInMemory: DrillScratch.isInMemory(scratch)))
        let run = DrillRun(record, observer: observer)
        run.note("verify", nil, .failed, withoutSecrets(failure.description))
        run.finish(sidecar.etcd.map(\.name), recoverySeconds: nil)
        return DrillReport(record: run.record, failure: failure)
    }

    /// - Returns: how long bringing the archive back took, in seconds.
    private static func stages(_ plan: Plan, _ scratch: DrillScratch, _ run: DrillRun) async throws -> Double {
        try await run.stage("verify") {
            let report = try await VerifyOperation.run(
                plan.archive, identities: plan.identities, observer: run.observer)
            return ((), .passed, report.checked.joined(separator: "; "))
        }
        let files = try await run.stage("files") {
            let files = try await FilesDrill(
                archive: plan.archive, identities: plan.identities, scratch: scratch, manifest: plan.manifest,
                keepsFiles: plan.apiServer != nil
            ).run(observer: run.observer)
            return (files, .passed, files.detail)
        }.result
        defer { FilesDrill.removeFiles(scratch) }
        var seconds = files.seconds
        for (source, record) in plan.sources {
            seconds += try await DatabaseDrill(
                source: source, record: record, program: plan.program, scratch: scratch,
                encryption: files.encryption, apiServer: plan.apiServer, filesRoot: files.root, run: run
            ).drill()
        }
        return seconds
    }
}

/// A drill that can begin.
private struct Plan {
    let archive: OpenedArchive
    let identities: [any Identity]
    let manifest: Manifest
    let manifestSHA256: String
    let sources: [(source: SnapshotSource, record: EtcdSnapshotRecord)]
    let program: EtcdProgram
    let apiServer: APIServerProgram?
    let scratch: String
    let availableMemory: Int?

    init(_ archive: OpenedArchive, _ identities: [any Identity], _ options: DrillOptions) throws {
        self.archive = archive
        self.identities = identities
        let reader = try archive.reader(identities)
        manifest = try reader.readManifest()
        manifestSHA256 = reader.manifestSHA256
        let names = manifest.etcd.map(\.name) + manifest.sharedSnapshotsElsewhere.map(\.name)
        // Without one this says which backups have some.
        let all = names.isEmpty ? [nil] : names.map(Optional.some)
        sources = try all.map { name in
            let source = try SnapshotSource(archive, identities: identities, name: name)
            guard let record = source.record else { preconditionFailure("a snapshot of an archive has a record") }
            return (source, record)
        }
        apiServer = try APIServerProgram.find(options.apiServerPath)
        availableMemory = availableMemoryByteCount()
        try DrillMemory.check(
            databaseByteCount: sources.map(\.record.databaseSize).max() ?? 0, hasAPIServer: apiServer != nil,
            available: availableMemory)
        scratch = options.scratch ?? DrillOptions.defaultScratch
        guard options.scratch != nil || DrillScratch.isInMemory(scratch) else {
            throw Failure(
                .failed, "\(quoted(scratch)) is not in memory here, and nothing of an archive goes to a disk unasked",
                hint: "name a directory for what is restored; it is removed in the end", settings: [.scratch])
        }
        program = try EtcdProgram.find(options.etcdPath)
    }

    var largestDatabase: Int { sources.map(\.record.databaseSize).max() ?? 0 }
}
