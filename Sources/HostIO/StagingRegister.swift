import FoundationEssentials
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// Where this user has something in the clear under a temporary name, so that what a killed run has left is found wherever it
/// is: restores that are being staged, pending files, and directories in which etcd is booted.
///
/// It is the directory `etcd-snap/restoring` of the user's state directory (`XDG_STATE_HOME`, XDG Base Directory
/// Specification), with a symbolic link to each temporary entry while there is one. Where it can't be made there is none:
/// nothing fails for it.
public enum StagingRegister {
    /// A record of a temporary entry.
    public final class Record: Sendable {
        private let directory: OpenDirectory
        private let name: EntryName

        fileprivate init(_ name: EntryName, in directory: OpenDirectory) {
            self.name = name
            self.directory = directory
        }

        /// Removes the record: the entry has its own name now, or is gone.
        public func remove() {
            try? directory.removeFile(name)
            StagingRegister.removeIfEmpty()
        }
    }

    /// How directories are called in which servers are booted, with the user's number behind it.
    public static let scratchPrefix = "etcd-snap-drill-"
    /// What these servers have in their environment, as `NAME=value`.
    public static let scratchVariable = "ETCD_SNAP_DRILL=1"

    private static let names = ["etcd-snap", "restoring"]

    private static var stateDirectory: FilePath? {
        let environment = ProcessInfo.processInfo.environment
        let path = environment["XDG_STATE_HOME"].flatMap { $0.isEmpty ? nil : FilePath($0) }
        let home = environment["HOME"].flatMap { $0.isEmpty ? nil : FilePath($0).appending(".local/state") }
        guard let directory = path ?? home, directory.isAbsolute else { return nil }
        return directory
    }

    private static var directoryPath: FilePath? { stateDirectory.map { names.reduce($0) { $0.appending($1) } } }

    /// Records durably that a temporary entry is about to be filled, which is locked while it is.
    ///
    /// - Returns: nil where there is no register.
    public static func record(_ path: String) -> Record? {
        guard let place = directoryPath,
            let name = EntryName(String(UInt64.random(in: .min ... .max), radix: 16).utf8)
        else { return nil }
        let target = Array(absolutePath(path).string.utf8)
        // A process that is just done may remove the directory before the record is in it.
        for _ in 0..<10 {
            guard let directory = try? OpenDirectory.make(path: place.string) else { return nil }
            guard (try? directory.makeSymbolicLink(name, to: target)) != nil else { continue }
            try? directory.sync()
            return Record(name, in: directory)
        }
        return nil
    }

    /// Removes the temporary entries of runs that are no more, each with all that is in it; those of living ones stay.
    ///
    /// - Returns: their paths.
    public static func removeLeftovers() -> [String] {
        guard let place = directoryPath, let directory = try? OpenDirectory(path: place.string),
            let names = try? directory.names()
        else { return [] }
        defer { removeIfEmpty() }
        return names.compactMap { EntryName($0) }.compactMap { name in
            guard let target = try? directory.readLink(name), let path = String(validating: target, as: UTF8.self),
                let isGone = removeLeftover(path)
            else { return nil }
            try? directory.removeFile(name)
            return isGone ? path : nil
        }
    }

    /// - Returns: whether something was removed; nil if it stays, or can't be told.
    private static func removeLeftover(_ path: String) -> Bool? {
        guard let (parent, text) = try? OpenDirectory.parent(of: path), let name = EntryName(text.utf8) else {
            return nil
        }
        if text == scratchPrefix + "\(geteuid())" { return removeScratch(name, in: parent) }
        guard text.hasPrefix(PendingFile.temporaryPrefix) else { return nil }
        do {
            guard try parent.existingAttributes(of: name)?.kind != .file else {
                guard let leftover = try LeftoverFile(text, in: parent) else { return nil }
                try leftover.remove()
                return true
            }
            let target = text.utf8.dropFirst(PendingFile.temporaryPrefix.utf8.count)
            try InterruptedPublication(of: target, in: parent)?.settle()
            guard try parent.existingAttributes(of: name)?.kind == .directory else { return false }
            let leftover = try parent.openDirectory(name)
            guard try leftover.tryLock() else { return nil }
            try parent.removeTree(name)
            return true
        } catch {
            return nil
        }
    }

    /// Ends what runs in a directory in which servers were booted, and removes it.
    private static func removeScratch(_ name: EntryName, in parent: OpenDirectory) -> Bool? {
        do {
            guard let attributes = try parent.existingAttributes(of: name) else { return false }
            guard attributes.kind == .directory, attributes.userID == geteuid() else { return nil }
            let leftover = try parent.openDirectory(name)
            guard try leftover.tryLock() else { return nil }
            if let place = realpath(leftover.path, nil) {
                defer { free(place) }
                ForeignProcesses.killLeftovers(in: String(cString: place), having: scratchVariable)
            }
            try parent.removeTree(name)
            return true
        } catch {
            return nil
        }
    }

    private static func removeIfEmpty() {
        guard let stateDirectory else { return }
        for count in (0..<names.count).reversed() {
            let parent = names.prefix(count).reduce(stateDirectory) { $0.appending($1) }
            guard let directory = try? OpenDirectory(path: parent.string),
                (try? directory.removeEmptyDirectory(names[count])) != nil
            else { return }
        }
    }
}
