import EtcdSnap
import EtcdStorage
import HostIO
import SealedArchive

/// One etcd snapshot of an archive, restored and booted: as it is, and raised as a real restore raises it.
struct DatabaseDrill {
    let source: SnapshotSource
    let record: EtcdSnapshotRecord
    let program: EtcdProgram
    let scratch: DrillScratch
    /// The API servers, with the keys that were restored.
    let encryption: NodeEncryption
    /// The kube-apiserver that is booted too, with the root of the files that it takes its own from.
    let apiServer: APIServerProgram?
    let filesRoot: String?
    let run: DrillRun

    private var name: String { record.name }

    /// What a restored database holds, found out from its file.
    private struct Contents: Sendable {
        var hashKV: KeyValueHash?
        var keySpace: KeySpaceDigest?
        var revision: Int64
        var compactRevision: Int64
        var isCompactionFinished: Bool
    }

    /// Makes all stages.
    ///
    /// - Returns: how long it took until the raised database was served, in seconds.
    func drill() async throws -> Double {
        run.begin(
            DrillRecord.Database(
                name: name, size: record.databaseSize, revision: record.revision ?? record.revisionAtStart,
                serverVersion: record.serverVersion))
        let keys = try await drillAsItIs()
        return try await drillRaised(keys)
    }

    // MARK: As it is

    /// - Returns: the digest of the keys that etcd has returned; nil where that could not be had.
    private func drillAsItIs() async throws -> KeySpaceDigest? {
        let directory = try scratch.directory.makeDirectory("etcd")
        defer { try? scratch.directory.removeTree("etcd") }
        let contents = try await run.stage("restore", name) {
            let (report, contents) = try await restore(into: directory, bump: 0)
            try expect("revision", record.revision, report.revision)
            return (contents, .passed, "\(record.databaseSize) bytes at revision \(report.revision), without a bump")
        }.result
        let etcd = try await boot("boot", directory) {
            try expect("revision", contents.revision, $0, orMore: true)
        }.etcd
        try await run.stage("hash", name) {
            try await compareHash(contents, of: etcd)
        }
        let secrets = SecretsDrill(
            encryption.readers(ofEtcd: name), hasAPIServer: encryption.hasAPIServer)
        let settings = try filesRoot.map { try APIServerSettings(root: $0, etcd: name) }
        let counts = ObjectCounts(prefix: settings?.prefix ?? "/registry")
        let keys = try await run.stage("keys", name) {
            let found = try await etcd.keySpace(at: contents.revision, observer: run.observer) {
                secrets.look(at: $0)
                counts.count($0)
            }
            return try compare(found, with: contents.keySpace)
        }.result
        if let apiServer, let settings {
            try await APIDrill(
                program: apiServer, settings: settings, directory: directory, name: name, counts: counts, run: run
            ).drill()
        }
        try etcd.kill()
        try await run.stage("secrets", name) {
            guard keys != nil else { return ((), .notMade, "no key could be read") }
            let (outcome, detail) = try secrets.result(of: name)
            return ((), outcome, detail)
        }
        return keys
    }

    private func compareHash(
        _ contents: Contents, of etcd: DrilledEtcd
    ) async throws -> (Void, DrillRecord.Outcome, String) {
        guard let found = try await etcd.hashKV(at: contents.revision) else {
            return (
                (), .notMade,
                "etcd did not tell HashKV at revision \(contents.revision): it demands a user, or a lease has expired"
            )
        }
        try expect("compact revision", contents.compactRevision, max(-1, found.compactRevision))
        try expect("HashKV in the restored file", record.hashKV, contents.hashKV?.hash)
        try expect("HashKV", record.hashKV ?? contents.hashKV?.hash, found.hash)
        run.update { $0.hashKV = found.hash }
        guard record.hashKV != nil || contents.hashKV != nil else {
            return ((), .notMade, "HashKV is \(found.hash), and nothing is known that it should be")
        }
        let known = record.hashKV != nil ? "that of the manifest" : "that of the restored file"
        return ((), .passed, "HashKV \(found.hash) at revision \(contents.revision) is \(known)")
    }

    private func compare(
        _ found: KeySpaceDigest?, with expected: KeySpaceDigest?
    ) throws -> (KeySpaceDigest?, DrillRecord.Outcome, String) {
        guard let found else {
            return (nil, .notMade, "etcd demands a user and a password for keys: HashKV alone was compared")
        }
        run.update { $0.keyCount = found.keyCount }
        guard let expected else {
            return (
                found, .notMade,
                "\(found.keyCount) keys were read, too many to tell here which of the file's revisions are the newest"
            )
        }
        try expect("number of keys", expected.keyCount, found.keyCount)
        guard found == expected else {
            throw Failure(
                .integrity, "etcd returns other keys or values of \(quoted(name)) than the archive has",
                hint: "use another backup: `etcd-snap list`")
        }
        return (
            found, .passed,
            "\(found.keyCount) keys with \(found.byteCount) bytes: each key, value, revision, version and lease"
        )
    }

    // MARK: Raised

    /// - Returns: how long it took until it was served, in seconds.
    private func drillRaised(_ keys: KeySpaceDigest?) async throws -> Double {
        let directory = try scratch.directory.makeDirectory("raised")
        defer { try? scratch.directory.removeTree("raised") }
        let (contents, restoreSeconds) = try await run.stage("raised restore", name) {
            let (report, contents) = try await restore(into: directory, bump: nil)
            return (
                (contents, report.durationSeconds), .passed,
                "raised by \(report.revisionBump) to revision \(report.revision)"
            )
        }.result
        run.update { $0.raisedRevision = contents.revision }
        let (etcd, bootSeconds) = try await boot("raised boot", directory) {
            try expect("revision", contents.revision, $0, orMore: true)
        }
        try await run.stage("compaction", name) {
            try await etcd.waitUntilCompacted()
            let found = try await etcd.hashKV(at: contents.revision)
            try expect("compact revision", contents.revision, found?.compactRevision)
            try expect("HashKV", contents.hashKV?.hash, found?.hash)
            let read = try await etcd.keySpace(at: contents.revision, observer: run.observer)
            if let keys, let read, keys != read {
                throw Failure(
                    .integrity, "after the compaction etcd returns other keys or values of \(quoted(name)) than before",
                    hint: "report a bug, with the version of etcd; a restore that keeps the revision has none of it",
                    settings: [.noBump])
            }
            try etcd.stop()
            let hash = try await checkCompacted(directory, contents, found?.hash)
            let same = keys != nil && read != nil ? ", every key as before" : ""
            let origin = found == nil ? "HashKV in its file" : "HashKV"
            return ((), .passed, "compacted to \(contents.revision), \(origin) \(hash)\(same), its file sound")
        }
        return restoreSeconds + bootSeconds
    }

    /// The file that etcd has left: its pages, and that what it has answered is in it.
    ///
    /// - Returns: HashKV at the revision that it was raised to, in words.
    private func checkCompacted(_ directory: OpenDirectory, _ before: Contents, _ hash: UInt32?) async throws -> String
    {
        let after = try await contents(in: directory, at: before.revision)
        guard after.isCompactionFinished, after.compactRevision == before.revision else {
            throw Failure(
                .integrity, "etcd says that its compaction is done, and its file has it at \(after.compactRevision)",
                hint: "report a bug, with the version of etcd")
        }
        try expect("HashKV in the file that etcd has left", hash ?? before.hashKV?.hash, after.hashKV?.hash)
        return (hash ?? after.hashKV?.hash).map { "\($0)" } ?? "unknown"
    }

    // MARK: Steps

    private func restore(
        into directory: OpenDirectory, bump: Int64?
    ) async throws -> (RestoreEtcdReport, Contents) {
        var request = RestoreEtcdRequest(dataDirectory: directory.path(of: DrilledEtcd.dataName))
        request.memberName = DrilledEtcd.memberName
        request.initialCluster = "\(DrilledEtcd.memberName)=\(DrilledEtcd.peerURL)"
        request.revisionBump = bump
        request.owner = .ofThisProcess
        let report = try await RestoreEtcdOperation.run(source, request, observer: run.observer)
        return (report, try await contents(in: directory, at: 0))
    }

    private func contents(in directory: OpenDirectory, at revision: Int64) async throws -> Contents {
        let path = directory.path(of: "\(DrilledEtcd.dataName)/member/snap/db")
        return try await withBlockingThread("etcd-snap.drill.contents") { [observer = run.observer] in
            try stoppable {
                let file = WatchedBytes(try RandomAccessFile(path: path), phase: "read it back", observer: observer)
                let snapshot = try SnapshotStatus.verify(file, checksTrailer: false)
                let contents = try snapshot.report.requireSound(trailer: .ignored)
                let target = revision == 0 ? contents.currentRevision : revision
                let survey = try snapshot.survey(rereading: file, revision: target, digestsKeySpace: true)
                return Contents(
                    hashKV: survey.hashKV, keySpace: survey.keySpace, revision: target,
                    compactRevision: contents.compactRevision,
                    isCompactionFinished: contents.store.finishedCompactRevision == contents.compactRevision)
            }
        }
    }

    private func boot(
        _ stage: String, _ directory: OpenDirectory, _ check: (Int64) throws -> Void
    ) async throws -> (etcd: DrilledEtcd, seconds: Double) {
        let (etcd, seconds) = try await run.stage(stage, name) {
            let etcd = try DrilledEtcd(program, in: directory, databaseByteCount: record.databaseSize)
            let revision = try await etcd.waitUntilServing()
            try check(revision)
            let own = program.record.version
            let other = own == record.serverVersion ? "" : ", and the cluster ran \(record.serverVersion)"
            return (etcd, .passed, "etcd \(own) serves at revision \(revision)\(other)")
        }
        return (etcd, seconds)
    }

    /// What is known on one side only is not compared.
    private func expect<Number: FixedWidthInteger>(
        _ what: String, _ expected: Number?, _ found: Number?, orMore: Bool = false
    ) throws(Failure) {
        guard let expected, let found, found != expected, !(orMore && found > expected) else { return }
        throw Failure(
            .integrity, "the restored etcd \(quoted(name)) has the \(what) \(found), and it should be \(expected)",
            hint: "use another backup: `etcd-snap list`")
    }
}
