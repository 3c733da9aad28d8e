import Foundation
import Synchronization
import TestSupport
import Testing

/// All tests of the program as a process; they share the servers of one ``Laboratory``.
@Suite(.laboratory) enum Integration {}

/// Servers, certificates and keys that the tests share; everything is made when it is first asked for.
final class Laboratory: Sendable {
    /// A key pair in a file.
    struct Key: Sendable {
        let path: String
        let recipient: String
    }

    @TaskLocal private static var current: Laboratory?

    private struct State {
        let directory: TemporaryDirectory
        var pki: TestPKI?
        var keys: [String: Key] = [:]
        var servers: [EtcdVersion: EtcdServer] = [:]
        var bulk: [EtcdVersion: EtcdServer] = [:]
        var bulkData: String?
        var objects: SeaweedServer?
    }

    /// The size of the values in a database of ``bulkServer(_:)``, in MiB.
    static let bulkMebibytes = 60

    private let directory: TemporaryDirectory
    private let state: Mutex<State>

    /// A configuration by which a backup takes what its flags name and nothing else: this host runs servers of other
    /// tests, and has files of its own.
    let plainConfiguration: String

    private init() throws {
        directory = try TemporaryDirectory()
        plainConfiguration = try directory.write("discover: false\nhostFacts: false\n", to: "plain.yaml")
        state = Mutex(State(directory: directory))
    }

    /// The laboratory of this run.
    static func shared() throws -> Laboratory {
        guard let current else { throw TestSupportError("the suite has no laboratory") }
        return current
    }

    static func provide(_ body: @Sendable () async throws -> Void) async throws {
        let laboratory = try Laboratory()
        defer { laboratory.stop() }
        try await $current.withValue(laboratory, operation: body)
    }

    /// The authority of all servers.
    func pki() throws -> TestPKI {
        try state.withLock { try Self.pki(&$0) }
    }

    /// A key pair made by `etcd-snap keygen`.
    func key(_ name: String = "key", flags: [String] = []) throws -> Key {
        try state.withLock { state in
            if let key = state.keys[name] { return key }
            let path = directory.file("\(name).txt")
            let result = try SnapTool.run(["keygen", "-o", path] + flags)
            let recipient = result.errorText.split(separator: " ").last.map(String.init) ?? ""
            let key = Key(path: path, recipient: recipient.trimmingCharacters(in: .whitespacesAndNewlines))
            state.keys[name] = key
            return key
        }
    }

    /// A small member with TLS and some hundred keys, revisions, deletions and a compaction; tests only read it.
    func server(_ version: EtcdVersion) throws -> EtcdServer {
        try state.withLock { state in
            if let server = state.servers[version] { return server }
            let server = try EtcdServer.start(version, pki: Self.pki(&state))
            try server.putObjects()
            state.servers[version] = server
            return server
        }
    }

    /// A server of S3 with the identities of ``S3Client`` and a bucket; each test keeps to a prefix of its own.
    func objectServer() throws -> SeaweedServer {
        try state.withLock { state in
            if let server = state.objects { return server }
            let server = try S3Client.startServer()
            state.objects = server
            return server
        }
    }

    /// A member with TLS and a database of some size that does not compress; tests only read it.
    func bulkServer(_ version: EtcdVersion) throws -> EtcdServer {
        try state.withLock { state in
            if let server = state.bulk[version] { return server }
            let data = try Self.copyBulkData(&state, to: directory.file("bulk-\(version)"))
            let server = try EtcdServer.start(version, pki: Self.pki(&state), flags: ["--data-dir=\(data)"])
            state.bulk[version] = server
            return server
        }
    }

    /// Copies the data directory of such a member, for tests that do more than read.
    func copyBulkData(to path: String) throws -> String {
        try state.withLock { try Self.copyBulkData(&$0, to: path) }
    }

    private static func copyBulkData(_ state: inout State, to path: String) throws -> String {
        let template = try state.bulkData ?? makeBulkData(&state)
        state.bulkData = template
        try run("cp", ["-a", "--reflink=auto", template, path])
        return path
    }

    private static func makeBulkData(_ state: inout State) throws -> String {
        let server = try EtcdServer.start(.v3_4, flags: ["--data-dir=\(state.directory.file("bulk"))"])
        try server.fill(mebibytes: bulkMebibytes)
        server.kill()
        return state.directory.file("bulk")
    }

    private func stop() {
        state.withLock { state in
            for server in Array(state.servers.values) + Array(state.bulk.values) { server.kill() }
            state.objects?.stop()
            state = State(directory: directory)
        }
    }

    private static func pki(_ state: inout State) throws -> TestPKI {
        let pki = try state.pki ?? TestPKI()
        state.pki = pki
        return pki
    }
}

/// Gives a suite its laboratory, and stops what runs in it at the end.
struct LaboratoryTrait: SuiteTrait, TestScoping {
    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        try await Laboratory.provide(function)
    }
}

extension Trait where Self == LaboratoryTrait {
    static var laboratory: Self { Self() }
}

extension EtcdServer {
    /// The flags that reach the member, as etcdctl and etcd-snap take them.
    func flags(port: UInt16? = nil, client: TestPKI.Pair? = nil) -> [String] {
        let scheme = pki == nil ? "http" : "https"
        let endpoint = ["--endpoints", "\(scheme)://127.0.0.1:\(port ?? clientPort)"]
        guard let pki else { return endpoint }
        let pair = client ?? pki.client
        return endpoint + ["--cacert", pki.caPath, "--cert", pair.certificatePath, "--key", pair.keyPath]
    }

    /// Writes keys in transactions of a hundred, half of them twice, deletes some and compacts the history.
    func putObjects(count: Int = 500) throws {
        for pass in 0..<2 {
            for start in stride(from: 0, to: count, by: 100) {
                let puts = (start..<start + 100).filter { pass == 0 || $0 % 2 == 0 }.map { index in
                    let value =
                        "{\"kind\":\"Pod\",\"n\":\(index),\"pass\":\(pass)}" + String(repeating: "x", count: index)
                    return ["requestPut": ["key": base64("/registry/pods/ns/pod-\(index)"), "value": base64(value)]]
                }
                try post("kv/txn", ["success": puts])
            }
        }
        try etcdctl("del", "/registry/pods/ns/pod-1", "/registry/pods/ns/pod-150")
        try etcdctl("compact", "6")
    }

    private func post(_ path: String, _ body: [String: Any]) throws {
        var flags = ["-sSf", "--max-time", "30"]
        if let pki {
            flags += ["--cacert", pki.caPath, "--cert", pki.client.certificatePath, "--key", pki.client.keyPath]
        }
        let body = try JSONSerialization.data(withJSONObject: body)
        try run("curl", flags + ["--data-binary", "@-", "\(clientURL)/v3/\(path)"], input: body)
    }

    /// All keys with their values, revisions, versions and leases.
    func allKeys() throws -> [NSDictionary] {
        let document = try JSON(Data(etcdctl("get", "", "--prefix", "-w", "json").utf8))
        return document.kvs.array.compactMap { $0.value as? NSDictionary }
    }
}

private func base64(_ text: String) -> String { Data(text.utf8).base64EncodedString() }
