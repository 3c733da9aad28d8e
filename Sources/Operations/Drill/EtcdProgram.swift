import FoundationEssentials
import HostIO
import SealedArchive
import SystemPackage

/// An etcd of this host that can be booted.
struct EtcdProgram: Sendable {
    /// What the record says of it.
    let record: DrillRecord.Program
    /// The path that is executed.
    let executable: String
    /// Keeps the program of a process that may end.
    private let file: RandomAccessFile

    private static let program = ServerProgram(name: "etcd", versionMark: "etcd Version:", setting: .etcdProgram)

    /// The etcd that is named, or the first of the directories of `PATH`, or the one that runs here, such as in a static pod.
    ///
    /// - Throws: ``Failure`` with the code `notFound` if there is none; `failed` if it does not say its version.
    static func find(_ path: String?) throws -> EtcdProgram {
        if let path = path ?? program.pathOfFirst() { return try EtcdProgram(path) }
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
            path: name, version: try Self.program.version(of: executable, shown: name),
            sha256: try VerifyOperation.hash(file, from: 0, observer: Observer()).hexadecimal)
    }
}
