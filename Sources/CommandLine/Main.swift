import ArgumentParser
import Dispatch
import HostIO
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// The entry point: parses, runs the command, and turns what it throws into messages and an exit status.
@main
enum Main {
    static func main() async {
        closeMemoryToOthers()
        // A reader that goes away is an error like another, told by its name.
        signal(SIGPIPE, SIG_IGN)
        umask(0o077)
        returnFreedBlocks()
        exit(await run(Array(Swift.CommandLine.arguments.dropFirst())))
    }

    private static func run(_ arguments: [String]) async -> Int32 {
        let command: any ParsableCommand
        do {
            command = try leavingRoomForHelp { try RootCommand.parseAsRoot(arguments) }
        } catch {
            return report(parsing: error, of: arguments)
        }
        let signals = SignalWatch()
        do {
            try raiseLimits()
            try await signals.cancelling { try await execute(command) }
            return 0
        } catch let code as ExitCode {
            return code.rawValue
        } catch  where [.success, .validationFailure].contains(parserExitCode(error)) {
            return report(parsing: error, of: arguments)
        } catch let stopped as StoppedQuestion {
            let number = signals.received ?? SIGINT
            Console.shared.error(Failure(.failed, "stopped by signal \(number) at a question: \(stopped.consequence)"))
            return 128 + number
        } catch is CancellationError {
            let number = signals.received ?? SIGINT
            Console.shared.error(
                Failure(.failed, "stopped by signal \(number)", hint: "what was unfinished was removed; run it again"))
            return 128 + number
        } catch {
            let status = report(error)
            return signals.received.map { 128 + $0 } ?? status
        }
    }

    private static func execute(_ command: any ParsableCommand) async throws {
        var command = command
        if var asynchronous = command as? any AsyncParsableCommand {
            try await asynchronous.run()
        } else {
            try command.run()
        }
    }

    /// Says why the command failed; returns the status for that.
    private static func report(_ error: any Error) -> Int32 {
        let failure = Failure(wrapping: error)
        Console.shared.error(failure)
        return failure.code.rawValue
    }

    private static func parserExitCode(_ error: any Error) -> ExitCode {
        // It makes the whole text for that.
        leavingRoomForHelp { RootCommand.exitCode(for: error) }
    }

    /// Help goes to standard output with status 0, a wrong command line to standard error with status 2.
    private static func report(parsing error: any Error, of arguments: [String]) -> Int32 {
        let text = wrappingUsage(leavingRoomForHelp { RootCommand.fullMessage(for: error) })
        if parserExitCode(error) == .success {
            do {
                try printOutput(text)
                return 0
            } catch {
                return report(error)
            }
        }
        if OutputFormat.named(in: arguments) == .json {
            Console.shared.configure(verbosity: .normal, errorsAsJSON: true)
            let message = RootCommand.message(for: error)
            return report(Failure(.usage, message, hint: "see `etcd-snap --help`, and that of the command"))
        }
        Console.shared.write(lowercasingLabel(text))
        return Failure.Code.usage.rawValue
    }

    private static func lowercasingLabel(_ text: String) -> String {
        text.hasPrefix("Error: ") ? "error: " + text.dropFirst("Error: ".count) : text
    }
}

/// Cancels the running command when the process is told to end.
final class SignalWatch: Sendable {
    /// All that end a process and are no fault in it: what is unfinished is removed whichever comes.
    private static let signals = [
        SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGALRM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGPROF, SIGXCPU,
    ]
    /// How long the command may take to stop; a read of a dead server never does.
    private static let grace = DispatchTimeInterval.milliseconds(800)
    private let number = Mutex<Int32?>(nil)
    /// Of its own: the threads of a global queue may all be waiting.
    private let queue = DispatchQueue(label: "etcd-snap.signals")

    /// The signal that came, if one did.
    var received: Int32? { number.withLock { $0 } }

    /// Runs the command, cancelled by the first signal; nothing of it is done before signals are watched.
    func cancelling(_ body: sending @escaping () async throws -> Void) async throws {
        let (start, starter) = AsyncStream.makeStream(of: Void.self)
        let task = Task {
            for await _ in start {}
            try Task.checkCancellation()
            try await body()
        }
        let registrations = DispatchGroup()
        // What was ignored at the start is ignored on purpose, as by nohup or a shell's background job.
        let sources = Self.signals.compactMap { number -> (any DispatchSourceSignal)? in
            if isIgnored(signal(number, SIG_IGN)) { return nil }
            return watch(number, for: task, registrations)
        }
        defer { sources.forEach { $0.cancel() } }
        registrations.notify(queue: queue) { starter.finish() }
        try await task.value
        try Task.checkCancellation()
    }

    /// Watches a signal; the group is entered until that is so.
    private func watch(
        _ number: Int32, for task: Task<Void, any Error>, _ registrations: DispatchGroup
    ) -> any DispatchSourceSignal {
        let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
        source.setEventHandler { [self] in
            let isFirst = self.number.withLock { received in
                defer { received = number }
                return received == nil
            }
            // What waits for a terminal or a pipe can't be cancelled; nothing published can be lost.
            if !isFirst {
                Terminal.restore()
                _exit(128 + number)
            }
            task.cancel()
            end(number, after: Self.grace)
        }
        registrations.enter()
        source.setRegistrationHandler { registrations.leave() }
        source.resume()
        return source
    }

    /// Whether a handler is `SIG_IGN`; functions can only be compared by their addresses.
    private func isIgnored(_ handler: __sighandler_t?) -> Bool {
        unsafeBitCast(handler, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
    }

    /// Ends the process, unless it ends before, or something goes on that must not be left half-done: then after that.
    private func end(_ number: Int32, after interval: DispatchTimeInterval) {
        queue.asyncAfter(deadline: .now() + interval) { [self] in
            UnfinishedWork.abandon {
                Console.shared.error(
                    Failure(
                        .failed, "stopped by signal \(number), while something did not answer",
                        hint: "what was unfinished was removed, or the next run removes it; run it again"))
                _exit(128 + number)
            }
            end(number, after: .milliseconds(50))
        }
    }
}
