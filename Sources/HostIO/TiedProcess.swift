internal import CLinux
import Dispatch
import Synchronization
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// A server that runs beside this process and does not outlive it: the kernel kills it with this process, even if that is
/// killed itself.
///
/// It runs without a shell, in a process group and a directory of its own, with the environment that it is given; what it
/// writes goes to a file. One that is dropped is killed, with what it started in its group, and waited for.
public final class TiedProcess: Sendable {
    private enum State: Sendable {
        case starting
        /// It must not run any more; its start may still be under way.
        case abandoned
        case running(pid_t)
        case ended(ChildProcess.End)
        /// It could not be started.
        case failed
    }

    private final class Shared: Sendable {
        let state = Mutex(State.starting)
    }

    /// Its process ID.
    public let processID: Int32
    private let shared: Shared

    /// Starts a program.
    ///
    /// - Parameters:
    ///   - path: its file.
    ///   - arguments: those behind its name.
    ///   - environment: as `NAME=value`.
    ///   - directory: where it runs.
    ///   - log: the file that it writes to, which is made.
    /// - Throws: ``SystemCallError``.
    public init(
        _ path: String, _ arguments: [String], environment: [String], directory: OpenDirectory, log: String
    ) throws(SystemCallError) {
        let output = try Self.makeLog(log, in: directory)
        defer { try? output.close() }
        let shared = Shared()
        // Before the start, so that there is no moment at which it runs and nobody knows.
        UnfinishedWork.add(shared) { Self.abandon(shared) }
        let started = Mutex<Result<pid_t, SystemCallError>?>(nil)
        let isStarted = DispatchSemaphore(value: 0)
        // The kernel ties it to the thread that starts it: that one stays until it has ended.
        runBeside("etcd-snap.child") {
            let result = Result { () throws(SystemCallError) in
                try Self.start(path, arguments, environment, directory.path, output.rawValue, shared)
            }
            started.withLock { $0 = result }
            isStarted.signal()
            if case .success(let process) = result { Self.keep(process, shared) }
        }
        isStarted.wait()
        guard let result = started.withLock({ $0 }) else { preconditionFailure("a start without a result") }
        do throws(SystemCallError) {
            processID = try result.get()
        } catch {
            UnfinishedWork.remove(shared)
            throw error
        }
        self.shared = shared
    }

    deinit {
        kill()
        UnfinishedWork.remove(shared)
    }

    /// How it ended; nil while it runs.
    public var end: ChildProcess.End? {
        shared.state.withLock { state in
            if case .ended(let end) = state { return end }
            return nil
        }
    }

    /// Asks it to end, and kills it with what it started if it does not in time.
    ///
    /// - Parameter seconds: how long it may take.
    @discardableResult
    public func stop(seconds: Double) -> ChildProcess.End {
        Self.signal(SIGTERM, shared)
        let deadline = ContinuousClock.now + .seconds(seconds)
        while ContinuousClock.now < deadline {
            if let end { return end }
            usleep(2_000)
        }
        return kill()
    }

    /// Ends it and what it has started in its group, and waits for that.
    @discardableResult
    public func kill() -> ChildProcess.End {
        Self.signal(SIGKILL, shared)
        while true {
            if let end { return end }
            usleep(1_000)
        }
    }

    private static func start(
        _ path: String, _ arguments: [String], _ environment: [String], _ directory: String, _ output: CInt,
        _ shared: Shared
    ) throws(SystemCallError) -> pid_t {
        let process: pid_t
        do throws(SystemCallError) {
            process = try spawn(path, arguments, environment, directory, output)
        } catch {
            shared.state.withLock { $0 = .failed }
            throw error
        }
        shared.state.withLock { state in
            if case .abandoned = state { Glibc.kill(-process, SIGKILL) }
            state = .running(process)
        }
        return process
    }

    /// How long an end that waits for nobody waits for the kernel to end a process.
    private static let longestEnd = Duration.seconds(1)

    /// Kills it, also in the middle of its start, so that it writes nothing any more.
    private static func abandon(_ shared: Shared) {
        let deadline = ContinuousClock.now + longestEnd
        while ContinuousClock.now < deadline {
            let isOver = shared.state.withLock { state in
                switch state {
                case .starting, .abandoned: state = .abandoned
                case .running(let process): Glibc.kill(-process, SIGKILL)
                case .ended, .failed: return true
                }
                return false
            }
            if isOver { return }
            usleep(1_000)
        }
    }

    private static func makeLog(_ name: String, in directory: OpenDirectory) throws(SystemCallError) -> FileDescriptor {
        FileDescriptor(
            owningRaw: try retryingInterrupts("create", directory.path(of: name)) {
                openat(
                    directory.descriptor.rawValue, name, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0o600)
            })
    }

    private static func spawn(
        _ path: String, _ arguments: [String], _ environment: [String], _ directory: String, _ output: CInt
    ) throws(SystemCallError) -> pid_t {
        let process = withCStrings([path] + arguments) { arguments in
            withCStrings(environment) { environment in
                path.withCString { path in
                    directory.withCString { directory in
                        var program = clinux_program(
                            path: path, arguments: arguments, environment: environment, directory: directory,
                            output: output)
                        return clinux_spawn_tied(&program)
                    }
                }
            }
        }
        guard process > 0 else { throw SystemCallError("start", path) }
        return process
    }

    /// Waits for the end of the process; its number is its own until that is noted.
    private static func keep(_ process: pid_t, _ shared: Shared) {
        var information = siginfo_t()
        while waitid(P_PID, id_t(process), &information, WEXITED | WNOWAIT) != 0, errno == EINTR {}
        shared.state.withLock { state in
            // What it has left in its group ends with it.
            Glibc.kill(-process, SIGKILL)
            var status: CInt = 0
            while waitpid(process, &status, 0) < 0, errno == EINTR {}
            state = .ended(ChildProcess.End(waitStatus: status))
        }
    }

    private static func signal(_ number: CInt, _ shared: Shared) {
        shared.state.withLock { state in
            guard case .running(let process) = state else { return }
            Glibc.kill(number == SIGKILL ? -process : process, number)
        }
    }
}

extension ChildProcess.End {
    /// WIFEXITED and WEXITSTATUS of wait(2).
    init(waitStatus status: CInt) {
        self = status & 0x7F == 0 ? .status(Int(status >> 8) & 0xFF) : .signal(Int(status & 0x7F))
    }

    /// What became of it, in words that follow its name.
    public var description: String {
        switch self {
        case .status(let code): "ended with status \(code)"
        case .signal(let number): "was ended by signal \(number)"
        }
    }
}
