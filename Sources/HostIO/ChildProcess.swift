import Synchronization
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// A program that runs beside this process: without a shell, in a process group of its own, with the environment that it is
/// given and nothing else of this process.
///
/// What it is written is never ended by accident: if this process ends before ``endInput()``, killed or not, the program's
/// next read fails (`ECONNRESET`) and shows no end, so that it can't take a part for the whole. Linux does that for a socket
/// whose other end is closed with bytes unread (unix(7), `unix_release_sock`); one byte lies there until the input is ended.
///
/// Not for two threads at once. A child that is dropped is killed, with what it started in its group, and waited for.
public final class ChildProcess {
    /// What the program reads.
    public enum Input: Sendable {
        /// Nothing.
        case nothing
        /// Bytes, which it has from the start.
        case bytes([UInt8])
        /// What is written to it.
        case stream
    }

    /// How it ended.
    public enum End: Sendable, Equatable {
        /// By itself, with a status.
        case status(Int)
        /// By a signal.
        case signal(Int)
    }

    /// Why a call did not wait any longer; the program runs on.
    public enum Interruption: Error, Sendable, Equatable {
        /// The time was over.
        case timedOut
        /// The task of the caller was cancelled.
        case cancelled
    }

    /// What ends waits as a cancelled task does.
    public final class Interrupter: Sendable {
        private let isSet = Mutex(false)

        /// Has the wait that goes on, and those that come, throw ``Interruption/cancelled``.
        public func interrupt() { isSet.withLock { $0 = true } }

        var isInterrupted: Bool { isSet.withLock { $0 } }
    }

    /// Until when calls wait.
    public struct Patience: Sendable {
        /// When the time is over.
        public var deadline: ContinuousClock.Instant
        /// Whether a cancelled task waits no longer, nor one that was interrupted.
        public var heedsCancellation: Bool

        /// So many seconds from now on.
        public init(seconds: Double, heedsCancellation: Bool = true) {
            deadline = .now + .seconds(seconds)
            self.heedsCancellation = heedsCancellation
        }
    }

    /// Ends waits of the thread that uses the child, from any other.
    public let interrupter = Interrupter()

    private let process: pid_t
    private var input: FileDescriptor?
    private let output: FileDescriptor
    private var errors: FileDescriptor?
    private var end: End?
    private var errorTail: [UInt8] = []

    /// How much of what it says about errors is kept: the end of it, in bytes.
    private static let errorLimit = 16 << 10
    private static let flags = Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)

    /// Starts a program.
    ///
    /// - Parameters:
    ///   - path: its file.
    ///   - arguments: those behind its name.
    ///   - environment: as `NAME=value`.
    /// - Throws: ``SystemCallError``.
    public init(
        _ path: String, _ arguments: [String], environment: [String], input: Input = .nothing
    ) throws(SystemCallError) {
        let streams = try ChildStreams(input)
        defer { streams.closeTheirs() }
        do {
            process = try streams.spawn(path, arguments, environment)
        } catch {
            streams.closeOurs()
            throw error
        }
        self.input = streams.ourInput
        output = streams.ourOutput
        errors = streams.ourErrors
    }

    deinit {
        kill()
        try? input?.close()
        try? output.close()
        try? errors?.close()
    }

    // MARK: Streams

    /// Writes all of `bytes`.
    ///
    /// - Parameter stallSeconds: how long it may take the program to read any of it.
    /// - Returns: false if the program reads no more.
    public func write(_ bytes: UnsafeRawBufferPointer, stallSeconds: Double) throws(Interruption) -> Bool {
        guard let input else { return false }
        var rest = bytes
        var patience = Patience(seconds: stallSeconds)
        while !rest.isEmpty {
            let count = send(input.rawValue, rest.baseAddress, rest.count, Self.flags)
            if count > 0 {
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
                patience = Patience(seconds: stallSeconds)
            } else if errno == EAGAIN {
                try wait(for: input, POLLOUT, patience)
            } else if errno != EINTR {
                return false
            }
        }
        return true
    }

    /// Lets the program see the end of what it reads.
    public func endInput() {
        guard let input else { return }
        var byte: UInt8 = 0
        _ = recv(input.rawValue, &byte, 1, Self.flags)
        try? input.close()
        self.input = nil
    }

    /// Lets the program's next read fail.
    public func breakInput() {
        try? input?.close()
        input = nil
    }

    /// Reads what the program has written, some of it at least.
    ///
    /// - Returns: how many bytes; 0 at the end.
    public func read(into buffer: UnsafeMutableRawBufferPointer, _ patience: Patience) throws(Interruption) -> Int {
        try check(patience)
        while true {
            try wait(for: output, POLLIN, patience)
            let count = Glibc.read(output.rawValue, buffer.baseAddress, buffer.count)
            if count >= 0 { return count }
            guard errno == EINTR || errno == EAGAIN else { return 0 }
        }
    }

    /// What the program has written to standard error, the end of it.
    public var errorText: String { String(decoding: errorTail, as: UTF8.self) }

    // MARK: End

    /// Waits for the end of the program, and ends what it has left in its group.
    public func waitForEnd(_ patience: Patience) throws(Interruption) -> End {
        if let end { return end }
        while let errors { try wait(for: errors, POLLIN, patience, orEnd: true) }
        while !hasEnded {
            try check(patience)
            usleep(1_000)
        }
        return kill()
    }

    /// Ends the program and what it has started in its group.
    @discardableResult
    public func kill() -> End {
        if let end { return end }
        // Its number and that of its group stay taken until it is waited for.
        Glibc.kill(-process, SIGKILL)
        var status: CInt = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        drainErrors()
        let end = End(waitStatus: status)
        self.end = end
        return end
    }

    private var hasEnded: Bool {
        var information = siginfo_t()
        let result = waitid(P_PID, id_t(process), &information, WEXITED | WNOHANG | WNOWAIT)
        return result != 0 && errno != EINTR || result == 0 && information.si_signo == SIGCHLD
    }

    // MARK: Waiting

    private func check(_ patience: Patience) throws(Interruption) {
        if patience.heedsCancellation, Task.isCancelled || interrupter.isInterrupted { throw .cancelled }
        if ContinuousClock.now >= patience.deadline { throw .timedOut }
    }

    /// Waits until a stream can be used, and takes in meanwhile what the program says about errors, which it might wait for.
    private func wait(
        for stream: FileDescriptor, _ event: CInt, _ patience: Patience, orEnd: Bool = false
    ) throws(Interruption) {
        while true {
            var polled = [pollfd(fd: stream.rawValue, events: Int16(event), revents: 0)]
            if let errors, errors != stream {
                polled.append(pollfd(fd: errors.rawValue, events: Int16(POLLIN), revents: 0))
            }
            // Cancellation wakes nobody up.
            let ready = poll(&polled, nfds_t(polled.count), 50)
            if errors == stream || polled.count > 1, polled[polled.count - 1].revents != 0 { drainErrors() }
            if ready > 0, polled[0].revents != 0 { return }
            // Something that it left running may hold its standard error open.
            if orEnd, hasEnded { return closeErrors() }
            try check(patience)
        }
    }

    private func drainErrors() {
        var bytes = [UInt8](repeating: 0, count: 4096)
        while let errors {
            let count = Glibc.read(errors.rawValue, &bytes, bytes.count)
            if count < 0, errno == EINTR { continue }
            if count < 0, errno == EAGAIN { return }
            guard count > 0 else { return closeErrors() }
            errorTail.append(contentsOf: bytes[..<count])
            if errorTail.count > 2 * Self.errorLimit { errorTail.removeFirst(errorTail.count - Self.errorLimit) }
        }
    }

    private func closeErrors() {
        try? errors?.close()
        errors = nil
    }
}
