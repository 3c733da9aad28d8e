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
        let child: ChildProcess
        do {
            child = try ChildProcess(path, arguments, environment: Self.environment)
        } catch {
            return .failed("can't be started: \(error.errno)")
        }
        let patience = ChildProcess.Patience(seconds: limitSeconds, heedsCancellation: false)
        do {
            var bytes: [UInt8] = []
            let buffer = ByteBlock(capacity: 64 << 10)
            repeat {
                try buffer.fill { buffer throws(ChildProcess.Interruption) in try child.read(into: buffer, patience) }
                buffer.withUnsafeBytes { bytes.append(contentsOf: $0) }
                guard bytes.count <= limitByteCount else { return .failed("wrote more than \(limitByteCount) bytes") }
            } while buffer.count > 0
            switch try child.waitForEnd(patience) {
            case .status(0): return .output(bytes)
            case .status(let code): return .failed("ended with status \(code)")
            case .signal(let number): return .failed("was ended by signal \(number)")
            }
        } catch {
            return .failed("took longer than \(limitSeconds) s")
        }
    }

    /// What programs of the host get to see of an environment.
    private static let environment = ["PATH=" + directories.joined(separator: ":"), "LC_ALL=C"]
}
