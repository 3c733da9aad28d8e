internal import CLinux
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// Both ends of a child's standard streams; all of them are closed by exec.
struct ChildStreams {
    var theirInput: FileDescriptor?
    var theirOutput: FileDescriptor
    var theirErrors: FileDescriptor
    var ourInput: FileDescriptor?
    var ourOutput: FileDescriptor
    var ourErrors: FileDescriptor

    init(_ input: ChildProcess.Input) throws(SystemCallError) {
        let (ourOutput, theirOutput) = try makePipe()
        let (ourErrors, theirErrors): (FileDescriptor, FileDescriptor)
        do {
            (ourErrors, theirErrors) = try makePipe()
        } catch {
            for descriptor in [ourOutput, theirOutput] { try? descriptor.close() }
            throw error
        }
        let inputs: (ours: FileDescriptor?, theirs: FileDescriptor?)
        do {
            inputs = try makeInput(input)
        } catch {
            for descriptor in [ourOutput, theirOutput, ourErrors, theirErrors] { try? descriptor.close() }
            throw error
        }
        _ = fcntl(ourErrors.rawValue, F_SETFL, O_NONBLOCK)
        (self.ourOutput, self.theirOutput) = (ourOutput, theirOutput)
        (self.ourErrors, self.theirErrors) = (ourErrors, theirErrors)
        (ourInput, theirInput) = inputs
    }

    /// Starts a program with their ends, in a process group of its own.
    func spawn(_ path: String, _ arguments: [String], _ environment: [String]) throws(SystemCallError) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let input = theirInput {
            posix_spawn_file_actions_adddup2(&actions, input.rawValue, 0)
        } else {
            posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        }
        posix_spawn_file_actions_adddup2(&actions, theirOutput.rawValue, 1)
        posix_spawn_file_actions_adddup2(&actions, theirErrors.rawValue, 2)
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
            withCStrings(environment) { environment in
                posix_spawn(&process, path, &actions, &attributes, arguments, environment)
            }
        }
        guard result == 0 else { throw SystemCallError("start", path, errno: Errno(rawValue: result)) }
        return process
    }

    func closeTheirs() {
        for descriptor in [theirInput, theirOutput, theirErrors] { try? descriptor?.close() }
    }

    func closeOurs() {
        for descriptor in [ourInput, ourOutput, ourErrors] { try? descriptor?.close() }
    }
}

private func makePipe() throws(SystemCallError) -> (reading: FileDescriptor, writing: FileDescriptor) {
    var ends: [CInt] = [-1, -1]
    try retryingInterrupts("make", "a pipe") { clinux_pipe(&ends) }
    return (FileDescriptor(rawValue: ends[0]), FileDescriptor(rawValue: ends[1]))
}

private func makeInput(
    _ input: ChildProcess.Input
) throws(SystemCallError) -> (ours: FileDescriptor?, theirs: FileDescriptor?) {
    switch input {
    case .nothing: return (nil, nil)
    case .bytes(let bytes):
        let file = FileDescriptor(
            rawValue: try retryingInterrupts("make", "a file in memory") { clinux_memory_file("input") })
        do {
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = try retryingInterrupts("write to", "a file in memory") {
                    rest.withUnsafeBytes { Glibc.write(file.rawValue, $0.baseAddress, $0.count) }
                }
                rest = rest.dropFirst(count)
            }
            try retryingInterrupts("seek in", "a file in memory") { lseek(file.rawValue, 0, SEEK_SET) }
        } catch {
            try? file.close()
            throw error
        }
        return (nil, file)
    case .stream:
        var ends: [CInt] = [-1, -1]
        try retryingInterrupts("make", "a pair of sockets") {
            socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends)
        }
        // The byte that makes a close before the end an error at the other side.
        var byte: UInt8 = 0
        _ = send(ends[1], &byte, 1, Int32(MSG_NOSIGNAL))
        return (FileDescriptor(rawValue: ends[0]), FileDescriptor(rawValue: ends[1]))
    }
}

/// Lends strings as `execve` takes them.
func withCStrings<Result>(
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
