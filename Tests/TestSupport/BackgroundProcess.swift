import Foundation

/// A program that runs until it is stopped, at the latest when its last reference goes.
public final class BackgroundProcess: @unchecked Sendable {
    // `@unchecked Sendable`: nothing changes after `init`, and Process may be asked and signalled from any thread.
    private let process: Process

    /// Starts a program whose output nobody reads.
    public init(_ executable: String, _ arguments: [String], environment: [String: String] = [:]) throws {
        process = try makeProcess(executable, arguments, environment: environment)
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        process.standardInput = FileHandle.nullDevice
        try process.run()
    }

    deinit { stop() }

    /// Starts a process that holds a lock on a file or directory, and returns when it has it.
    ///
    /// - Parameter ready: the path of a file that says so; it must not exist.
    public static func holdingLock(on path: String, ready: String) throws -> BackgroundProcess {
        let script = "echo > \"$1\"; exec sleep 60"
        let holder = try BackgroundProcess("flock", ["-F", "-x", path, "sh", "-c", script, "sh", ready])
        while access(ready, F_OK) != 0 { usleep(2_000) }
        return holder
    }

    /// Ends the program and waits.
    public func stop() {
        guard process.isRunning else { return }
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    /// Waits until something accepts connections on the port.
    public func waitUntilListening(on port: UInt16) throws {
        for _ in 0..<300 {
            guard process.isRunning else { break }
            if isListening(on: port) { return }
            usleep(100_000)
        }
        throw TestSupportError("nothing listens on port \(port)")
    }
}

/// Whether something on the loopback interface accepts connections on the port.
public func isListening(on port: UInt16) -> Bool {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    return withLoopback(port) { connect(descriptor, $0, $1) } == 0
}
