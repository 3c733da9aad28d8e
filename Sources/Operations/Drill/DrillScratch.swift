import HostIO
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// The directory of a drill, `etcd-snap-drill-UID` with mode 0700: everything that is restored is in it, and every process
/// of the drill runs in it.
///
/// It is locked while the drill goes on, and recorded in the ``StagingRegister``. What a killed one has left, processes too, the
/// next run removes, whatever it does; one that ends removes everything itself.
public final class DrillScratch: Sendable {
    /// The directory.
    public let directory: OpenDirectory
    /// Whether it is in memory.
    public let isInMemory: Bool
    /// What was found of a drill before; nil for nothing.
    public let leftover: String?
    private let parent: OpenDirectory
    private let name: String
    private let record: StagingRegister.Record?

    /// What the processes of drills have in their environment.
    static let variable = StagingRegister.scratchVariable

    /// Makes and locks the directory, and removes what is in it.
    ///
    /// - Parameter path: the directory in which it is made.
    /// - Throws: ``Failure`` with the code `locked` while another drill goes on there, `untrusted` if it is not this user's
    ///   alone.
    public init(in path: String) throws {
        parent = try OpenDirectory(path: path)
        name = StagingRegister.scratchPrefix + "\(geteuid())"
        directory = try Self.locked(name, in: parent)
        record = StagingRegister.record(directory.path)
        isInMemory = parent.isInMemory
        let place = Self.realPath(directory.path) ?? directory.path
        let killedCount = ForeignProcesses.killLeftovers(in: place, having: Self.variable)
        let names = try directory.names().compactMap { EntryName($0) }
        for name in names { try directory.removeTree(name) }
        leftover =
            killedCount + names.count == 0
            ? nil
            : "removed \(names.count) entries and \(killedCount) processes that a killed drill had left in \(place)"
        UnfinishedWork.add(self) { [parent, directory, name] in Self.remove(name, in: parent, if: directory) }
    }

    deinit {
        UnfinishedWork.remove(self)
        Self.remove(name, in: parent, if: directory)
        record?.remove()
    }

    /// Whether a directory is in memory.
    static func isInMemory(_ path: String) -> Bool { (try? OpenDirectory(path: path))?.isInMemory == true }

    private static let attemptCount = 10

    private static func locked(_ name: String, in parent: OpenDirectory) throws -> OpenDirectory {
        for _ in 0..<attemptCount {
            let directory = try parent.makeDirectory(name)
            let attributes = try directory.attributes()
            guard attributes.userID == geteuid(), attributes.mode & 0o077 == 0 else {
                throw Failure(
                    .untrusted, "\(quoted(directory.path)) is not this user's alone",
                    hint: "others could read what is restored there: remove it, or name another directory",
                    settings: [.scratch])
            }
            guard try directory.tryLock() else {
                throw Failure(
                    .locked, "another drill goes on in \(quoted(directory.path))",
                    hint: "wait for it to end, or name another directory", settings: [.scratch])
            }
            // One that has just ended removes it.
            if parent.isEntry(name, directory.descriptor) { return directory }
        }
        throw Failure(.locked, "other drills begin and end in \(quoted(parent.path(of: name)))", hint: "try again")
    }

    private static func remove(_ name: String, in parent: OpenDirectory, if directory: OpenDirectory) {
        guard parent.isEntry(name, directory.descriptor) else { return }
        try? parent.removeTree(name)
    }

    private static func realPath(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }
}
