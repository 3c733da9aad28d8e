import Foundation
import Synchronization

/// A program whose output is collected while the test goes on, killed at the latest when its last reference goes.
///
/// Not over Foundation's `Process`, which on Linux keeps descriptors of processes that have ended and crashes after about
/// a thousand.
public final class RunningCommand: Sendable {
    /// The process.
    public let processID: pid_t
    private let directory: TemporaryDirectory
    private let command: String
    /// The exit status, or the number of the signal that ended it; nil while it runs.
    private let status = Mutex<Int32?>(nil)

    /// Starts a program.
    ///
    /// - Parameters:
    ///   - executable: a path, or a name that is looked up in `PATH`.
    ///   - environment: variables set on top of the current ones.
    ///   - input: what the program reads from standard input.
    public init(
        _ executable: String, _ arguments: [String], environment: [String: String] = [:], input: Data = Data()
    ) throws {
        directory = try TemporaryDirectory()
        command = ([executable] + arguments).joined(separator: " ")
        try input.write(to: URL(fileURLWithPath: directory.file("input")))
        processID = try spawn(
            path(of: executable), arguments, ProcessInfo.processInfo.environment.merging(environment) { $1 }, directory)
    }

    deinit {
        guard isRunning else { return }
        signal(SIGKILL)
        _ = collect(0)
    }

    /// Whether it has not ended yet.
    public var isRunning: Bool { collect(WNOHANG) == nil }

    /// What it has written to standard error so far.
    public var errorText: String {
        (try? Data(contentsOf: URL(fileURLWithPath: directory.file("error")))).map {
            String(decoding: $0, as: UTF8.self)
        }
            ?? ""
    }

    /// Sends a signal, unless it has ended.
    public func signal(_ number: Int32) {
        // Under the lock, so that the number can't belong to another process by now.
        status.withLock { if $0 == nil { kill(processID, number) } }
    }

    /// Waits for the end.
    ///
    /// - Parameter seconds: how long; only a program that hangs should need that much.
    /// - Throws: ``TestSupportError`` if it goes on for longer; it is killed then.
    public func wait(seconds: Double = 120) throws -> CommandResult {
        let end = ContinuousClock.now + .seconds(seconds)
        while true {
            if let status = collect(WNOHANG) {
                let output = try Data(contentsOf: URL(fileURLWithPath: directory.file("output")))
                return CommandResult(status: status, output: output, errorText: errorText)
            }
            guard ContinuousClock.now < end else {
                signal(SIGKILL)
                throw TestSupportError("\(command): still running after \(seconds) s: \(errorText)")
            }
            usleep(2000)
        }
    }

    private func collect(_ options: Int32) -> Int32? {
        status.withLock { status in
            var raw: Int32 = 0
            if status == nil, waitpid(processID, &raw, options) == processID {
                // WEXITSTATUS and WTERMSIG of wait(2).
                status = raw & 0x7F == 0 ? (raw >> 8) & 0xFF : raw & 0x7F
            }
            return status
        }
    }
}

/// Starts a program with the files `input`, `output` and `error` of a directory and no other descriptors.
private func spawn(
    _ path: String, _ arguments: [String], _ environment: [String: String], _ directory: TemporaryDirectory
) throws -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, directory.file("input"), O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, directory.file("output"), O_WRONLY | O_CREAT | O_APPEND, 0o600)
    posix_spawn_file_actions_addopen(&actions, 2, directory.file("error"), O_WRONLY | O_CREAT | O_APPEND, 0o600)
    // Sockets of other tests; glibc passes over those that are closed by then.
    for name in try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd") {
        if let descriptor = Int32(name), descriptor > 2 { posix_spawn_file_actions_addclose(&actions, descriptor) }
    }
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    // Signals that this process blocks or ignores are not the program's business.
    var signals = sigset_t()
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    sigfillset(&signals)
    posix_spawnattr_setsigdefault(&attributes, &signals)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
    var processID: pid_t = 0
    let result = withCStrings([path] + arguments) { arguments in
        withCStrings(environment.map { "\($0)=\($1)" }) { environment in
            posix_spawn(&processID, path, &actions, &attributes, arguments, environment)
        }
    }
    guard result == 0 else { throw TestSupportError("\(path) can't be started: error \(result)") }
    return processID
}

private func withCStrings<Result>(
    _ strings: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
    let pointers = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: strings.count + 1)
    pointers.initialize(repeating: nil, count: strings.count + 1)
    for (index, string) in strings.enumerated() { pointers[index] = strdup(string) }
    defer {
        for index in strings.indices { free(pointers[index]) }
        pointers.deallocate()
    }
    return body(pointers)
}
