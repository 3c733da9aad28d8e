import Foundation

/// What a finished process left.
public struct CommandResult: Sendable {
    /// The exit status, or the number of the signal that ended it.
    public let status: Int32
    /// What it wrote to standard output.
    public let output: Data
    /// What it wrote to standard error, as text.
    public let errorText: String

    /// What it wrote to standard output, as text.
    public var text: String { String(decoding: output, as: UTF8.self) }
}

/// Runs a program to its end.
///
/// - Parameters:
///   - executable: a path, or a name that is looked up in `PATH`.
///   - environment: variables set on top of the current ones.
///   - input: what the program reads from standard input.
/// - Throws: ``TestSupportError`` if it can't be started or fails.
@discardableResult
public func run(
    _ executable: String, _ arguments: [String], environment: [String: String] = [:], input: Data? = nil,
    allowsFailure: Bool = false
) throws -> CommandResult {
    let command = try RunningCommand(executable, arguments, environment: environment, input: input ?? Data())
    let result = try command.wait(seconds: 600)
    guard result.status == 0 || allowsFailure else {
        let line = ([executable] + arguments).joined(separator: " ")
        throw TestSupportError("\(line): status \(result.status): \(result.errorText)")
    }
    return result
}

func makeProcess(_ executable: String, _ arguments: [String], environment: [String: String]) throws -> Process {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: try path(of: executable))
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    return process
}

func emptyFile(_ path: String) throws -> FileHandle {
    try Data().write(to: URL(fileURLWithPath: path))
    guard let handle = FileHandle(forWritingAtPath: path) else { throw TestSupportError("cannot write \(path)") }
    return handle
}

func path(of executable: String) throws -> String {
    if executable.contains("/") { return executable }
    let directories = (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin").split(separator: ":")
    for directory in directories where access("\(directory)/\(executable)", X_OK) == 0 {
        return "\(directory)/\(executable)"
    }
    throw TestSupportError("\(executable) is not installed")
}
