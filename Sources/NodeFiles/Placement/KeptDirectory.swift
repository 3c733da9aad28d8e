import FoundationEssentials
import HostIO
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// `/var/lib/etcd-snap-kept` of a root, mode 0700: what restores in place have replaced, each run's in a directory of its
/// own, and the ``PlacementJournal`` of one that is under way.
///
/// It is no part of a store, for a store holds nothing in the clear, and is never captured.
public struct KeptDirectory {
    static let name = "etcd-snap-kept"
    private static let parents = ["var", "lib"]

    /// Where it is, relative to the root.
    public static let path = (parents + [name]).joined(separator: "/")

    /// Why a backup leaves an entry of that name out; nil if it does not.
    static func reasonToLeaveOut(_ name: some Collection<UInt8>) -> String? {
        if name.elementsEqual(self.name.utf8) { return "what restores in place have replaced" }
        if name.elementsEqual(RebuildDirectory.name.utf8) {
            return "the journal of a rebuild, and what it has replaced"
        }
        let isUnfinished = name.starts(with: PendingFile.temporaryPrefix.utf8) || StagedName.matches(name)
        return isUnfinished ? "left by an interrupted restore, or being restored: remove it if nothing runs" : nil
    }

    let directory: OpenDirectory
    /// Where it really is, relative to the root: a directory above may be a link within the root.
    let realPath: String
    private let root: OpenDirectory
    /// How many of the directories above were not there before.
    private let madeParentCount: Int

    /// Opens it, or makes it durably.
    init(in root: OpenDirectory) throws {
        self.root = root
        var parent = (directory: root, path: "")
        var madeCount = 0
        for (index, name) in Self.parents.enumerated() {
            if try parent.directory.makeDirectoryForEverybody(name) { madeCount += 1 }
            parent = try Self.open(Self.parents.prefix(index + 1), in: root)
        }
        directory = try parent.directory.makeDirectory(Self.name)
        realPath = parent.path + Self.name
        let owner = try directory.attributes().userID
        guard owner == geteuid() else {
            throw Failure(
                .failed, "\(quoted(directory.path)) belongs to the user \(owner), who could read what is kept there",
                hint: "move it away, or give it to the user who restores")
        }
        try OpenFileAttributes(of: directory.descriptor, name: directory.path).setMode(0o700)
        madeParentCount = madeCount
    }

    /// Opens it if it is there.
    init?(existingIn root: OpenDirectory) throws {
        self.root = root
        madeParentCount = 0
        do {
            let parent = try Self.open(Self.parents[...], in: root)
            directory = try parent.directory.openDirectory(Self.name)
            realPath = parent.path + Self.name
        } catch let error as SystemCallError where error.meansMissing || error.errno == .tooManySymbolicLinkLevels {
            return nil
        }
    }

    /// Opens directories above it, links followed within the root, with the real path relative to the root and a slash.
    private static func open(
        _ names: ArraySlice<String>, in root: OpenDirectory
    ) throws -> (directory: OpenDirectory, path: String) {
        let resolved = try root.resolve(Array(names.joined(separator: "/").utf8))
        guard let name = resolved.name else { return (resolved.directory, "") }
        return (try resolved.directory.openDirectory(name), display(Array(resolved.path.dropFirst())) + "/")
    }

    /// The directories in which something is kept, relative to the root, in the order of their times.
    func places() throws -> [String] {
        try directory.utf8Names().filter(directory.isDirectory).sorted().map { "\(realPath)/\($0)" }
    }

    /// The directories of a root in which restores keep what they have replaced, relative to the root, the oldest first.
    ///
    /// - Throws: ``SystemCallError`` if they can't be read.
    public static func places(in root: OpenDirectory) throws -> [String] {
        try KeptDirectory(existingIn: root)?.places() ?? []
    }

    /// The name of one of the directories by its path relative to the root; nil for other paths.
    func place(atPath path: some Collection<UInt8>) -> String? {
        let prefix = Array("\(realPath)/".utf8)
        guard path.starts(with: prefix) else { return nil }
        let name = String(decoding: path.dropFirst(prefix.count), as: UTF8.self)
        return name.isEmpty || name.hasPrefix(".") || name.contains("/") ? nil : name
    }

    /// Removes from one of the directories what is still where it was, and then the directory if nothing is left in it.
    ///
    /// As far as that is possible: what stays is kept.
    ///
    /// - Returns: whether it is gone.
    func removeUnreplaced(in name: String) -> Bool {
        guard let entry = EntryName(name.utf8), let place = try? directory.openDirectory(entry) else {
            return !directory.contains(name)
        }
        removeUnreplaced(in: place, originals: root)
        try? directory.removeEmptyDirectory(entry)
        try? directory.sync()
        return !directory.contains(name)
    }

    private func removeUnreplaced(in kept: OpenDirectory, originals: OpenDirectory?) {
        for name in ((try? kept.names()) ?? []).compactMap({ EntryName($0) }) {
            if let directory = try? kept.openDirectory(name) {
                removeUnreplaced(in: directory, originals: try? originals?.openDirectory(name))
                try? kept.removeEmptyDirectory(name)
            } else if StagedName.matches(name.bytes) {
                // A copy that was not made to its end.
                try? kept.removeFile(name)
            } else if let originals, let existing = try? originals.existingAttributes(of: name),
                (try? originals.isSame(name, existing, as: name, in: kept, isLink: false)) == true
            {
                try? kept.removeFile(name)
            }
        }
    }

    /// Removes it if nothing is kept in it, and what was made for it above.
    func removeIfEmpty() {
        let names = Self.parents + [Self.name]
        for count in (names.count - madeParentCount - 1..<names.count).reversed() {
            let parent = try? Self.open(names.prefix(count), in: root).directory
            // One that is not empty stays, with those above.
            guard let parent, (try? parent.removeEmptyDirectory(names[count])) != nil else { return }
        }
    }

    /// Makes a directory that nothing else has the name of, durably: the time, with a number if that is taken.
    func makePlace(at time: Date) throws -> (directory: OpenDirectory, name: String) {
        let text = time.formatted(
            .iso8601.year().month().day().dateSeparator(.omitted).time(includingFractionalSeconds: false)
                .timeSeparator(.omitted))
        var number = 1
        while true {
            let name = number == 1 ? "\(text)Z" : "\(text)Z-\(number)"
            guard let entry = EntryName(name.utf8) else { preconditionFailure("a time is a name") }
            if try directory.makeDirectoryIfAbsent(entry) {
                try directory.sync()
                return (try directory.openDirectory(entry), name)
            }
            number += 1
        }
    }
}

// MARK: Stores

extension KeptDirectory {
    /// How deep a store's own directories are below it: clusters, and nodes in these.
    private static let storeDepth = 2

    /// Refuses a root in which there can be no directory of replaced files, or whose would be within a store, by whatever path
    /// it is reached.
    ///
    /// - Parameter stores: the stores' paths, which need not exist.
    /// - Throws: ``Failure`` with the code `usage` for one within a store, `failed` where nothing can be written.
    public static func check(in root: OpenDirectory, isOutside stores: [String]) throws {
        var directory = try deepest(in: root)
        let obstacle = directory.obstacleToWriting
        var above: Set<FileIdentity> = []
        while try above.insert(directory.attributes().identity).inserted {
            directory = try directory.openDirectory("..")
        }
        let keptPath = absolutePath(root.path(of: path)).string
        for store in stores {
            // One that does not exist yet has only its path.
            let isWithin = isPath(keptPath, atOrBelow: absolutePath(store).string)
            guard try isWithin || holds(store, anyOf: above) else { continue }
            throw Failure(
                .usage,
                "what is replaced would be kept in the clear in \(quoted(keptPath)), within the store \(quoted(store))",
                hint: "move the store to a directory of its own, or restore from a copy of the archive")
        }
        guard let obstacle else { return }
        throw Failure(
            .failed, "what is replaced can't be kept in \(quoted(keptPath)): \(obstacle)",
            hint: "do that first, and restore again; nothing was changed")
    }

    /// The directory itself, or the last one above it that is there.
    static func deepest(in root: OpenDirectory) throws -> OpenDirectory {
        var directory = root
        for (index, name) in (parents + [name]).enumerated() {
            guard let entry = EntryName(name.utf8), let existing = try directory.existingAttributes(of: entry) else {
                break
            }
            do {
                directory =
                    index < parents.count
                    ? try open(parents.prefix(index + 1), in: root).directory : try directory.openDirectory(entry)
            } catch let error as SystemCallError {
                throw Failure(
                    .failed,
                    "what is replaced can't be kept: \(quoted(directory.path(of: name))) is \(existing.kind.noun) and "
                        + "no directory that can be opened within \(quoted(root.path))",
                    hint: index < parents.count
                        ? "make it a directory, or a link to one within that root" : "make it a directory", cause: error
                )
            }
        }
        return directory
    }

    private static func holds(_ store: String, anyOf identities: Set<FileIdentity>) throws -> Bool {
        let directory: OpenDirectory
        do {
            directory = try OpenDirectory(path: store)
        } catch  where error.meansMissing {
            return false
        }
        return try !directories(of: directory, depth: storeDepth).isDisjoint(with: identities)
    }

    /// The identities of a store and of its directories: one of them may be mounted elsewhere.
    private static func directories(of store: OpenDirectory, depth: Int) throws -> Set<FileIdentity> {
        var identities: Set<FileIdentity> = [try store.attributes().identity]
        guard depth > 0 else { return identities }
        for name in try store.utf8Names() where store.isDirectory(name) {
            identities.formUnion(try directories(of: store.openDirectory(name), depth: depth - 1))
        }
        return identities
    }
}

extension OpenDirectory {
    /// Makes a directory that belongs to the system, such as `/var/lib`, durably unless it is there.
    ///
    /// - Returns: whether it was made.
    fileprivate func makeDirectoryForEverybody(_ name: String) throws -> Bool {
        guard let entry = EntryName(name.utf8), try makeDirectoryIfAbsent(entry) else { return false }
        let made = try openDirectory(name)
        try OpenFileAttributes(of: made.descriptor, name: made.path).setMode(0o755)
        try sync()
        return true
    }
}
