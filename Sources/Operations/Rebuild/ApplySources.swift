import Age
import HostIO
import SealedArchive

/// The archives that a node's part needs, open and known to be those of the plan.
struct ApplySources {
    let backup: NodeBackup
    let snapshot: SnapshotSource?

    init(
        _ request: RebuildApplyRequest, _ node: RebuildNodePlan, _ identities: [any Identity],
        _ open: (RebuildPlan.Archive) throws -> OpenedArchive
    ) throws {
        let plan = request.plan
        func opened(_ id: String) throws -> OpenedArchive {
            guard let archive = plan.archives.first(where: { $0.id == id }) else {
                throw Failure(.integrity, "the plan names the archive \(id) and does not list it", hint: "plan again")
            }
            let opened = try open(archive)
            let digest = try opened.reader(identities).manifestSHA256
            guard digest == archive.manifestSHA256 else {
                throw Failure(
                    .integrity,
                    "\(quoted(opened.reference)) is not the archive \(archive.reference) that the plan was made "
                        + "with: the sha256 of its manifest is \(digest.prefix(16))… and not "
                        + "\(archive.manifestSHA256.prefix(16))…",
                    hint: "give the same archives on every host")
            }
            return opened
        }
        backup = try NodeBackup(opened(node.archiveID), identities: identities)
        guard node.member != nil, let planned = plan.snapshot else {
            snapshot = nil
            return
        }
        if let survivor = planned.survivor {
            try Self.check(VerificationLevel(rawValue: planned.level) ?? .streamed, request.minimumLevel)
            snapshot = try planned.source(of: survivor, among: request.snapshotFiles)
            return
        }
        let source = try SnapshotSource(opened(planned.archiveID), identities: identities, name: planned.name)
        guard let record = source.record, record.databaseSHA256 == planned.databaseSHA256 else {
            throw Failure(
                .integrity, "the snapshot that is found for \(planned.archiveID) is not the one of the plan",
                hint: "members from other bytes are no cluster: name the archive that has it")
        }
        try Self.check(record.verification.known ?? .streamed, request.minimumLevel)
        snapshot = source
    }

    private static func check(_ level: VerificationLevel, _ minimumLevel: VerificationLevel) throws(Failure) {
        guard level < minimumLevel else { return }
        throw Failure(
            .failed, "the snapshot has the level \(level.rawValue), and \(minimumLevel.rawValue) is asked for",
            hint: "verify the backup, or ask for less", settings: [.minimumLevel])
    }
}
