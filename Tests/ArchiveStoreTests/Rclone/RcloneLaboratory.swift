import Foundation
import HostIO
import TestSupport
import Testing

@testable import ArchiveStore

/// A version of rclone that tests run: Debian's, and a newer one from the tests' own tools.
enum RcloneRelease: String, CaseIterable, Sendable, Codable, CustomTestStringConvertible {
    case debian
    case newer

    var path: String {
        self == .debian ? "/usr/bin/rclone" : "\(EtcdVersion.toolsDirectory)/rclone-unstable/rclone"
    }

    var testDescription: String { rawValue }
}

/// A kind of remote.
enum RcloneRemoteKind: String, CaseIterable, Sendable, Codable, CustomTestStringConvertible {
    case local
    /// OpenSSH's server.
    case openSSH
    /// rclone's own server of sftp.
    case sftp
    /// rclone's own server of WebDAV.
    case webDAV
    /// SeaweedFS.
    case s3

    var testDescription: String { rawValue }

    /// Whether the objects are files of this host that a test may look at.
    var hasFiles: Bool { self != .s3 }
}

/// A remote of a kind, its server if it has one, and a configuration file that names it `far`.
final class RcloneLaboratory {
    let release: RcloneRelease
    let scratch: TemporaryDirectory
    let kind: RcloneRemoteKind
    /// The name of the store in the remote: each check has one of its own.
    var place = "store"
    private let base: String
    private var servers: [AnyObject] = []
    private(set) var port: UInt16 = 0

    /// The password of remotes that have one, as the configuration has it: readable to everybody who has rclone.
    private(set) var obscuredPassword = ""

    static let password = "correct-horse-battery"

    /// The directory of the host with the objects.
    var files: String { scratch.file("served/\(place)") }
    /// The path of the store in the remote.
    var path: String { base + place }
    var configFile: String { scratch.file("rclone.conf") }
    var knownHosts: String { scratch.file("known_hosts") }

    /// Starts what a remote needs.
    ///
    /// - Parameter hasShell: whether OpenSSH lets its user run commands, with which digests are made.
    init(_ kind: RcloneRemoteKind, _ release: RcloneRelease, hasShell: Bool = true) throws {
        self.kind = kind
        self.release = release
        scratch = try TemporaryDirectory()
        let served = scratch.file("served")
        switch kind {
        case .local, .openSSH: base = served + "/"
        case .sftp, .webDAV: base = ""
        case .s3: base = "bucket/"
        }
        try FileManager.default.createDirectory(atPath: served, withIntermediateDirectories: false)
        obscuredPassword = try run(release.path, ["obscure", Self.password]).text.trimmingCharacters(in: .newlines)
        switch kind {
        case .local: try configure(["type": "local"])
        case .openSSH: try startOpenSSH(hasShell: hasShell)
        case .sftp, .webDAV: try serve(kind == .sftp ? "sftp" : "webdav")
        case .s3: try startS3()
        }
    }

    func configure(_ options: KeyValuePairs<String, String>, name: String = "far") throws {
        let text = options.map { "\($0) = \($1)\n" }.joined()
        let before = (try? String(contentsOfFile: configFile, encoding: .utf8)) ?? ""
        try scratch.write("\(before)[\(name)]\n\(text)\n", to: "rclone.conf")
    }

    private func startOpenSSH(hasShell: Bool) throws {
        port = try EtcdServer.freePorts(1)[0]
        for name in ["host", "user"] {
            try run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", scratch.file(name)])
        }
        try FileManager.default.createDirectory(atPath: "/run/sshd", withIntermediateDirectories: true)
        let configuration = try scratch.write(
            """
            Port \(port)
            ListenAddress 127.0.0.1
            HostKey \(scratch.file("host"))
            AuthorizedKeysFile \(scratch.file("user.pub"))
            PidFile none
            StrictModes no
            UsePAM no
            PasswordAuthentication no
            MaxStartups 100
            Subsystem sftp internal-sftp
            \(hasShell ? "" : "ForceCommand internal-sftp")
            """, to: "sshd_config")
        // Not a Process of Foundation: sshd closes by what that would notice its end, and it waits for it then.
        try start("/usr/sbin/sshd", ["-D", "-f", configuration])
        let key = try String(contentsOfFile: scratch.file("host.pub"), encoding: .utf8)
        try scratch.write("[127.0.0.1]:\(port) \(key)", to: "known_hosts")
        try configure([
            "type": "sftp", "host": "127.0.0.1", "port": "\(port)", "user": NSUserName(),
            "key_file": scratch.file("user"), "known_hosts_file": knownHosts,
        ])
    }

    private func serve(_ protocolName: String) throws {
        port = try EtcdServer.freePorts(1)[0]
        // Its keys belong into no home.
        try start(
            release.path,
            [
                "serve", protocolName, "--addr", "127.0.0.1:\(port)", "--user", "me", "--pass", Self.password,
                "--config", "/dev/null", scratch.file("served"),
            ], environment: ["XDG_CACHE_HOME": scratch.file("cache"), "HOME": scratch.path])
        if protocolName == "sftp" {
            try configure([
                "type": "sftp", "host": "127.0.0.1", "port": "\(port)", "user": "me", "pass": obscuredPassword,
            ])
        } else {
            try configure([
                "type": "webdav", "url": "http://127.0.0.1:\(port)", "vendor": "other", "user": "me",
                "pass": obscuredPassword,
            ])
        }
    }

    private func start(_ program: String, _ arguments: [String], environment: [String: String] = [:]) throws {
        let server = try RunningCommand(program, arguments, environment: environment)
        servers.append(server)
        for _ in 0..<600 where server.isRunning {
            usleep(50_000)
            // Not another one that has taken the port.
            if isListening(on: port), server.isRunning { return }
        }
        throw TestSupportError("\(program) does not listen on port \(port): \(server.errorText)")
    }

    private func startS3() throws {
        let server = try SeaweedServer([
            .init(key: "key", secret: "secret", actions: ["Admin", "Read", "Write", "List"])
        ])
        servers.append(server)
        port = server.port
        try configure([
            "type": "s3", "provider": "Other", "access_key_id": "key", "secret_access_key": "secret",
            "endpoint": server.url,
        ])
        // It listens before it can write.
        for attempt in 0... {
            let made = try rclone(["mkdir", "far:bucket"], allowsFailure: true)
            let stored = try rclone(["rcat", "far:bucket/probe", "--retries=1"], input: "x", allowsFailure: true)
            if made.status == 0, stored.status == 0 { break }
            guard attempt < 60 else { throw TestSupportError("SeaweedFS stores nothing: \(stored.errorText)") }
            usleep(500_000)
        }
    }

    // MARK: Use

    var settings: RcloneSettings {
        var settings = RcloneSettings()
        settings.configFile = configFile
        settings.executable = release.path
        settings.connectSeconds = 10
        settings.stallSeconds = 60
        settings.operationSeconds = 120
        return settings
    }

    func storage(_ settings: RcloneSettings? = nil, remote: String = "far") throws -> RcloneStorage {
        try RcloneStorage(RcloneLocation("rclone:\(remote):\(path)"), settings ?? self.settings)
    }

    /// Runs the real program beside the storage.
    @discardableResult
    func rclone(_ arguments: [String], input: String = "", allowsFailure: Bool = false) throws -> CommandResult {
        try run(
            "env", ["-u", "AWS_CA_BUNDLE", release.path, "--config", configFile] + arguments, input: Data(input.utf8),
            allowsFailure: allowsFailure)
    }

    /// All that is below the store, hidden or not.
    func everything() throws -> [String] {
        let result = try rclone(
            ["lsf", "-R", "--files-only", "far:\(path)", "--retries=1"], allowsFailure: true)
        guard result.status == 0 || result.status == 3 else { throw TestSupportError(result.errorText) }
        return result.text.split(separator: "\n").map(String.init).sorted()
    }
}

/// Bytes that no compression or deduplication makes fewer.
func noise(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    var generator = SeededGenerator(seed: seed)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + 8)
    while bytes.count < count { withUnsafeBytes(of: generator.next() as UInt64) { bytes += $0 } }
    return Array(bytes.prefix(count))
}

/// The error that something throws.
func objectError(_ body: () throws -> Void) throws -> ObjectError {
    do {
        try body()
    } catch let error as ObjectError {
        return error
    }
    throw TestSupportError("nothing was thrown")
}

extension ObjectStorage {
    /// A range of an object.
    func range(_ object: StoredObject, _ offset: Int, _ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let read = try bytes.withUnsafeMutableBytes { try self.read(object, at: offset, into: $0) }
        return Array(bytes.prefix(read))
    }
}

/// Each release with each kind of remote.
let everyRemote: [(RcloneRemoteKind, RcloneRelease)] = RcloneRemoteKind.allCases.flatMap { kind in
    RcloneRelease.allCases.map { (kind, $0) }
}
