import Foundation
import Synchronization

/// A real etcd member on free loopback ports, stopped at the latest when its last reference goes.
public final class EtcdServer: @unchecked Sendable {
    // `@unchecked Sendable`: nothing changes after `init`, and Process may be asked and signalled from any thread.

    /// The version that runs.
    public let version: EtcdVersion
    /// The authority behind the member's TLS; nil without TLS.
    public let pki: TestPKI?
    /// The member's name.
    public let name: String
    /// The port for clients.
    public let clientPort: UInt16
    /// The port for other members.
    public let peerPort: UInt16
    /// The member's data directory.
    public let dataDirectory: String
    private let directory: TemporaryDirectory
    private let process: Process
    private let checksName: Bool

    /// Starts a cluster of one member and waits until it is healthy.
    ///
    /// - Parameters:
    ///   - pki: makes clients need TLS and a certificate of this authority.
    ///   - serverPair: the member's certificate, where that isn't the authority's usual one.
    ///   - flags: further flags for etcd.
    public static func start(
        _ version: EtcdVersion, pki: TestPKI? = nil, serverPair: TestPKI.Pair? = nil, flags: [String] = []
    ) throws -> EtcdServer {
        let ports = try freePorts(2)
        let server = try EtcdServer(
            version, pki: pki, serverPair: serverPair, name: "m0", ports: (ports[0], ports[1]),
            cluster: "m0=http://127.0.0.1:\(ports[1])", isNew: true, flags: flags)
        try server.waitUntilServing()
        return server
    }

    /// Starts a cluster of one member whose certificate is not for the address that it listens on, so that etcdctl has to be
    /// told not to look.
    public static func startForName(
        _ version: EtcdVersion, pki: TestPKI, pair: TestPKI.Pair
    ) throws -> EtcdServer {
        let ports = try freePorts(2)
        let server = try EtcdServer(
            version, pki: pki, serverPair: pair, name: "m0", ports: (ports[0], ports[1]),
            cluster: "m0=http://127.0.0.1:\(ports[1])", isNew: true, flags: [], checksName: false)
        try server.waitUntilServing()
        return server
    }

    /// Starts a cluster of several members and waits until all are healthy.
    public static func startCluster(
        _ version: EtcdVersion, memberCount: Int, pki: TestPKI? = nil, flags: [String] = []
    ) throws -> [EtcdServer] {
        let ports = try freePorts(2 * memberCount)
        let cluster = (0..<memberCount).map { "m\($0)=http://127.0.0.1:\(ports[2 * $0 + 1])" }.joined(separator: ",")
        let servers = try (0..<memberCount).map { index in
            try EtcdServer(
                version, pki: pki, serverPair: nil, name: "m\(index)", ports: (ports[2 * index], ports[2 * index + 1]),
                cluster: cluster, isNew: true, flags: flags)
        }
        for server in servers { try server.waitUntilServing() }
        return servers
    }

    /// Adds a learner to the cluster that this member belongs to, and starts it.
    public func startLearner(cluster servers: [EtcdServer]) throws -> EtcdServer {
        let ports = try Self.freePorts(2)
        try etcdctlPatiently("member", "add", "learner", "--learner", "--peer-urls=http://127.0.0.1:\(ports[1])")
        let cluster =
            (servers.map { "\($0.name)=http://127.0.0.1:\($0.peerPort)" })
            + ["learner=http://127.0.0.1:\(ports[1])"]
        let learner = try EtcdServer(
            version, pki: pki, serverPair: nil, name: "learner", ports: (ports[0], ports[1]),
            cluster: cluster.joined(separator: ","), isNew: false, flags: [])
        try learner.waitUntilServing()
        return learner
    }

    private init(
        _ version: EtcdVersion, pki: TestPKI?, serverPair: TestPKI.Pair?, name: String, ports: (UInt16, UInt16),
        cluster: String, isNew: Bool, flags: [String], checksName: Bool = true
    ) throws {
        guard version.isInstalled else {
            throw TestSupportError("etcd \(version) is not installed at \(version.path(of: "etcd"))")
        }
        self.version = version
        self.pki = pki
        self.name = name
        self.checksName = checksName
        (clientPort, peerPort) = ports
        directory = try TemporaryDirectory()
        dataDirectory = directory.file("data")
        let clientURL = "\(pki == nil ? "http" : "https")://127.0.0.1:\(ports.0)"
        let peerURL = "http://127.0.0.1:\(ports.1)"
        var arguments = [
            "--name=\(name)", "--data-dir=\(dataDirectory)", "--listen-client-urls=\(clientURL)",
            "--advertise-client-urls=\(clientURL)", "--listen-peer-urls=\(peerURL)",
            "--initial-advertise-peer-urls=\(peerURL)", "--initial-cluster=\(cluster)",
            "--initial-cluster-state=\(isNew ? "new" : "existing")",
        ]
        if let pki {
            let pair = serverPair ?? pki.server
            arguments += ["--cert-file=\(pair.certificatePath)", "--key-file=\(pair.keyPath)"]
            arguments += ["--trusted-ca-file=\(pki.caPath)", "--client-cert-auth"]
        }
        process = try makeProcess(version.path(of: "etcd"), arguments + flags, environment: [:])
        let log = try emptyFile(directory.file("log"))
        process.standardOutput = log
        process.standardError = log
        process.standardInput = FileHandle.nullDevice
        try process.run()
    }

    deinit { kill() }

    /// The process.
    public var processID: Int32 { process.processIdentifier }

    /// The endpoint for clients, with its scheme.
    public var clientURL: String { "\(pki == nil ? "http" : "https")://127.0.0.1:\(clientPort)" }

    /// What the member has logged.
    public var log: String { (try? String(contentsOfFile: directory.file("log"), encoding: .utf8)) ?? "" }

    /// Ends the member with SIGKILL, and waits.
    public func kill() {
        guard process.isRunning else { return }
        Foundation.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    /// Ends the member as a service manager does, so that it closes its database, and waits.
    public func end() {
        guard process.isRunning else { return }
        Foundation.kill(process.processIdentifier, SIGTERM)
        process.waitUntilExit()
    }

    /// Stops the member's execution and waits until all of its threads stand still.
    public func pause() throws {
        Foundation.kill(process.processIdentifier, SIGSTOP)
        let tasks = "/proc/\(process.processIdentifier)/task"
        for _ in 0..<1000 {
            let states = try FileManager.default.contentsOfDirectory(atPath: tasks).map { task in
                let fields = try String(contentsOfFile: "\(tasks)/\(task)/stat", encoding: .utf8).split(separator: ")")
                return fields.last?.first { $0 != " " }
            }
            if states.allSatisfy({ $0 == "T" }) { return }
            usleep(10_000)
        }
        throw TestSupportError("etcd did not stop")
    }

    /// Continues a paused member.
    public func resume() { Foundation.kill(process.processIdentifier, SIGCONT) }

    /// Runs etcdctl against the member and returns its output.
    @discardableResult
    public func etcdctl(_ arguments: String..., user: String? = nil, input: Data? = nil) throws -> String {
        try etcdctl(arguments, user: user, input: input).text
    }

    private func etcdctl(
        _ arguments: [String], user: String?, input: Data?, allowsFailure: Bool = false
    ) throws -> CommandResult {
        var flags = ["--endpoints=\(clientURL)", "--dial-timeout=30s", "--command-timeout=60s"]
        if let pki {
            flags += ["--cacert=\(pki.caPath)", "--cert=\(pki.client.certificatePath)", "--key=\(pki.client.keyPath)"]
            if !checksName { flags.append("--insecure-skip-tls-verify") }
        }
        if let user { flags.append("--user=\(user)") }
        return try run(
            version.path(of: "etcdctl"), flags + arguments, environment: ["ETCDCTL_API": "3"], input: input,
            allowsFailure: allowsFailure)
    }

    /// Puts random values of a mebibyte each until the database has grown by about as many.
    public func fill(mebibytes: Int) throws {
        let random = FileHandle(forReadingAtPath: "/dev/urandom")
        for index in 0..<mebibytes {
            guard let value = try random?.read(upToCount: 1 << 20), value.count == 1 << 20 else {
                throw TestSupportError("no random bytes")
            }
            try etcdctl("put", "fill/\(index)", input: value)
        }
    }

    /// Repeats an etcdctl command until a young cluster, which has to see its members for a while first, accepts it.
    private func etcdctlPatiently(_ arguments: String...) throws {
        for _ in 0..<60 {
            if try etcdctl(arguments, user: nil, input: nil, allowsFailure: true).status == 0 { return }
            usleep(500_000)
        }
        throw TestSupportError("etcdctl \(arguments.joined(separator: " ")) kept failing")
    }

    private func waitUntilServing() throws {
        // Generous: the machine may be busy, and only a member that never comes up should fail a test.
        for _ in 0..<300 {
            guard process.isRunning else { break }
            let result = try etcdctl(
                ["get", "--consistency=s", "x", "--command-timeout=2s", "--dial-timeout=1s"], user: nil, input: nil,
                allowsFailure: true)
            if result.status == 0 { return }
            usleep(100_000)
        }
        throw TestSupportError("etcd \(version) did not start:\n\(log)")
    }

    /// Below those that the kernel gives to outgoing connections, which would take a port before its server does.
    private static let portRange = 10_000..<32_000
    private static let nextPort = Mutex(portRange.lowerBound + Int(getpid()) * 97 % portRange.count)

    /// Ports of the loopback interface that nobody listens on; none comes twice.
    public static func freePorts(_ count: Int) throws -> [UInt16] {
        try (0..<count).map { _ in
            for _ in portRange {
                let port = nextPort.withLock { next in
                    defer { next = next + 1 < portRange.upperBound ? next + 1 : portRange.lowerBound }
                    return UInt16(next)
                }
                if isFree(port) { return port }
            }
            throw TestSupportError("no free port: error \(errno)")
        }
    }

    private static func isFree(_ port: UInt16) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }
}
