import FoundationEssentials
import HostIO

#if canImport(Glibc)
    import Glibc
#endif

/// A server's program on this host: where it is, and which version it says that it is.
struct ServerProgram {
    /// What it is called.
    let name: String
    /// What the first line of its `--version` begins with; the last word of that line is the version.
    let versionMark: String
    /// What names another one.
    let setting: Failure.Setting

    private static let limitSeconds = 20.0

    /// The first of the directories of `PATH` that has it; nil if none has.
    func pathOfFirst() -> String? {
        let directories = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map(String.init)
        return (directories.filter { $0.hasPrefix("/") } + HostCommand.directories).map { joinPath($0, name) }
            .first { access($0, X_OK) == 0 && entryKind(at: $0) != .directory }
    }

    /// Asks a program for its version.
    ///
    /// - Parameter shown: what messages call it.
    /// - Throws: ``Failure`` with the code `failed` if it is another program, or does not answer.
    func version(of executable: String, shown: String) throws(Failure) -> String {
        var command = HostCommand(executable, ["--version"])
        command.limitSeconds = Self.limitSeconds
        let outcome = command.run()
        guard case .output(let bytes) = outcome,
            let line = String(decoding: bytes, as: UTF8.self).split(separator: "\n").first,
            let version = line.split(separator: " ").last.map(String.init), line.hasPrefix(versionMark)
        else {
            let why = if case .failed(let text) = outcome { text } else { "says something else" }
            throw Failure(
                .failed, "\(quoted(shown)) is no \(name): asked for its version it \(why)", hint: "name another one",
                settings: [setting])
        }
        return version
    }
}
