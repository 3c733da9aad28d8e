import Foundation
import TestSupport
import Testing

/// A store in S3 for one test, behind a proxy that does to requests what the test says.
struct S3TestStore {
    let server: SeaweedServer
    let proxy: FaultProxy
    let etcd: EtcdServer
    let key: Laboratory.Key
    let client: S3Client
    /// The store's place in the bucket.
    let prefix: String
    let directory: TemporaryDirectory
    /// Whose keys the program has.
    let identity: SeaweedServer.Identity
    private let configuration: String

    /// The node's place in the bucket.
    var scope: String { "\(prefix)/test/node/" }
    var credentialsPath: String { directory.file("credentials") }
    /// Where the host remembers, caches and keeps temporary files.
    var environment: [String: String] {
        [
            "STATE_DIRECTORY": directory.file("state"), "CACHE_DIRECTORY": directory.file("cache"),
            "TMPDIR": directory.file("tmp"),
        ]
    }

    /// - Parameters:
    ///   - retrySeconds: for how long what fails is tried again.
    ///   - settings: further lines of the section.
    init(
        _ etcd: EtcdServer, server: SeaweedServer? = nil, retrySeconds: Int = 60, settings: [String] = [],
        identity: SeaweedServer.Identity = S3Client.administrator
    ) throws {
        let laboratory = try Laboratory.shared()
        self.etcd = etcd
        self.identity = identity
        self.server = try server ?? laboratory.objectServer()
        client = S3Client(server: self.server)
        proxy = try FaultProxy(before: self.server.port)
        key = try laboratory.key()
        prefix = "p\(UUID().uuidString.lowercased().prefix(12))"
        directory = try TemporaryDirectory()
        for name in ["state", "cache", "tmp"] { try run("mkdir", ["-m", "0700", directory.file(name)]) }
        let stall = settings.contains { $0.hasPrefix("stallSeconds") } ? [] : ["stallSeconds: 2"]
        let section = stall + ["retrySeconds: \(retrySeconds)"] + settings
        configuration = try directory.write(
            "discover: false\nhostFacts: false\ns3:\n" + section.map { "  \($0)\n" }.joined(), to: "config.yaml")
        try writeCredentials(identity)
    }

    /// Replaces the file of keys.
    func writeCredentials(_ identity: SeaweedServer.Identity) throws {
        try """
        [default]
        aws_access_key_id = \(identity.key)
        aws_secret_access_key = \(identity.secret)

        """.write(toFile: credentialsPath, atomically: true, encoding: .utf8)
        try run("chmod", ["0600", credentialsPath])
    }

    /// The flags that name the store.
    ///
    /// - Parameter isDirect: whether the proxy is passed by.
    func flags(isDirect: Bool = false) -> [String] {
        [
            "--store", "s3://\(S3Client.bucket)/\(prefix)", "--cluster", "test", "--node", "node",
            "--s3-endpoint", isDirect ? server.url : proxy.url, "--s3-credentials", credentialsPath,
            "--config", configuration,
        ]
    }

    /// The arguments of a backup.
    func backup(isDirect: Bool = false, _ more: [String] = []) -> [String] {
        ["backup", "-r", key.recipient] + etcd.flags() + flags(isDirect: isDirect) + more
    }

    /// Runs the program to its end.
    func attempt(_ arguments: [String], seconds: Double = 120) throws -> CommandResult {
        try SnapTool.attempt(arguments, environment: environment, seconds: seconds)
    }

    /// Starts the program.
    func start(_ arguments: [String]) throws -> RunningCommand {
        try SnapTool.start(arguments, environment: environment)
    }

    /// Makes a backup past the proxy and returns its ID.
    @discardableResult
    func makeBackupID() throws -> String {
        let result = try attempt(backup(isDirect: true, ["-o", "json"]))
        guard result.status == 0 else { throw TestSupportError("\(result.status): \(result.errorText)") }
        return TestStore.id(of: try JSON(result.output).path.string)
    }

    /// The IDs that `list` shows past the proxy.
    func listed() throws -> [String] {
        let result = try attempt(["list", "-o", "json"] + flags(isDirect: true))
        if result.status == 4 { return [] }
        guard result.status == 0 else { throw TestSupportError("list: \(result.status): \(result.errorText)") }
        return try JSON(result.output).array.map(\.archive.id.string).sorted()
    }

    /// Expects that a run through the proxy goes well, and that its backup is the only one and can be read.
    @discardableResult
    func expectOneGoodBackup(
        _ more: [String] = [], seconds: Double = 120, sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> CommandResult {
        let result = try attempt(backup(more), seconds: seconds)
        #expect(result.status == 0, "\(result.errorText)", sourceLocation: sourceLocation)
        let ids = try listed()
        #expect(ids.count == 1, "\(result.errorText)", sourceLocation: sourceLocation)
        try expectOnly(ids, sourceLocation: sourceLocation)
        let verify = try attempt(["verify", "-i", key.path] + flags(isDirect: true))
        #expect(verify.status == 0, "\(verify.errorText)", sourceLocation: sourceLocation)
        return result
    }

    /// Expects these backups in the bucket and nothing else, whole or begun, and nothing unfinished on this host.
    func expectOnly(_ ids: [String], sourceLocation: SourceLocation = #_sourceLocation) throws {
        let keys = ids.flatMap { ["\(scope)\($0).json", "\(scope)\($0).tar.zst.age"] }.sorted()
        #expect(try client.keys(scope) == keys, sourceLocation: sourceLocation)
        #expect(try client.uploads(scope) == [], sourceLocation: sourceLocation)
        #expect(try notes() == [], sourceLocation: sourceLocation)
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: directory.file("tmp")) == [],
            sourceLocation: sourceLocation)
    }

    /// The uploads that the host remembers to end, and files that are unfinished.
    func notes() throws -> [String] {
        try FileManager.default.subpathsOfDirectory(atPath: directory.file("state")).filter {
            let name = $0.split(separator: "/").last ?? ""
            return name == "uploads.json" || name.hasPrefix(".pending")
        }
    }

    /// Expects that the next run goes well, removes what was left, and keeps what was there.
    @discardableResult
    func expectNextRunSucceeds(
        after ids: [String], sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> CommandResult {
        proxy.reset()
        let result = try attempt(backup())
        #expect(result.status == 0, "\(result.errorText)", sourceLocation: sourceLocation)
        let listed = try listed()
        #expect(listed.count == ids.count + 1 && Set(listed).isSuperset(of: ids), sourceLocation: sourceLocation)
        try expectOnly(listed, sourceLocation: sourceLocation)
        return result
    }
}
