import FoundationEssentials
import HostIO
import SealedArchive
import SystemPackage

/// A kube-apiserver of this host that can be booted.
struct APIServerProgram: Sendable {
    /// What the record says of it.
    let record: DrillRecord.Program
    /// The path that is executed.
    let executable: String

    private static let program = ServerProgram(
        name: "kube-apiserver", versionMark: "Kubernetes v", setting: .apiServerProgram)

    /// The one that is named, or the first of the directories of `PATH`; nil if none is named and there is none.
    ///
    /// - Throws: ``Failure`` if it can't be read, or does not say its version.
    static func find(_ path: String?) throws -> APIServerProgram? {
        try (path ?? program.pathOfFirst()).map { try APIServerProgram($0) }
    }

    private init(_ path: String) throws {
        let file = try RandomAccessFile(regular: path)
        executable = absolutePath(path).string
        record = DrillRecord.Program(
            path: path, version: try Self.program.version(of: executable, shown: path),
            sha256: try VerifyOperation.hash(file, from: 0, observer: Observer()).hexadecimal)
    }
}
