import HostIO
import SealedArchive
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

extension FilePlacement {
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
        let sink = SparseSink(descriptor, name: path)
        var beginning: [UInt8] = []
        try member.forEachPiece { piece in
            try inspect(piece)
            beginning += piece.prefix(DatabaseKind.sqliteMagic.count - beginning.count)
            try sink.write(piece)
        }
        try sink.finish()
        try setAttributes(of: descriptor, member.metadata, path: path)
        // Before it is renamed over another; everything else is synced at the end.
        if journal != nil { try retryingInterrupts("sync", path) { fsync(descriptor.rawValue) } }
        return beginning == DatabaseKind.sqliteMagic
    }

    private func makeHardLink(_ name: EntryName, _ metadata: EntryMetadata, in parent: OpenDirectory) throws {
        let target = try components(metadata.linkTarget ?? [], of: metadata)
        guard let targetName = target.last else { return }
        try parent.makeHardLink(
            name, to: stagedNames[target] ?? targetName, in: try makeDirectories(target.dropLast()))
    }

    /// A link can't be opened, so its attributes are set by calls that do not follow it.
    func makeSymbolicLink(_ name: EntryName, _ metadata: EntryMetadata, in parent: OpenDirectory) throws {
        try parent.makeSymbolicLink(name, to: metadata.linkTarget ?? [])
        _ = try settingOwner(metadata) {
            try parent.setOwner(of: name, userID: metadata.userID, groupID: metadata.groupID)
        }
        for attribute in metadata.extendedAttributes {
            try permitting(attribute) { try parent.setExtendedAttribute(of: name, attribute.name, attribute.value) }
        }
        try permitting(\.modeCount) {
            try parent.setModificationTime(
                of: name, seconds: metadata.modificationSeconds, nanoseconds: metadata.modificationNanoseconds)
        }
    }
}
