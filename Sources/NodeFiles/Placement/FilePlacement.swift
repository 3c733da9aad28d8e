import FoundationEssentials
import HostIO
import SealedArchive
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// Places members of an archive below a directory, so that no member can reach outside it.
///
/// Paths are taken apart into names and walked by directory descriptors that follow no symbolic link, so neither `..`
/// nor a link that the archive itself brings leads out. Owners, modes, times and extended attributes are kept as far as
/// this user may set them; what could not be set is counted.
///
/// By default nothing that exists is replaced. A placement that replaces, as into `/`, first stages every entry complete
/// and durable under a hidden name beside its place, so that a failure until then changes nothing. ``finish()`` renames them
/// over what is there, which is kept aside before, in the ``KeptDirectory`` with its path, owner, mode and times. It goes
/// by the ``PlacementOrder`` of each: what is acted upon at once comes last. What is the same already is left alone. Files are not
/// kept beside their old place: in the kubelet's directory a copy of a manifest would be run. Directories that are there
/// keep their attributes. With a database of SQLite, logs and journals of the old one are kept aside, which would be
/// replayed into it, unless the archive brings its own.
///
/// Attributes are set by the descriptor that a file was made through, so nobody who may rename entries meanwhile can have
/// them set on something else.
public final class FilePlacement {
    /// What became of the members.
    public struct Counts: Sendable, Equatable {
        /// Entries made where nothing was.
        public var createdCount = 0
        /// Entries that took the place of others.
        public var replacedCount = 0
        /// Entries that were there already with the same contents and attributes.
        public var unchangedCount = 0
    }

    /// What the target did not take of owners and attributes.
    public internal(set) var refusals = PlacementRefusals()
    /// Directories of the archive that were there already and differ.
    public private(set) var differingDirectories: [DirectoryDifference] = []
    /// What became of the members so far, directories aside.
    public internal(set) var counts = Counts()
    /// Where what was replaced is kept, relative to the root; nil if nothing was.
    public internal(set) var keptPath: String?
    /// What an interrupted placement had left below the root.
    public var leftovers: PlacementJournal.Leftovers { journal?.leftovers ?? PlacementJournal.Leftovers() }

    let root: OpenDirectory
    /// For a placement that replaces.
    let journal: PlacementJournal?
    let strippedNames: [EntryName]
    /// What the root will be called, for messages.
    private let shownRoot: String
    let isPrivileged = geteuid() == 0
    /// Set last and inside out, for a directory's mode may forbid and its time would change by placing into it.
    private var directories: [PlacedDirectory] = []
    /// The directories that were not there before, in the order of their making.
    private var madeDirectories: [[EntryName]] = []
    private var madeDirectorySet: Set<[EntryName]> = []
    private var isEnded = false
    /// Whether something that was staged could not be removed.
    var leavesSomething = false
    /// What is complete and not yet in its place.
    var staged: [StagedEntry] = []
    /// The names that they have until then.
    var stagedNames: [[EntryName]: EntryName] = [:]
    /// Where what is replaced goes, once something is.
    var keptPlace: OpenDirectory?
    /// What is kept and not yet replaced, as it was then.
    var keptAhead: [[EntryName]: EntryAttributes] = [:]
    /// The links that the file system has none of.
    var leftOutLinks: Set<[EntryName]> = []
    /// Where databases of SQLite are and what else was placed beside them.
    var databases = PlacedDatabases()

    /// A placement below `root` where nothing is replaced.
    ///
    /// - Parameter strippedPrefix: a directory of the archive, such as ``ArchiveFormat/filesPrefix``, whose members are
    ///   placed without it; others are refused.
    /// - Parameter shownRoot: what the root will be called, for messages; its path without it.
    public convenience init(root: OpenDirectory, strippedPrefix: String = "", shownRoot: String? = nil) {
        self.init(root: root, strippedPrefix: strippedPrefix, shownRoot: shownRoot ?? root.path, journal: nil)
    }

    /// A placement that replaces what exists; what an interrupted one has left is removed.
    ///
    /// - Throws: ``Failure`` with the code `locked` while another process does the same below that root.
    public convenience init(replacingIn root: OpenDirectory, strippedPrefix: String = "") throws {
        self.init(
            root: root, strippedPrefix: strippedPrefix, shownRoot: root.path, journal: try PlacementJournal(root: root))
    }

    private init(root: OpenDirectory, strippedPrefix: String, shownRoot: String, journal: PlacementJournal?) {
        self.root = root
        self.shownRoot = shownRoot.hasSuffix("/") ? shownRoot : shownRoot + "/"
        self.journal = journal
        strippedNames = EntryName.components(of: strippedPrefix.utf8) ?? []
    }

    deinit { abandon() }

    /// Places one member; with a placement that replaces, stages it.
    ///
    /// A member of a name as interrupted restores leave them is passed over.
    ///
    /// - Parameters:
    ///   - order: when it is put into its place.
    ///   - inspect: sees each piece of a file's bytes before it is written.
    /// - Throws: ``Failure`` with the code `integrity` if its path or link can't be placed safely; ``SystemCallError``.
    public func place(
        _ member: ArchiveMember, order: PlacementOrder = PlacementOrder(),
        inspect: (UnsafeRawBufferPointer) throws -> Void = { _ in }
    ) throws {
        let metadata = member.metadata
        let names = try components(metadata.path, of: metadata)
        guard let name = names.last else { return }
        guard !StagedName.matches(name.bytes) else { return try member.forEachPiece(inspect) }
        let parent = try makeDirectories(names.dropLast())
        if metadata.kind == .directory {
            let directory = try placeDirectory(name, names, metadata, in: parent)
            if journal == nil || madeDirectorySet.contains(names) {
                let identity = try directory.attributes().identity
                directories.append(PlacedDirectory(names: names, metadata: metadata, identity: identity))
            } else if let difference = try DirectoryDifference(shownPath(names), directory.attributes(), metadata) {
                differingDirectories.append(difference)
            }
        } else if journal != nil {
            try stage(names, member, order, in: parent, inspect)
        } else {
            if case .leftOut = try make(name, for: names, member, in: parent, inspect) { return }
            counts.createdCount += 1
        }
    }

    /// Puts what is staged into its place, sets the attributes of the directories, and returns when everything is durable.
    public func finish() throws { try UnfinishedWork.protecting(finishProtected) }

    private func finishProtected() throws {
        try keepAll()
        try commit(waiting: false)
        try keepStaleJournalsAside()
        // A pod that starts meanwhile finds its directories as they should be.
        let changing = Set(staged.map { Array($0.names.dropLast()) })
        for directory in directories(where: { !changing.contains($0) }) { try setAttributes(of: directory) }
        try commit(waiting: true)
        for directory in directories(where: changing.contains) { try setAttributes(of: directory) }
        removeKeptAhead()
        try root.syncFileSystem()
        try journal?.remove()
        isEnded = true
    }

    /// Removes what is staged, the directories made for it unless something is in them, and what is kept of files that were
    /// not replaced; what is in place stays.
    ///
    /// As far as that is possible: it is for what failed, and the next run removes the rest.
    public func abandon() {
        guard journal != nil, !isEnded else { return }
        isEnded = true
        UnfinishedWork.protecting(removeStaged)
    }

    private func removeStaged() {
        for entry in staged { remove(entry.temporaryName, below: entry.names.dropLast()) }
        for names in madeDirectories.reversed() {
            guard let name = names.last else { continue }
            try? parent(of: names).removeEmptyDirectory(name)
        }
        for directory in directories(where: { _ in true }) { try? setAttributes(of: directory) }
        removeKeptAhead()
        removeUnreplaced()
        if !leavesSomething { try? journal?.remove() }
    }

    /// Removes a staged entry; if that fails, the journal stays for the next run.
    func remove(_ temporaryName: EntryName, below directory: some Collection<EntryName>) {
        do {
            try directory.reduce(root) { try $0.openDirectory($1) }.removeEntry(temporaryName)
        } catch {
            leavesSomething = true
        }
    }

    // MARK: Directories

    private struct PlacedDirectory {
        var names: [EntryName]
        var metadata: EntryMetadata
        var identity: FileIdentity
    }

    private func directories(where isIncluded: ([EntryName]) -> Bool) -> [PlacedDirectory] {
        directories.filter { isIncluded($0.names) }.sorted { $0.names.count > $1.names.count }
    }

    /// Makes a directory with its owner and mode at once, for a run that follows a killed one leaves it as it is.
    ///
    /// What is placed in it changes its time, so that is set at the end.
    func stageDirectory(
        _ name: EntryName, _ names: [EntryName], _ metadata: EntryMetadata, in parent: OpenDirectory
    ) throws {
        try journal?.note(Array(names.dropLast()))
        let temporaryName = StagedName.random()
        do {
            let directory = try parent.makeDirectory(temporaryName)
            var metadata = metadata
            if !isPrivileged { metadata.mode |= 0o700 }
            let refusalsBefore = refusals
            try setAttributes(of: directory.descriptor, metadata, path: shownPath(names))
            // They are set once more, and counted then.
            refusals = refusalsBefore
            try parent.rename(temporaryName, over: name)
        } catch {
            remove(temporaryName, below: names.dropLast())
            throw error
        }
        note(made: names)
    }

    private func note(made names: [EntryName]) {
        madeDirectories.append(names)
        madeDirectorySet.insert(names)
    }

    private func setAttributes(of placed: PlacedDirectory) throws {
        let directory = try placed.names.reduce(root) { try $0.openDirectory($1) }
        guard try directory.attributes().identity == placed.identity else {
            throw Failure(
                .failed, "\(quoted(directory.path)) became another directory while files were placed in it",
                hint: "find out who renames directories there, and restore again")
        }
        try setAttributes(of: directory.descriptor, placed.metadata, path: shownPath(placed.names))
        if journal != nil { try directory.sync() }
    }

    // MARK: Paths

    /// The path that an entry will have, for messages.
    func shownPath(_ names: some Collection<EntryName>) -> String {
        shownRoot + names.map(\.description).joined(separator: "/")
    }

    /// The names of a member's place.
    func components(_ path: [UInt8], of metadata: EntryMetadata) throws -> [EntryName] {
        guard let names = EntryName.components(of: path), names.count > strippedNames.count,
            names.starts(with: strippedNames)
        else {
            // The root itself is there.
            if !strippedNames.isEmpty, EntryName.components(of: path) == strippedNames { return [] }
            throw Failure(
                .integrity, "the archive's member \(quoted(metadata.displayPath)) has a path that leads elsewhere",
                hint: "the archive was not made by etcd-snap; do not restore from it")
        }
        return Array(names.dropFirst(strippedNames.count))
    }

    /// The directory that holds an entry, which must exist.
    func parent(of names: [EntryName]) throws -> OpenDirectory {
        try names.dropLast().reduce(root) { try $0.openDirectory($1) }
    }

    func makeDirectories(_ names: some Collection<EntryName>) throws -> OpenDirectory {
        var directory = root
        for (index, name) in names.enumerated() {
            try makeDirectory(name, Array(names.prefix(index + 1)), in: directory)
            directory = try directory.openDirectory(name)
        }
        return directory
    }

    /// Makes a directory unless it is there; durably, for what is renamed into it later is to last.
    func makeDirectory(_ name: EntryName, _ names: [EntryName], in parent: OpenDirectory) throws {
        guard try parent.makeDirectoryIfAbsent(name) else { return }
        note(made: names)
        if journal != nil { try parent.sync() }
    }
}
