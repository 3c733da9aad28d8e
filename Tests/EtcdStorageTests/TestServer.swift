import Foundation
import TestSupport
import Testing

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// The releases of etcd that tests run.
enum EtcdRelease: String, CaseIterable, Sendable {
    case v34 = "3.4"
    case v35 = "3.5"

    /// Where the server is: the system's for 3.4, ETCD_SNAP_TEST_TOOLS or .tools in the repository for 3.5.
    var server: String? { tool("etcd") }

    func tool(_ name: String) -> String? {
        let path: String
        switch self {
        case .v34: path = "/usr/bin/\(name)"
        case .v35:
            let tools = ProcessInfo.processInfo.environment["ETCD_SNAP_TEST_TOOLS"]
            let repository = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
                .deletingLastPathComponent()
            path = (tools ?? repository.appending(path: ".tools").path) + "/etcd-3.5/\(name)"
        }
        return FileManager.default.isExecutableFile(atPath: path) ? path : nil
    }
}

/// What a test of real servers can't go on with.
struct TestServerError: Error { var what: String }

/// An etcd that runs as a child process on free loopback ports.
final class TestServer {
    let name: String
    let clientURL: String
    let peerURL: String
    let directory: String
    private let release: EtcdRelease
    private var process: Process?

    init(_ release: EtcdRelease, name: String, directory: String, peerPort: UInt16? = nil) throws {
        self.release = release
        self.name = name
        self.directory = directory
        clientURL = "http://127.0.0.1:\(try EtcdServer.freePorts(1)[0])"
        peerURL = "http://127.0.0.1:\(try peerPort ?? EtcdServer.freePorts(1)[0])"
    }

    deinit { stop() }

    func start(initialCluster: String, existing: Bool = false, token: String = "etcd-cluster") throws {
        guard let server = release.server else { throw TestServerError(what: "no etcd \(release.rawValue)") }
        let process = Process()
        process.executableURL = URL(filePath: server)
        process.arguments = [
            "--name", name, "--data-dir", directory, "--listen-client-urls", clientURL, "--advertise-client-urls",
            clientURL, "--listen-peer-urls", peerURL, "--initial-advertise-peer-urls", peerURL, "--initial-cluster",
            initialCluster, "--initial-cluster-state", existing ? "existing" : "new", "--initial-cluster-token", token,
        ]
        process.environment = ["ETCD_VERIFY": "all", "PATH": "/usr/bin:/bin"]
        let log = directory + ".log"
        _ = FileManager.default.createFile(atPath: log, contents: nil)
        process.standardError = FileHandle(forWritingAtPath: log)
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        self.process = process
    }

    func stop() {
        guard let process else { return }
        process.terminate()
        process.waitUntilExit()
        self.process = nil
    }

    /// Calls the JSON gateway; integers of 64 bits come as strings.
    func call(_ path: String, _ body: [String: Any] = [:]) async throws -> [String: Any] {
        guard let url = URL(string: clientURL + path) else { throw TestServerError(what: path) }
        var request = URLRequest(url: url)
        request.httpMethod = "POST"
        request.httpBody = try JSONSerialization.data(withJSONObject: body)
        request.timeoutInterval = 20
        let (data, response) = try await URLSession.shared.data(for: request)
        let answer = try JSONSerialization.jsonObject(with: data) as? [String: Any] ?? [:]
        guard (response as? HTTPURLResponse)?.statusCode == 200 else {
            throw TestServerError(what: "\(path): \(answer)")
        }
        return answer
    }

    /// Waits until a write succeeds, which needs a leader.
    func waitUntilWritable() async throws {
        // Tests that compute may keep an answer waiting for a minute: then time alone says nothing.
        let (deadline, leastCount) = (Date().addingTimeInterval(60), 50)
        var count = 0
        while true {
            do {
                try await put("/ready", "yes")
                return
            } catch {
                count += 1
                guard Date() < deadline || count < leastCount, process?.isRunning == true else {
                    let log = (try? String(contentsOfFile: directory + ".log", encoding: .utf8)) ?? ""
                    throw TestServerError(what: "etcd \(name) did not become ready: \(error)\n\(log.suffix(3000))")
                }
                try await Task.sleep(for: .milliseconds(200))
            }
        }
    }

    func put(_ key: String, _ value: String) async throws {
        _ = try await call("/v3/kv/put", ["key": base64(key), "value": base64(value)])
    }

    func get(_ key: String) async throws -> String? {
        let answer = try await call("/v3/kv/range", ["key": base64(key)])
        let rows = answer["kvs"] as? [[String: Any]]
        guard let value = rows?.first?["value"] as? String, let data = Data(base64Encoded: value) else { return nil }
        return String(decoding: data, as: UTF8.self)
    }

    func keyCount() async throws -> Int {
        let answer = try await call("/v3/kv/range", ["key": "AA==", "range_end": "AA==", "count_only": true])
        return Int(answer["count"] as? String ?? "0") ?? 0
    }

    /// The gateway has one path for Hash and HashKV, so this asks through etcdctl.
    func hashKV(revision: Int64) throws -> UInt32 {
        guard let etcdctl = release.tool("etcdctl") else { throw TestServerError(what: "no etcdctl") }
        let output = try runTool(
            etcdctl, ["--endpoints", clientURL, "endpoint", "hashkv", "--rev", "\(revision)", "-w", "json"])
        let answers = try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [[String: Any]]
        guard let hash = (answers?.first?["HashKV"] as? [String: Any])?["hash"] as? NSNumber else {
            throw TestServerError(what: output)
        }
        return hash.uint32Value
    }

    func base64(_ text: String) -> String { Data(text.utf8).base64EncodedString() }
}

/// Runs a program and returns what it printed.
@discardableResult
func runTool(_ path: String, _ arguments: [String]) throws -> String {
    let process = Process()
    process.executableURL = URL(filePath: path)
    process.arguments = arguments
    process.environment = ["ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"]
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = pipe
    try process.run()
    let output = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    let text = String(decoding: output, as: UTF8.self)
    guard process.terminationStatus == 0 else { throw TestServerError(what: text) }
    return text
}
