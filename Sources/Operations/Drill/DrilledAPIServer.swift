import FoundationEssentials
import HostIO
import KubernetesAPI
import SealedArchive

#if canImport(Glibc)
    import Glibc
#endif

/// A real kube-apiserver that runs on the etcd of a drill, for as long as this object lives.
///
/// It listens on 127.0.0.1 only, answers nobody without a certificate or a token of the cluster, and reaches etcd through the
/// socket in the drill's directory. Nothing is asked of it that it would have to ask a webhook for.
final class DrilledAPIServer: Sendable {
    /// A client with the rights of an administrator.
    let client: KubernetesClient
    private let process: TiedProcess
    private let directory: OpenDirectory
    private let version: String

    private static let logName = "apiserver-log"
    private static let maxLogByteCount = 256 << 10

    /// Boots it; it need not be ready yet.
    ///
    /// - Parameter directory: the one that the drill's etcd runs in.
    init(
        _ program: APIServerProgram, _ settings: APIServerSettings, _ identities: APIServerIdentities,
        in directory: OpenDirectory
    ) throws {
        self.directory = directory
        version = program.record.version
        let port = try Self.freePort()
        var access = identities.access
        access.server = "https://127.0.0.1:\(port)"
        client = try KubernetesClient(access)
        process = try TiedProcess(
            program.executable, Self.arguments(settings, identities, port), environment: [DrillScratch.variable],
            directory: directory, log: Self.logName)
    }

    /// Names as in Kubernetes 1.36, `kube-apiserver` (reference page); all of them are there since 1.20.
    private static func arguments(
        _ settings: APIServerSettings, _ identities: APIServerIdentities, _ port: UInt16
    ) -> [String] {
        let own = [
            ("bind-address", "127.0.0.1"), ("secure-port", "\(port)"), ("advertise-address", "127.0.0.1"),
            // Else the addresses of live API servers would be taken out of the service.
            ("endpoint-reconciler-type", "none"),
            ("etcd-servers", DrilledEtcd.clientURL), ("authorization-mode", "RBAC"), ("anonymous-auth", "false"),
            ("disable-admission-plugins", "MutatingAdmissionWebhook,ValidatingAdmissionWebhook"),
            ("tls-cert-file", identities.serverFiles.certificate),
            ("tls-private-key-file", identities.serverFiles.key), ("cert-dir", "certificates"),
        ]
        return (own + settings.flags()).map { "--\($0.0)=\($0.1)" }
    }

    /// A port of 127.0.0.1 that nobody has; somebody may take it before the server does, which then ends.
    private static func freePort() throws -> UInt16 {
        let descriptor = try retryingInterrupts("open", "a socket") {
            socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        }
        defer { close(descriptor) }
        var place = sockaddr_in()
        place.sin_family = sa_family_t(AF_INET)
        place.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafeMutablePointer(to: &place) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 ? getsockname(descriptor, $0, &length) : -1
            }
        }
        guard status == 0 else { throw Failure(.failed, "no port of 127.0.0.1 is free: error \(errno)") }
        return UInt16(bigEndian: place.sin_port)
    }

    /// Waits until it is ready.
    func waitUntilReady(seconds: Int) throws {
        let deadline = ContinuousClock.now + .seconds(seconds)
        var words = "nothing listened"
        while ContinuousClock.now < deadline {
            try Task.checkCancellation()
            do {
                return try client.checkReady()
            } catch let status as APIStatus {
                guard status.code >= 500 || status.code == 403 else { throw status }
                words = status.message
            } catch let error as APIConnectionError {
                guard error.isWorthRetrying else { throw error }
            }
            if let end = process.end { throw died(end) }
            usleep(100_000)
        }
        throw Failure(
            .failed,
            "kube-apiserver \(version) was booted from the archive, and after \(seconds) s it is not ready: "
                + withoutSecrets(printable(words)), hint: "its log says: \(lastWords)")
    }

    /// Asks it something; one that has ended says more by its log than by connections that end.
    func asking<Answer>(_ body: () throws -> Answer) throws -> Answer {
        do {
            try Task.checkCancellation()
            return try body()
        } catch let error as APIConnectionError {
            for _ in 0..<50 where process.end == nil { usleep(10_000) }
            if let end = process.end { throw died(end) }
            throw error
        }
    }

    /// Ends it at once: asked to end it would wait for its watches.
    func kill() { process.kill() }

    private func died(_ end: ChildProcess.End) -> Failure {
        Failure(
            .failed, "kube-apiserver \(version) that was booted from the archive \(end.description): \(lastWords)",
            hint: "boot one of the cluster's own version; what it says there tells more")
    }

    /// The lines of the log that tell of an end, or else the last ones; never more than a few hundred characters.
    private var lastWords: String {
        guard let file = try? RandomAccessFile(regular: directory.path(of: Self.logName)) else { return "nothing" }
        let start = max(0, file.byteCount - Self.maxLogByteCount)
        let bytes = (try? file.bytes(at: start, count: file.byteCount - start)) ?? []
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
        let marks = ["Error:", "command failed", "panic:", "fatal error:"]
        let found = marks.lazy.compactMap { mark in lines.last { $0.contains(mark) } }.first.map { [$0] }
        let words = (found ?? lines.suffix(3)).map { String($0.prefix(300)) }.joined(separator: " | ")
        return words.isEmpty ? "nothing" : withoutSecrets(printable(words))
    }
}
