import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// Where a ``StagingDirectory`` is to be made: what is there, and whether that leaves room for it.
///
/// A dry run looks at its target by this, as the run itself does, so that both say the same.
public struct StagingPlace {
    /// What holds the temporary directory: the target's parent, or the target.
    let parent: OpenDirectory
    /// The target, if it is there and is what is filled.
    public let filled: OpenDirectory?
    /// The target's name in the directory above it.
    let name: EntryName
    let temporaryName: EntryName
    /// A publication of this target that was killed in its middle; what it has made counts for nothing.
    let interrupted: InterruptedPublication?

    /// Looks at a target; changes nothing.
    ///
    /// What a publication has made that was killed in its middle is not counted: who fills the target takes it back.
    ///
    /// - Parameter keepsExisting: whether an empty directory that is there is filled, and not replaced.
    /// - Throws: ``Failure`` if the target exists and is not an empty directory; ``SystemCallError``.
    public init(_ target: String, keepsExisting: Bool = false) throws {
        let (above, lastName) = try OpenDirectory.parent(of: target)
        let name = try Self.entry(lastName)
        self.name = name
        temporaryName = try Self.entry(PendingFile.temporaryPrefix + lastName)
        let besides = try InterruptedPublication(of: name.bytes, in: above)
        // One that is there only until it is taken back is not filled.
        let isTakenBack = try besides?.names(in: above).contains(name.bytes) == true
        let filled = isTakenBack ? nil : try Self.filled(target, name, in: above, keepsExisting: keepsExisting)
        self.filled = filled
        parent = filled ?? above
        let within = try filled.flatMap { try InterruptedPublication(of: name.bytes, in: $0) }
        interrupted = filled == nil ? besides : within
        let passedOver = try interrupted?.names(in: parent) ?? []
        try Self.checkVacant(
            filled, or: name, in: above, aside: [temporaryName.bytes] + Self.noteNames(name) + passedOver)
    }

    private static func noteNames(_ name: EntryName) -> [[UInt8]] {
        PublicationNote.fileName(of: name.bytes).map { [$0.bytes] } ?? []
    }

    /// The names in a directory that count for nothing where some targets are to be made: temporary ones of theirs, and what
    /// publications have made that were killed in their middle.
    ///
    /// - Throws: ``Failure`` if some of that was changed since, or its process lives.
    public static func passedOver(in directory: OpenDirectory, for targets: [String]) throws -> Set<[UInt8]> {
        var names: Set<[UInt8]> = [lostAndFound]
        for target in targets {
            let (above, lastName) = try OpenDirectory.parent(of: target)
            let name = try entry(lastName)
            names.formUnion([try entry(PendingFile.temporaryPrefix + lastName).bytes] + noteNames(name))
            for place in [above, try? OpenDirectory(path: target)].compactMap(\.self) {
                guard let interrupted = try InterruptedPublication(of: name.bytes, in: place) else { continue }
                names.formUnion(try interrupted.names(in: directory))
            }
        }
        return names
    }

    /// Checks that a directory could be made there; changes nothing.
    ///
    /// - Returns: the directory that it would be made in.
    /// - Throws: what ``StagingDirectory`` would throw.
    @discardableResult
    public static func check(_ target: String, keepsExisting: Bool = false) throws -> OpenDirectory {
        let place = try StagingPlace(target, keepsExisting: keepsExisting)
        try place.parent.checkWritable("make directory", place.temporaryName.description)
        return place.parent
    }

    /// Checks that there is room for what directories are to be filled with; changes nothing.
    ///
    /// What an interrupted run has left there counts as free, for it is removed first.
    ///
    /// - Parameters:
    ///   - fillings: targets, each with the sizes in bytes of the files that it gets.
    ///   - keepsExisting: as for ``init(_:keepsExisting:)``.
    /// - Throws: ``Failure`` with the code `noSpace`; what ``StagingDirectory`` would throw.
    public static func checkRoom(
        for fillings: [(target: String, byteCounts: [Int])], keepsExisting: Bool = false
    ) throws {
        var demand = SpaceDemand()
        for (target, byteCounts) in fillings {
            let place = try StagingPlace(target, keepsExisting: keepsExisting)
            try demand.removeTree(place.temporaryName, in: place.parent)
            for name in try place.interrupted?.names(in: place.parent) ?? [] {
                if let name = EntryName(name) { try demand.removeTree(name, in: place.parent) }
            }
            for byteCount in byteCounts { try demand.add(byteCount, in: place.parent, as: target) }
        }
        try demand.check()
    }

    private static func entry(_ name: String) throws -> EntryName {
        guard let entry = EntryName(name.utf8) else {
            throw Failure(.usage, "\(quoted(name)) is no name of a directory", hint: "name another one")
        }
        return entry
    }

    /// The target if it is to be filled where it is; nil if it is to be made or replaced.
    private static func filled(
        _ target: String, _ name: EntryName, in parent: OpenDirectory, keepsExisting: Bool
    ) throws -> OpenDirectory? {
        switch try parent.existingAttributes(of: name)?.kind {
        case .directory:
            let directory = try parent.openDirectory(name)
            if keepsExisting { return directory }
            if try directory.isMountRoot() { return directory }
            let names = try directory.names()
            return names.contains(lostAndFound) ? directory : nil
        case .symbolicLink where keepsExisting:
            do {
                return try OpenDirectory(path: target)
            } catch  where [.notDirectory, .noSuchFileOrDirectory].contains(error.errno) {
                return nil
            }
        default: return nil
        }
    }

    /// The directory that `mkfs` makes for `fsck` in an ext4.
    private static let lostAndFound = Array("lost+found".utf8)

    // MARK: What is in the way

    static func checkVacant(
        _ filled: OpenDirectory?, or name: EntryName, in parent: OpenDirectory, aside passedOver: [[UInt8]]
    ) throws {
        if let filled {
            let names = try filled.names().filter { !passedOver.contains($0) && $0 != lostAndFound }
            guard names.isEmpty else { throw occupied(filled.path, names) }
        } else if !passedOver.contains(name.bytes), let existing = try parent.existingAttributes(of: name) {
            guard existing.kind == .directory else { throw taken(name, existing, in: parent) }
            let names = try parent.openDirectory(name).names()
            guard names.isEmpty else { throw occupied(parent.path(of: name), names) }
        }
    }

    /// That a directory has something in it, with the first of their names.
    public static func occupied(_ path: String, _ names: [[UInt8]]) -> Failure {
        let shown = names.prefix(3).map { quoted(String(decoding: $0, as: UTF8.self)) }.joined(separator: ", ")
        let others = names.count > 3 ? " and \(names.count - 3) more" : ""
        return Failure(
            .failed, "\(quoted(path)) exists and is not an empty directory: it has \(shown)\(others)",
            hint: "nothing is ever replaced: name a directory that does not exist yet, or empty that one")
    }

    /// That something is there which is no directory; of a link, where it leads.
    private static func taken(_ name: EntryName, _ existing: EntryAttributes, in parent: OpenDirectory) -> Failure {
        let path = parent.path(of: name)
        guard existing.kind == .symbolicLink else {
            return Failure(
                .failed, "\(quoted(path)) is \(existing.kind.noun), and not an empty directory",
                hint: "nothing is ever replaced: name a directory that does not exist yet, or move that away")
        }
        let target = (try? parent.readLink(name)).map { String(decoding: $0, as: UTF8.self) } ?? "?"
        let isDirectory = (try? OpenDirectory(path: path)) != nil
        let real = isDirectory ? realPath(path) : nil
        return Failure(
            .failed,
            "\(quoted(path)) is a symbolic link, which leads to \(quoted(target)), "
                + (isDirectory ? "a directory" : access(path, F_OK) == 0 ? "no directory" : "where nothing is"),
            hint: real.map { "a link is not followed here: name what it leads to, \(quoted($0))" }
                ?? "a link is not followed here: name a directory that does not exist yet, or remove the link")
    }

    private static func realPath(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }
}

extension OpenDirectory {
    /// Checks that something could be made in this directory; changes nothing.
    ///
    /// - Parameters:
    ///   - action: what would be done, as ``SystemCallError/action``.
    ///   - name: the name that would be made.
    /// - Throws: ``SystemCallError``, as doing it would.
    public func checkWritable(_ action: String, _ name: String) throws(SystemCallError) {
        try retryingInterrupts(action, path(of: name)) {
            faccessat(descriptor.rawValue, ".", W_OK | X_OK, AT_EACCESS)
        }
    }

    /// Checks that ``make(path:)`` could make every missing directory of a path; changes nothing.
    ///
    /// - Returns: the directory, if it is there already.
    /// - Throws: ``SystemCallError``, as making it would.
    public static func checkMake(path: String) throws(SystemCallError) -> OpenDirectory? {
        var prefix = FilePath(path).root.map { FilePath(root: $0) } ?? FilePath(".")
        for component in FilePath(path).components {
            let parent = prefix
            prefix.append(component)
            var status = stat()
            if lstat(prefix.string, &status) == 0 { continue }
            let error = SystemCallError("make directory", prefix.string)
            guard error.errno == .noSuchFileOrDirectory else { throw error }
            try retryingInterrupts("make directory", prefix.string) {
                faccessat(AT_FDCWD, parent.string, W_OK | X_OK, AT_EACCESS)
            }
            return nil
        }
        return try OpenDirectory(path: path)
    }

    /// The same for the directory `name` in this one.
    public func checkMakeDirectory(_ name: String) throws(SystemCallError) -> OpenDirectory? {
        if contains(name) { return try openDirectory(name) }
        try checkWritable("make directory", name)
        return nil
    }
}
