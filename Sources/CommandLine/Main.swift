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
            command = try RootCommand.parseAsRoot(arguments)
        } catch {
            return report(parsing: error)
        }
        let signals = SignalWatch()
        do {
            try raiseLimits()
            try await signals.cancelling { try await execute(command) }
            return 0
        } catch let code as ExitCode {
            return code.rawValue
        } catch  where [.success, .validationFailure].contains(RootCommand.exitCode(for: error)) {
            return report(parsing: error)
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

    /// Help goes to standard output with status 0, a wrong command line to standard error with status 2.
    private static func report(parsing error: any Error) -> Int32 {
        let text = RootCommand.fullMessage(for: error)
        if RootCommand.exitCode(for: error) == .success {
            do {
                try printOutput(text)
                return 0
            } catch {
                return report(error)
            }
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
    private static let signals = [SIGINT, SIGTERM, SIGHUP]
    private let number = Mutex<Int32?>(nil)
    /// Of its own: the threads of a global queue may all be waiting.
    private let queue = DispatchQueue(label: "etcd-snap.signals")

    /// The signal that came, if one did.
    var received: Int32? { number.withLock { $0 } }

    func cancelling(_ body: sending @escaping () async throws -> Void) async throws {
        let task = Task(operation: body)
        let sources = Self.signals.map { number in
            signal(number, SIG_IGN)
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
            }
            source.resume()
            return source
        }
        defer { sources.forEach { $0.cancel() } }
        try await task.value
        try Task.checkCancellation()
    }
}
