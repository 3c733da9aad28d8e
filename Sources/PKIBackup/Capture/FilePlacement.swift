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
/// By default nothing that exists is replaced. A placement that replaces, as into `/`, makes each entry complete under a
/// hidden name beside its place, syncs it and renames it over what is there; that was kept aside before, below
/// ``Replacement/keptPath`` with its path, owner, mode and times. What is the same already is left alone. Files are not kept
/// beside their old place: in the kubelet's directory a copy of a manifest would be run. Directories that are there keep
/// their attributes. With a database of SQLite, logs and journals of the old one are kept aside, which would be replayed
/// into it, unless the archive brings its own.
///
/// Attributes are set by the descriptor that a file was made through, so nobody who may rename entries meanwhile can have
/// them set on something else.
public final class FilePlacement {
    /// How existing entries are replaced.
    public struct Replacement: Sendable {
        /// Where what is replaced is kept, relative to the root: a directory of mode 0700, made when it is needed.
        public var keptPath: String

        /// A replacement that keeps what was there below `keptPath`.
        public init(keptPath: String) { self.keptPath = keptPath }

        /// One that keeps what was there in a directory of its own below `/var/lib/etcd-snap`, named by the time.
        public init(at time: Date) {
            let text = time.formatted(
                .iso8601.year().month().day().dateSeparator(.omitted).time(includingFractionalSeconds: false)
                    .timeSeparator(.omitted))
            keptPath = "var/lib/etcd-snap/replaced-\(text)Z"
        }
    }

    /// What became of the members.
    public struct Counts: Sendable, Equatable {
        /// Entries made where nothing was.
        public var createdCount = 0
        /// Entries that took the place of others.
        public var replacedCount = 0
        /// Entries that were there already with the same contents and attributes.
        public var unchangedCount = 0
    }

    /// How many attributes could not be set, because this user may not.
    public internal(set) var refusedAttributeCount = 0
    /// What became of the members so far, directories aside.
    public internal(set) var counts = Counts()

    let root: OpenDirectory
    let replacement: Replacement?
    let strippedNames: [EntryName]
    private let isPrivileged = geteuid() == 0
    /// Set last and inside out, for a directory's mode may forbid and its time would change by placing into it.
    private var directories: [(names: [EntryName], metadata: EntryMetadata, identity: FileIdentity)] = []
    /// The directories that were not there before.
    var madeDirectories: Set<[EntryName]> = []
    /// Where databases of SQLite are and what else was placed beside them.
    var databases = PlacedDatabases()

    /// A placement below `root`.
    ///
    /// - Parameters:
    ///   - strippedPrefix: a directory of the archive, such as ``ArchiveFormat/filesPrefix``, whose members are placed
    ///     without it; others are refused.
    ///   - replacement: how existing entries are replaced; nil if they are an error.
    public init(root: OpenDirectory, strippedPrefix: String = "", replacement: Replacement? = nil) {
        self.root = root
        self.replacement = replacement
        strippedNames = EntryName.components(of: strippedPrefix.utf8) ?? []
    }

    /// Places one member.
    ///
    /// - Parameter inspect: sees each piece of a file's bytes before it is written.
    /// - Throws: ``Failure`` with the code `integrity` if its path or link can't be placed safely; ``SystemCallError``.
    public func place(_ member: ArchiveMember, inspect: (UnsafeRawBufferPointer) throws -> Void = { _ in }) throws {
        let metadata = member.metadata
        let names = try components(metadata.path, of: metadata)
        guard let name = names.last else { return }
        let parent = try makeDirectories(names.dropLast())
        if metadata.kind == .directory {
            let directory = try placeDirectory(name, names, in: parent)
            if replacement == nil || madeDirectories.contains(names) {
                directories.append((names, metadata, try directory.attributes().identity))
            }
        } else if replacement != nil {
            try replace(names, member, in: parent, inspect)
        } else {
            _ = try make(name, member, in: parent, inspect)
            counts.createdCount += 1
        }
    }

    /// Sets the attributes of the directories and returns when everything is durable.
    public func finish() throws {
        try keepStaleJournalsAside()
        for (names, metadata, identity) in directories.sorted(by: { $0.names.count > $1.names.count }) {
            let directory = try names.reduce(root) { try $0.openDirectory($1) }
            guard try directory.attributes().identity == identity else {
                throw Failure(
                    .failed, "\(quoted(directory.path)) became another directory while files were placed in it",
                    hint: "find out who renames directories there, and restore again")
            }
            try setAttributes(of: directory.descriptor, metadata, path: directory.path)
        }
        try root.syncFileSystem()
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

    func makeDirectories(_ names: some Collection<EntryName>) throws -> OpenDirectory {
        var directory = root
        for (index, name) in names.enumerated() {
            if try directory.makeDirectoryIfAbsent(name) { madeDirectories.insert(Array(names.prefix(index + 1))) }
            directory = try directory.openDirectory(name)
        }
        return directory
    }

    // MARK: Entries

    /// Makes an entry that is no directory, complete with its attributes, under a name where nothing is.
    ///
    /// - Returns: whether it is a database of SQLite.
    func make(
        _ name: EntryName, _ member: ArchiveMember, in parent: OpenDirectory,
        _ inspect: (UnsafeRawBufferPointer) throws -> Void
    ) throws -> Bool {
        switch member.metadata.kind {
        case .symbolicLink: try makeSymbolicLink(name, member.metadata, in: parent)
        case .hardLink: try makeHardLink(name, member.metadata, in: parent)
        case .file, .directory: return try makeFile(name, member, in: parent, inspect)
        }
        return false
    }

    private func makeFile(
        _ name: EntryName, _ member: ArchiveMember, in parent: OpenDirectory,
        _ inspect: (UnsafeRawBufferPointer) throws -> Void
    ) throws -> Bool {
        let descriptor = try parent.createFile(name)
        defer { try? descriptor.close() }
        let path = parent.path(of: name)
        let sink = DescriptorSink(descriptor, name: path)
        var beginning: [UInt8] = []
        try member.forEachPiece { piece in
            try inspect(piece)
            beginning += piece.prefix(DatabaseKind.sqliteMagic.count - beginning.count)
            try sink.write(piece)
        }
        try setAttributes(of: descriptor, member.metadata, path: path)
        // Before it is renamed over another; everything else is synced at the end.
        if replacement != nil { try retryingInterrupts("sync", path) { fsync(descriptor.rawValue) } }
        return beginning == DatabaseKind.sqliteMagic
    }

    private func makeHardLink(_ name: EntryName, _ metadata: EntryMetadata, in parent: OpenDirectory) throws {
        let target = try components(metadata.linkTarget ?? [], of: metadata)
        guard let targetName = target.last else { return }
        try parent.makeHardLink(name, to: targetName, in: try makeDirectories(target.dropLast()))
    }

    /// A link can't be opened, so its attributes are set by calls that do not follow it.
    func makeSymbolicLink(_ name: EntryName, _ metadata: EntryMetadata, in parent: OpenDirectory) throws {
        try parent.makeSymbolicLink(name, to: metadata.linkTarget ?? [])
        try settingOwner(metadata) {
            try parent.setOwner(of: name, userID: metadata.userID, groupID: metadata.groupID)
        }
        for attribute in metadata.extendedAttributes {
            try permitting { try parent.setExtendedAttribute(of: name, attribute.name, attribute.value) }
        }
        try parent.setModificationTime(
            of: name, seconds: metadata.modificationSeconds, nanoseconds: metadata.modificationNanoseconds)
    }

    // MARK: Attributes

    /// acl(5), "object creation and default ACLs".
    private static let inheritedAttributes = ["system.posix_acl_access", "system.posix_acl_default"]

    func setAttributes(of descriptor: FileDescriptor, _ metadata: EntryMetadata, path: String) throws {
        let file = OpenFileAttributes(of: descriptor, name: path)
        try settingOwner(metadata) { try file.setOwner(userID: metadata.userID, groupID: metadata.groupID) }
        // A directory with a default ACL gives it to what is made in it.
        for name in Self.inheritedAttributes where !metadata.extendedAttributes.contains(where: { $0.name == name }) {
            try permitting { try file.removeExtendedAttribute(name) }
        }
        for attribute in metadata.extendedAttributes {
            try permitting { try file.setExtendedAttribute(attribute.name, attribute.value) }
        }
        // After the owner, which clears set-ID bits, and after the attributes, which may be ACLs.
        try file.setMode(metadata.mode)
        try file.setModificationTime(
            seconds: metadata.modificationSeconds, nanoseconds: metadata.modificationNanoseconds)
    }

    private func settingOwner(_ metadata: EntryMetadata, _ body: () throws -> Void) throws {
        if isPrivileged {
            try permitting(body)
        } else if metadata.userID != geteuid() {
            refusedAttributeCount += 1
        }
    }

    private func permitting(_ body: () throws -> Void) throws {
        do {
            try body()
        } catch let error as SystemCallError
            where [.notPermitted, .permissionDenied, .notSupported].contains(error.errno)
        {
            refusedAttributeCount += 1
        }
    }
}
