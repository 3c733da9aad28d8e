import Age
import FoundationEssentials
import HostIO
import SealedArchive
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// An etcd of this host that can be booted.
struct EtcdProgram: Sendable {
    /// What the record says of it.
    let record: DrillRecord.Program
    /// The path that is executed.
    let executable: String
    /// Keeps the program of a process that may end.
    private let file: RandomAccessFile

    /// The etcd that is named, or the first of the directories of `PATH`, or the one that runs here, such as in a static pod.
    ///
    /// - Throws: ``Failure`` with the code `notFound` if there is none; `failed` if it does not say its version.
    static func find(_ path: String?) throws -> EtcdProgram {
        if let path { return try EtcdProgram(path) }
        let directories = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map(String.init)
        for directory in directories.filter({ $0.hasPrefix("/") }) + HostCommand.directories {
            let path = joinPath(directory, "etcd")
            if access(path, X_OK) == 0, entryKind(at: path) != .directory {
                return try EtcdProgram(path)
            }
        }
        for path in ForeignProcesses.programs(named: "etcd") {
            if let program = try? EtcdProgram(path, isRunning: true) { return program }
        }
        throw Failure(
            .notFound, "there is no etcd to boot: none in PATH, and none that runs here",
            hint: "name one; a release of https://github.com/etcd-io/etcd of the cluster's version is one file",
            settings: [.etcdProgram])
    }

    /// - Parameter isRunning: whether it is the program of a process, which may be in a container.
    private init(_ path: String, isRunning: Bool = false) throws {
        let file = try RandomAccessFile(regular: path)
        executable = isRunning ? "/proc/self/fd/\(file.descriptorNumber)" : absolutePath(path).string
        let name = isRunning ? "the etcd that runs here (\(path))" : path
        self.file = file
        record = DrillRecord.Program(
            path: name, version: try Self.version(executable, name),
            sha256: try VerifyOperation.hash(file, from: 0, observer: Observer()).hexadecimal)
    }

    private static func version(_ executable: String, _ name: String) throws(Failure) -> String {
        var command = HostCommand(executable, ["--version"])
        command.limitSeconds = 20
        let outcome = command.run()
        guard case .output(let bytes) = outcome,
            let line = String(decoding: bytes, as: UTF8.self).split(separator: "\n").first,
            let version = line.split(separator: " ").last.map(String.init), line.hasPrefix("etcd Version:")
        else {
            let why = if case .failed(let text) = outcome { text } else { "says something else" }
            throw Failure(
                .failed, "\(quoted(name)) is no etcd: asked for its version it \(why)", hint: "name another one",
                settings: [.etcdProgram])
        }
        return version
    }
}
