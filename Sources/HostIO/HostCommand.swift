import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// A program of the host whose output is asked for: run without a shell, input or environment, for a limited time.
public struct HostCommand: Sendable {
    /// What became of a command.
    public enum Outcome: Sendable, Equatable {
        /// It ended well; what it wrote to standard output.
        case output([UInt8])
        /// The host has no such program.
        case absent
        /// It failed, took too long or wrote too much; why.
        case failed(String)
    }

    /// The program's name.
    public var program: String
    /// Its arguments.
    public var arguments: [String]
    /// How long it may take, in seconds.
    public var limitSeconds = 5.0
    /// How much it may write, in bytes.
    public var limitByteCount = 16 << 20

    /// Where programs of administrators are; `PATH` is not asked, for it may be anybody's.
    public static let directories = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"]

    /// A command of a program and its arguments.
    public init(_ program: String, _ arguments: [String]) {
        self.program = program
        self.arguments = arguments
    }

    /// Runs the command and waits for its end.
    public func run() -> Outcome {
        let paths = program.hasPrefix("/") ? [program] : Self.directories.map { "\($0)/\(program)" }
        guard let path = paths.first(where: { access($0, X_OK) == 0 }) else { return .absent }
        var pipes: [CInt] = [-1, -1]
        guard pipe(&pipes) == 0 else { return .failed("no pipe: \(Errno(rawValue: errno))") }
        for descriptor in pipes { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        let output = FileDescriptor(rawValue: pipes[0])
        defer { try? output.close() }
        let started = spawn(path, output: pipes[1])
        close(pipes[1])
        switch started {
        case .failure(let error): return .failed("can't be started: \(error)")
        case .success(let process): return collect(process, from: output)
        }
    }

    // MARK: Start

    private func spawn(_ path: String, output: CInt) -> Result<pid_t, Errno> {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output, 1)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // In a group of its own, so that what it starts ends with it; with no signal blocked or ignored.
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))
        var process: pid_t = 0
        let result = withCStrings([path] + arguments) { arguments in
            withCStrings(["PATH=" + Self.directories.joined(separator: ":"), "LC_ALL=C"]) { environment in
                posix_spawn(&process, path, &actions, &attributes, arguments, environment)
            }
        }
        return result == 0 ? .success(process) : .failure(Errno(rawValue: result))
    }

    // MARK: End

    private func collect(_ process: pid_t, from output: FileDescriptor) -> Outcome {
        let deadline = ContinuousClock.now + .seconds(limitSeconds)
        var bytes: [UInt8] = []
        var problem = read(output, &bytes, until: deadline)
        // It may go on after it has closed its output.
        while problem == nil, !hasEnded(process) {
            if ContinuousClock.now >= deadline { problem = tookTooLong }
            usleep(1_000)
        }
        // With it, or after it, what it has started and left in its group.
        kill(-process, SIGKILL)
        var status: CInt = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        if let problem { return .failed(problem) }
        // WIFEXITED and WEXITSTATUS of wait(2).
        guard status & 0x7F == 0 else { return .failed("was ended by signal \(status & 0x7F)") }
        let code = (status >> 8) & 0xFF
        return code == 0 ? .output(bytes) : .failed("ended with status \(code)")
    }

    private var tookTooLong: String { "took longer than \(limitSeconds) s" }

    /// Whether the process is only waited for; its number and that of its group stay taken until then.
    private func hasEnded(_ process: pid_t) -> Bool {
        var information = siginfo_t()
        let result = waitid(P_PID, id_t(process), &information, WEXITED | WNOHANG | WNOWAIT)
        return result != 0 && errno != EINTR || result == 0 && information.si_signo == SIGCHLD
    }

    /// Reads to the end; what went wrong, in which case the command is killed.
    private func read(
        _ output: FileDescriptor, _ bytes: inout [UInt8], until deadline: ContinuousClock.Instant
    ) -> String? {
        let buffer = ByteBlock(capacity: 64 << 10)
        while true {
            let rest = deadline - ContinuousClock.now
            guard rest > .zero else { return tookTooLong }
            var poll = pollfd(fd: output.rawValue, events: Int16(POLLIN), revents: 0)
            let ready = Glibc.poll(&poll, 1, CInt(rest.components.seconds * 1000) + 10)
            if ready < 0, errno != EINTR { return "no output: \(Errno(rawValue: errno))" }
            guard ready > 0 else { continue }
            do {
                try buffer.fill { try readSome(output, name: program, into: $0) }
            } catch {
                return "no output: \(error)"
            }
            if buffer.count == 0 { return nil }
            buffer.withUnsafeBytes { bytes.append(contentsOf: $0) }
            guard bytes.count <= limitByteCount else { return "wrote more than \(limitByteCount) bytes" }
        }
    }
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
