import EtcdSnap
import EtcdStorage
import FoundationEssentials
import HostIO
import SealedArchive
import Synchronization
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// What an etcd is booted from.
struct EtcdBoot: Sendable {
    /// The name of its member.
    var memberName = DrilledEtcd.memberName
    /// Its flags besides.
    var flags: [String] = []
    /// What its data was made from, for messages.
    var source = "the archive"
    /// What to do where it dies.
    var hint = "restore another backup; what etcd says there tells more, and belongs into a report of a bug"
    /// What to set for that.
    var settings: [Failure.Setting] = []
}

/// A real etcd that runs on restored data, for as long as this object lives.
///
/// It listens on sockets in the drill's own directory and on no port, so that nobody else on the host can ask it for what is
/// in the clear there, and no name or address of the lost cluster leads anywhere.
final class DrilledEtcd: Sendable {
    private let process: TiedProcess
    private let directory: OpenDirectory
    /// Nil once etcd is stopped: it waits for its clients to go.
    private let client: Mutex<Client?>
    private let endpoint: Endpoint
    private let version: String
    private let databaseByteCount: Int
    private let boot: EtcdBoot

    /// The member's name, and the peer URL that it is restored with; nobody listens there.
    static let memberName = "drill"
    static let peerURL = "http://127.0.0.1:1"

    private static let logName = "log"
    private static let socketName = "client:1"
    /// Where those find it that run in the same directory, as etcd's clients read it (etcd 3.5 `client/v3/internal/endpoint`).
    static let clientURL = "unix://\(socketName)"
    /// Answers hold pages of keys, see ``keySpace(at:)``.
    private static let messageLimit = 512 << 20
    /// A path in `sockaddr_un` has no more (unix(7)).
    private static let socketPathLimit = 107

    /// Boots etcd; it need not serve yet.
    ///
    /// - Parameters:
    ///   - directory: where it runs, with its data in ``dataName``.
    ///   - databaseByteCount: the size of its database.
    init(
        _ program: EtcdProgram, in directory: OpenDirectory, databaseByteCount: Int, boot: EtcdBoot = EtcdBoot()
    ) throws {
        self.directory = directory
        self.boot = boot
        self.databaseByteCount = databaseByteCount
        version = program.record.version
        var path = directory.path(of: Self.socketName)
        if path.utf8.count > Self.socketPathLimit {
            path = "/proc/self/fd/\(directory.descriptor.rawValue)/\(Self.socketName)"
        }
        endpoint = Endpoint(socket: path)
        var configuration = ClientConfiguration(endpoints: [endpoint])
        configuration.commandTimeout = .seconds(300)
        configuration.maxMessageByteCount = Self.messageLimit
        client = Mutex(try Client(configuration))
        process = try TiedProcess(
            program.executable, Self.arguments(boot, databaseByteCount), environment: [DrillScratch.variable],
            directory: directory, log: Self.logName)
    }

    static let dataName = "data"

    /// A URL of a socket has no path in etcd, so it lies in the working directory (etcd `types.NewURLs`).
    private static func arguments(_ boot: EtcdBoot, _ databaseByteCount: Int) -> [String] {
        [
            ("name", boot.memberName), ("data-dir", dataName), ("listen-client-urls", "unix://\(socketName)"),
            ("advertise-client-urls", peerURL), ("listen-peer-urls", "unix://peer:1"),
            ("initial-advertise-peer-urls", peerURL), ("initial-cluster", "\(boot.memberName)=\(peerURL)"),
            ("quota-backend-bytes", "\(2 * databaseByteCount + (1 << 30))"),
        ].map { "--\($0.0)=\($0.1)" } + boot.flags
    }

    // MARK: Waiting

    /// Waits until a read through the quorum succeeds, which needs a leader and the whole database.
    ///
    /// - Returns: the revision that it serves.
    func waitUntilServing() async throws -> Int64 {
        let patient = try connected.with { $0.commandTimeout = .seconds(5) }
        let revision = try await wait(for: "it serves", seconds: 60 + databaseByteCount >> 24) {
            do {
                return try await patient.range(endpoint: self.endpoint, from: [1], limit: 1, revision: 0) { _ in }
                    .currentRevision
            } catch let error as EtcdError where Self.isAboutUsers(error) {
                // It serves, and wants to know whom.
                return try await patient.status(of: self.endpoint).revision
            } catch is EtcdError {
                return nil
            }
        }
        return revision
    }

    /// Waits until the compaction that it found scheduled is done, which only its log tells.
    func waitUntilCompacted() async throws {
        try await wait(for: "its compaction is done", seconds: 120 + databaseByteCount >> 22) {
            try self.logContains("finished scheduled compaction") ? () : nil
        }
    }

    private func wait<Result>(
        for what: String, seconds: Int, _ attempt: () async throws -> Result?
    ) async throws -> Result {
        let deadline = ContinuousClock.now + .seconds(seconds)
        while ContinuousClock.now < deadline {
            if let result = try await attempt() { return result }
            if let end = process.end { throw died(end) }
            try await Task.sleep(for: .milliseconds(20))
        }
        throw Failure(
            .failed, "etcd \(version) was booted from \(boot.source), and after \(seconds) s it is not so that \(what)",
            hint: "its log says: \(lastWords)")
    }

    private func died(_ end: ChildProcess.End) -> Failure {
        Failure(
            .integrity, "etcd \(version) that was booted from \(boot.source) \(end.description): \(lastWords)",
            hint: boot.hint, settings: boot.settings)
    }

    // MARK: Asking

    private var connected: Client {
        guard let client = client.withLock(\.self) else { preconditionFailure("an etcd that is stopped is asked") }
        return client
    }

    /// HashKV at a revision, the current one as long as nothing is written; nil where it can't be told any more.
    ///
    /// Nor does it tell anybody without a password, where etcd demands one. At the revision of its compaction etcd before 3.5.5 computes it only while that is the current one; it stays so until
    /// the first lease expires.
    func hashKV(at revision: Int64) async throws -> HashKV? {
        let current: HashKV
        do {
            current = try await asking { try await connected.hashKV(endpoint: endpoint, revision: 0) }
        } catch let error as EtcdError where Self.isAboutUsers(error) {
            return nil
        }
        if current.currentRevision == revision { return current }
        do {
            return try await asking { try await connected.hashKV(endpoint: endpoint, revision: revision) }
        } catch let error as EtcdError where error.reason == .compacted {
            return nil
        }
    }

    /// All keys at a revision, read as the API server reads them, page by page.
    ///
    /// - Parameter look: called with each of them.
    /// - Returns: their digest; nil where etcd answers no one without a password.
    func keySpace(
        at revision: Int64, observer: Observer, look: @escaping @Sendable (RangeRow) -> Void = { _ in }
    ) async throws -> KeySpaceDigest? {
        let sum = Mutex(KeySpaceDigest())
        var first: [UInt8] = [0]
        var limit = 64
        while true {
            let page: RangePage
            do {
                page = try await asking {
                    try await connected.range(endpoint: endpoint, from: first, limit: limit, revision: revision) {
                        row in
                        look(row)
                        sum.withLock {
                            $0.add(
                                key: row.key, value: row.value, createRevision: row.createRevision,
                                modRevision: row.modRevision, version: row.version, lease: row.lease)
                        }
                    }
                }
            } catch let error as EtcdError where Self.isAboutUsers(error) {
                return nil
            }
            let done = sum.withLock(\.self)
            observer.progress(
                Progress(phase: "read every key", doneByteCount: done.byteCount, totalByteCount: nil))
            guard page.hasMore, let last = page.lastKey else { return done }
            first = last + [0]
            // Each page makes etcd count all keys behind it: few large ones, of about 16 MiB.
            limit = min(max(8, (16 << 20) * page.rowCount / max(1, page.byteCount)), 4 * limit)
        }
    }

    private static func isAboutUsers(_ error: EtcdError) -> Bool {
        [.notAuthenticated, .permissionDenied].contains(error.reason)
    }

    /// An etcd that has ended says more by its log than by connections that end.
    private func asking<Answer>(_ body: () async throws -> Answer) async throws -> Answer {
        do {
            return try await body()
        } catch let error as EtcdError {
            // A panic closes the connection a moment before the process is gone.
            for _ in 0..<50 where process.end == nil && !Self.isAboutUsers(error) { usleep(10_000) }
            if let end = process.end { throw died(end) }
            throw error
        }
    }

    // MARK: End

    /// Ends it, so that its database is written.
    ///
    /// - Throws: ``Failure`` if it ended by itself before.
    func stop() throws {
        if let end = process.end { throw died(end) }
        client.withLock { $0 = nil }
        process.stop(seconds: 30)
    }

    /// Ends it at once; its data is of no use any more.
    ///
    /// - Throws: ``Failure`` if it ended by itself before.
    func kill() throws {
        if let end = process.end { throw died(end) }
        process.kill()
    }

    private var log: [UInt8] {
        guard let file = try? RandomAccessFile(regular: directory.path(of: Self.logName)) else { return [] }
        let start = max(0, file.byteCount - 256 << 10)
        return (try? file.bytes(at: start, count: file.byteCount - start)) ?? []
    }

    private func logContains(_ text: String) throws -> Bool {
        String(decoding: log, as: UTF8.self).contains(text)
    }

    /// The last line of the log that tells of an end, or else the last one; never more than a few hundred characters.
    private var lastWords: String {
        let lines = String(decoding: log, as: UTF8.self).split(separator: "\n")
        let marks = [
            "panic:", "\"level\":\"panic\"", "\"level\":\"fatal\"", " C | ", "fatal error:", "\"level\":\"error\"",
        ]
        let found = marks.lazy.compactMap { mark in lines.last { $0.contains(mark) } }.first ?? lines.last ?? "nothing"
        return printable(String(found.prefix(300)))
    }
}
