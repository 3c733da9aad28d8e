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
/// nor a link that the archive itself brings leads out. Nothing that exists is replaced. Owners, modes, times and
/// extended attributes are kept as far as this user may set them; what could not be set is counted.
public final class FilePlacement {
    /// How many attributes could not be set, because this user may not.
    public private(set) var refusedAttributeCount = 0

    private let root: OpenDirectory
    private let isPrivileged = geteuid() == 0
    /// Set last and inside out, for a directory's mode may forbid and its time would change by placing into it.
    private var directories: [(names: [EntryName], metadata: EntryMetadata)] = []

    /// A placement below `root`.
    public init(root: OpenDirectory) { self.root = root }

    /// Places one member.
    ///
    /// - Parameter inspect: sees each piece of a file's bytes before it is written.
    /// - Throws: ``Failure`` with the code `integrity` if its path or link can't be placed safely; ``SystemCallError``.
    public func place(_ member: ArchiveMember, inspect: (UnsafeRawBufferPointer) -> Void = { _ in }) throws {
        let metadata = member.metadata
        let names = try components(metadata.path, of: metadata)
        guard let name = names.last else { return }
        let parent = try makeDirectories(names.dropLast())
        switch metadata.kind {
        case .directory:
            _ = try parent.makeDirectory(name)
            directories.append((names, metadata))
            return
        case .symbolicLink:
            try parent.makeSymbolicLink(name, to: metadata.linkTarget ?? [])
        case .hardLink:
            return try placeHardLink(name, metadata, in: parent)
        case .file:
            try placeFile(name, member, in: parent, inspect: inspect)
        }
        try setAttributes(name, metadata, in: parent)
    }

    /// Sets the attributes of the directories and returns when everything is durable.
    public func finish() throws {
        for (names, metadata) in directories.sorted(by: { $0.names.count > $1.names.count }) {
            guard let name = names.last else { continue }
            try setAttributes(name, metadata, in: try makeDirectories(names.dropLast()))
        }
        try root.syncFileSystem()
    }

    private func components(_ path: [UInt8], of metadata: EntryMetadata) throws -> [EntryName] {
        guard let names = EntryName.components(of: path), !names.isEmpty else {
            throw Failure(
                .integrity, "the archive's member \(quoted(metadata.displayPath)) has a path that leads elsewhere",
                hint: "the archive was not made by etcd-snap; do not restore from it")
        }
        return names
    }

    private func makeDirectories(_ names: some Collection<EntryName>) throws -> OpenDirectory {
        try names.reduce(root) { try $0.makeDirectory($1) }
    }

    private func placeFile(
        _ name: EntryName, _ member: ArchiveMember, in parent: OpenDirectory, inspect: (UnsafeRawBufferPointer) -> Void
    ) throws {
        let descriptor = try parent.createFile(name)
        defer { try? descriptor.close() }
        let sink = DescriptorSink(descriptor, name: parent.path(of: name))
        try member.forEachPiece { piece in
            inspect(piece)
            try sink.write(piece)
        }
    }

    private func placeHardLink(_ name: EntryName, _ metadata: EntryMetadata, in parent: OpenDirectory) throws {
        let target = try components(metadata.linkTarget ?? [], of: metadata)
        guard let targetName = target.last else { return }
        try parent.makeHardLink(name, to: targetName, in: try makeDirectories(target.dropLast()))
    }

    private func setAttributes(_ name: EntryName, _ metadata: EntryMetadata, in parent: OpenDirectory) throws {
        if isPrivileged {
            try permitting {
                try parent.setOwner(of: name, userID: metadata.userID, groupID: metadata.groupID)
            }
        } else if metadata.userID != geteuid() {
            refusedAttributeCount += 1
        }
        for attribute in metadata.extendedAttributes {
            try permitting { try parent.setExtendedAttribute(of: name, attribute.name, attribute.value) }
        }
        // After the owner, which clears set-ID bits, and after the attributes, which may be ACLs.
        if metadata.kind != .symbolicLink { try parent.setMode(of: name, metadata.mode) }
        try parent.setModificationTime(
            of: name, seconds: metadata.modificationSeconds, nanoseconds: metadata.modificationNanoseconds)
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
