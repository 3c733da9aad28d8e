import FoundationEssentials
import HostIO
import SealedArchive
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// A kube-apiserver of this host that can be booted.
struct APIServerProgram: Sendable {
    /// What the record says of it.
    let record: DrillRecord.Program
    /// The path that is executed.
    let executable: String

    private static let name = "kube-apiserver"

    /// The one that is named, or the first of the directories of `PATH`; nil if none is named and there is none.
    ///
    /// - Throws: ``Failure`` if it can't be read, or does not say its version.
    static func find(_ path: String?) throws -> APIServerProgram? {
        if let path { return try APIServerProgram(path) }
        let directories = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map(String.init)
        for directory in directories.filter({ $0.hasPrefix("/") }) + HostCommand.directories {
            let path = joinPath(directory, name)
            if access(path, X_OK) == 0, entryKind(at: path) != .directory { return try APIServerProgram(path) }
        }
        return nil
    }

    private init(_ path: String) throws {
        let file = try RandomAccessFile(regular: path)
        executable = absolutePath(path).string
        record = DrillRecord.Program(
            path: path, version: try Self.version(executable, path),
            sha256: try VerifyOperation.hash(file, from: 0, observer: Observer()).hexadecimal)
    }

    private static func version(_ executable: String, _ path: String) throws(Failure) -> String {
        var command = HostCommand(executable, ["--version"])
        command.limitSeconds = 20
        let outcome = command.run()
        guard case .output(let bytes) = outcome,
            let line = String(decoding: bytes, as: UTF8.self).split(separator: "\n").first,
            let version = line.split(separator: " ").last.map(String.init), line.hasPrefix("Kubernetes v")
        else {
            let why = if case .failed(let text) = outcome { text } else { "says something else" }
            throw Failure(
                .failed, "\(quoted(path)) is no kube-apiserver: asked for its version it \(why)",
                hint: "name another one", settings: [.apiServerProgram])
        }
        return version
    }
}
