import Foundation
import TestSupport
import Testing

/// The program under test.
enum SnapTool {
    /// The executable that is installed: `.build/release/etcd-snap` of the repository, or what `ETCD_SNAP_EXECUTABLE` names.
    static func executable() throws -> String {
        if let path = ProcessInfo.processInfo.environment["ETCD_SNAP_EXECUTABLE"] { return try checked(path) }
        let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return try checked(repository.appendingPathComponent(".build/release/etcd-snap").path)
    }

    private static func checked(_ path: String) throws -> String {
        guard access(path, X_OK) == 0 else {
            throw TestSupportError(
                "\(path) does not exist: run `make release`, or name the executable with ETCD_SNAP_EXECUTABLE")
        }
        return path
    }

    /// Starts it.
    static func start(_ arguments: [String], input: Data = Data()) throws -> RunningCommand {
        // Without a register of what is staged: a test that kills a restore is no other's business.
        try RunningCommand(
            executable(), arguments, environment: ["NO_COLOR": "1", "XDG_STATE_HOME": "/dev/null"], input: input)
    }

    /// Runs it to its end, whatever its status.
    static func attempt(_ arguments: [String], input: Data = Data(), seconds: Double = 120) throws -> CommandResult {
        try start(arguments, input: input).wait(seconds: seconds)
    }

    /// Runs it to its end, which has to be a success.
    @discardableResult
    static func run(_ arguments: [String], input: Data = Data()) throws -> CommandResult {
        let result = try attempt(arguments, input: input)
        guard result.status == 0 else {
            throw TestSupportError("etcd-snap \(arguments[0]): status \(result.status): \(result.errorText)")
        }
        return result
    }

    /// Runs it with `-o json` and reads what it prints.
    static func json(_ arguments: [String]) throws -> JSON { try JSON(run(arguments + ["-o", "json"]).output) }
}

/// A JSON document, for tests that look at some fields only.
@dynamicMemberLookup
struct JSON {
    let value: Any?

    init(_ data: Data) throws { value = try JSONSerialization.jsonObject(with: data) }
    private init(value: Any?) { self.value = value }

    subscript(dynamicMember name: String) -> JSON { self[name] }
    subscript(name: String) -> JSON { JSON(value: (value as? [String: Any])?[name]) }
    subscript(index: Int) -> JSON { JSON(value: array.indices.contains(index) ? array[index].value : nil) }
    var array: [JSON] { (value as? [Any] ?? []).map { JSON(value: $0) } }
    var string: String { value as? String ?? "" }
    var int: Int { (value as? NSNumber)?.intValue ?? -1 }
}

/// Expects a failure that helps: its exit status, on standard error alone, a sentence that names things, and a hint.
func expectFailure(
    _ result: CommandResult, _ status: Int32, naming names: String..., hasHint: Bool = true,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    let text = result.errorText
    #expect(result.status == status, "\(text)", sourceLocation: sourceLocation)
    #expect(result.text == "", sourceLocation: sourceLocation)
    let lines = text.split(separator: "\n")
    guard let message = lines.first(where: { $0.hasPrefix("error: ") })?.dropFirst("error: ".count) else {
        Issue.record("no error in: \(text)", sourceLocation: sourceLocation)
        return
    }
    #expect(
        message.first?.isUppercase == false && !message.hasSuffix("."), "\(message)", sourceLocation: sourceLocation)
    for name in names {
        #expect(message.contains(name), "\(message)", sourceLocation: sourceLocation)
    }
    let hint = lines.first { $0.hasPrefix("hint: ") }
    #expect((hint != nil) == hasHint, "\(text)", sourceLocation: sourceLocation)
    expectNoInternals(text, sourceLocation: sourceLocation)
}

/// Expects the same failure as a document, from the same arguments with `-o json`.
func expectFailureDocument(
    _ result: CommandResult, _ status: Int32, naming names: String..., sourceLocation: SourceLocation = #_sourceLocation
) throws {
    #expect(result.status == status, "\(result.errorText)", sourceLocation: sourceLocation)
    #expect(result.text == "", sourceLocation: sourceLocation)
    let lines = result.errorText.split(separator: "\n").drop { $0 != "{" }
    let document = try JSON(Data(lines.joined(separator: "\n").utf8))
    #expect(document.error.exitCode.int == Int(status), sourceLocation: sourceLocation)
    for name in names {
        #expect(document.error.message.string.contains(name), "\(result.errorText)", sourceLocation: sourceLocation)
    }
    #expect(document.error.hint.string != "", "\(result.errorText)", sourceLocation: sourceLocation)
}

/// What a person should never have to read.
private func expectNoInternals(_ text: String, sourceLocation: SourceLocation) {
    for word in ["Optional(", "SystemCallError", "EtcdError", "Fatal error", "_errno", "NSCocoa"] {
        #expect(!text.contains(word), "\(text)", sourceLocation: sourceLocation)
    }
}
