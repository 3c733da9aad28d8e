import FoundationEssentials
import HostIO
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// rclone on this host, run once for each operation.
///
/// A process each costs a few hundredths of a second, and a connection; in return nothing of it outlives the operation, listens
/// anywhere, or has to be watched.
struct RcloneProgram: Sendable {
    /// Its file.
    let path: String
    /// Its version.
    let version: RcloneVersion
    let settings: RcloneSettings
    private let environment: [String]
    /// What its errors name as the place.
    let place: String

    /// Finds rclone, and asks it for its version.
    ///
    /// - Throws: ``Failure``, of the code `usage` if it is missing or too old.
    init(_ settings: RcloneSettings, place: String) throws {
        try settings.validate()
        let path = try Self.executable(settings)
        let environment = Self.environment()
        self.settings = settings
        self.path = path
        self.environment = environment
        self.place = place
        version = try Self.version(of: path, environment)
    }

    private static func executable(_ settings: RcloneSettings) throws(Failure) -> String {
        let hint = "install it, from the distribution or from rclone.org, or name the path of the program"
        if let path = settings.executable {
            guard access(path, X_OK) == 0 else {
                throw Failure(.usage, "there is no program \(quoted(path)) to run as rclone", hint: hint)
            }
            return path
        }
        let paths = HostCommand.directories.map { "\($0)/rclone" }
        guard let path = paths.first(where: { access($0, X_OK) == 0 }) else {
            throw Failure(
                .usage, "rclone is not in \(HostCommand.directories.joined(separator: ", "))", hint: hint)
        }
        return path
    }

    private static func version(of path: String, _ environment: [String]) throws -> RcloneVersion {
        let child: ChildProcess
        do {
            child = try ChildProcess(path, ["version"], environment: environment)
        } catch {
            throw Failure(
                .usage, "\(quoted(path)) can't be run: \(error.errno)", hint: "name the path of rclone's program")
        }
        let patience = ChildProcess.Patience(seconds: 30)
        let output = try child.readAll(limit: 64 << 10, patience)
        guard try child.waitForEnd(patience) == .status(0),
            let version = RcloneVersion(output: String(decoding: output, as: UTF8.self))
        else {
            throw Failure(
                .usage, "\(quoted(path)) does not say which version of rclone it is",
                hint: "look at what `\(path) version` prints")
        }
        guard version >= .oldest else {
            throw Failure(
                .usage, "\(quoted(path)) is rclone \(version), and \(RcloneVersion.oldest) or later is needed",
                hint: "install \(RcloneVersion.recommended) or later")
        }
        return version
    }

    /// What rclone gets to see: where its files are, proxies, authorities.
    ///
    /// Nothing else: its own variables would change what it does (`RCLONE_DRY_RUN`), and those of this process are not its business.
    private static func environment() -> [String] {
        let names = [
            "HOME", "XDG_CONFIG_HOME", "RCLONE_CONFIG", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR", "http_proxy",
            "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY",
        ]
        var variables = ["PATH=" + HostCommand.directories.joined(separator: ":"), "LC_ALL=C", "TZ=UTC"]
        for name in names {
            if let value = getenv(name) { variables.append("\(name)=\(String(cString: value))") }
        }
        // A service may have no home.
        if getenv("HOME") == nil, let user = getpwuid(geteuid()), let home = user.pointee.pw_dir {
            variables.append("HOME=\(String(cString: home))")
        }
        return variables
    }

    // MARK: Run

    /// Starts an operation.
    ///
    /// - Throws: ``ObjectError``.
    func start(_ arguments: [String], input: ChildProcess.Input = .nothing) throws(ObjectError) -> ChildProcess {
        do {
            return try ChildProcess(path, arguments + options, environment: environment, input: input)
        } catch {
            throw ObjectError(.failed, error.failure)
        }
    }

    /// What every operation is run with.
    private var options: [String] {
        var options = [
            // Its own repetitions of whole operations would hide what this program decides on.
            ("retries", "1"), ("low-level-retries", "3"), ("contimeout", "\(settings.connectSeconds)s"),
            ("timeout", "\(settings.stallSeconds)s"), ("ask-password", "false"), ("stats", "0"), ("transfers", "1"),
            ("buffer-size", "4M"), ("use-server-modtime", "true"),
        ]
        if let file = settings.configFile { options.append(("config", file)) }
        if let file = settings.configPasswordFile {
            options.append(("password-command", "cat \"\(file.replacing("\"", with: "\"\""))\""))
        }
        if let directory = settings.temporaryDirectory { options.append(("temp-dir", directory)) }
        return options.map { "--\($0)=\($1)" }
    }

    /// Runs an operation to its end.
    ///
    /// - Parameters:
    ///   - consume: gets its output as it comes.
    ///   - stalls: whether the limit is on its standing still, not on its whole time.
    /// - Throws: ``ObjectError`` if it can't be started or takes too long, what `consume` throws, `CancellationError`.
    func run(
        _ action: String, _ arguments: [String], input: ChildProcess.Input = .nothing, heedsCancellation: Bool = true,
        stalls: Bool = false, consume: (UnsafeRawBufferPointer) throws -> Void = { _ in }
    ) throws -> Run {
        let child = try start(arguments, input: input)
        let seconds = stalls ? settings.stallSeconds : settings.operationSeconds
        var patience = ChildProcess.Patience(seconds: Double(seconds), heedsCancellation: heedsCancellation)
        do {
            let buffer = ByteBlock(capacity: 256 << 10)
            repeat {
                if stalls {
                    patience = ChildProcess.Patience(seconds: Double(seconds), heedsCancellation: heedsCancellation)
                }
                try buffer.fill { buffer throws(ChildProcess.Interruption) in try child.read(into: buffer, patience) }
                try buffer.withUnsafeBytes(consume)
            } while buffer.count > 0
            let end = try child.waitForEnd(patience)
            return Run(end: end, error: RcloneError(action: action, place: place, end: end, errorText: child.errorText))
        } catch let interruption as ChildProcess.Interruption {
            child.kill()
            throw self.error(interruption, action, child, seconds: seconds)
        }
    }

    /// What an interrupted wait for a program is to callers.
    func error(
        _ interruption: ChildProcess.Interruption, _ action: String, _ child: ChildProcess, seconds: Int
    ) -> any Error {
        switch interruption {
        case .cancelled: CancellationError()
        case .timedOut:
            RcloneError(action: action, place: place, end: nil, errorText: child.errorText)
                .objectError(afterSeconds: seconds)
        }
    }

    /// An operation that has ended.
    struct Run {
        var end: ChildProcess.End
        var error: RcloneError

        var isDone: Bool { end == .status(0) }
        /// Whether it says that what it was asked about is not there.
        var isAbsent: Bool { end == .status(3) || end == .status(4) }

        /// Throws its error unless it has done what it was for.
        func check() throws(ObjectError) {
            guard isDone else { throw error.objectError(afterSeconds: 0) }
        }
    }
}

extension ChildProcess {
    /// Reads to the end, or to a limit in bytes.
    fileprivate func readAll(limit: Int, _ patience: Patience) throws(Interruption) -> [UInt8] {
        var bytes: [UInt8] = []
        let buffer = ByteBlock(capacity: 64 << 10)
        repeat {
            try buffer.fill { buffer throws(Interruption) in try read(into: buffer, patience) }
            buffer.withUnsafeBytes { bytes.append(contentsOf: $0) }
        } while buffer.count > 0 && bytes.count < limit
        return bytes
    }
}
