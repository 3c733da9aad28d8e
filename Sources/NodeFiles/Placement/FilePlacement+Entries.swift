import HostIO
import SealedArchive
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// What became of a member that was to be made.
enum MadeEntry {
    /// A file, or a symbolic link.
    case made(isDatabase: Bool)
    /// A further name of another file.
    case furtherName
    /// A copy of another file, for the file system has no further names.
    case copy
    /// Nothing: the file system has no symbolic links.
    case leftOut
}

extension FilePlacement {
    /// Makes an entry that is no directory, complete with its attributes, under a name where nothing is.
    ///
    /// - Parameter names: its place, which messages tell.
    func make(
        _ name: EntryName, for names: [EntryName], _ member: ArchiveMember, in parent: OpenDirectory,
        _ inspect: (UnsafeRawBufferPointer) throws -> Void
    ) throws -> MadeEntry {
        let path = shownPath(names)
        switch member.metadata.kind {
        case .symbolicLink: return try makeSymbolicLinkIfThereAre(name, member.metadata, in: parent, names)
        case .hardLink: return try makeHardLink(name, member.metadata, in: parent, names)
        case .file, .directory:
            return .made(isDatabase: try makeFile(name, member, in: parent, path: path, inspect))
        }
    }

    private func makeFile(
        _ name: EntryName, _ member: ArchiveMember, in parent: OpenDirectory, path: String,
        _ inspect: (UnsafeRawBufferPointer) throws -> Void
    ) throws -> Bool {
        let descriptor = try parent.createFile(name)
        defer { try? descriptor.close() }
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

    // MARK: Links

    /// What file systems answer that have no links: vfat and exfat, CIFS, those in user space.
    private static let codesWithoutLinks: Set<Errno> = [.notPermitted, .notSupported, .noFunction]

    /// Whether an error of making a link is about links, and not about the directory.
    private func meansNoLinks(_ error: SystemCallError, in parent: OpenDirectory) -> Bool {
        Self.codesWithoutLinks.contains(error.errno) && parent.obstacleToWriting == nil
    }

    private func meansNoFurtherName(_ error: SystemCallError, in parent: OpenDirectory) -> Bool {
        [.improperLink, .tooManyLinks].contains(error.errno) || meansNoLinks(error, in: parent)
    }

    private func makeHardLink(
        _ name: EntryName, _ metadata: EntryMetadata, in parent: OpenDirectory, _ names: [EntryName]
    ) throws -> MadeEntry {
        let target = try components(metadata.linkTarget ?? [], of: metadata)
        guard let targetName = target.last else { return .leftOut }
        if leftOutLinks.contains(target) { return leaveOut(names, reason: nil) }
        let directory = try makeDirectories(target.dropLast())
        let source = stagedNames[target] ?? targetName
        do {
            try parent.makeHardLink(name, to: source, in: directory)
            return .furtherName
        } catch {
            guard meansNoFurtherName(error, in: parent) else { throw error }
            let existing = try directory.attributes(of: source)
            guard existing.kind == .symbolicLink else {
                try copyFile(source, in: directory, to: name, in: parent, path: shownPath(names))
                return .copy
            }
            var link = try self.metadata(of: existing, directory.extendedAttributes(of: source))
            link.linkTarget = try directory.readLink(source)
            try makeSymbolicLink(name, link, in: parent, path: shownPath(names))
            return .copy
        }
    }

    private func makeSymbolicLinkIfThereAre(
        _ name: EntryName, _ metadata: EntryMetadata, in parent: OpenDirectory, _ names: [EntryName]
    ) throws -> MadeEntry {
        do {
            try makeSymbolicLink(name, metadata, in: parent, path: shownPath(names))
            return .made(isDatabase: false)
        } catch var error as SystemCallError
            where error.action == OpenDirectory.makingSymbolicLink && meansNoLinks(error, in: parent)
        {
            error.subject = shownPath(names)
            return leaveOut(names, reason: error.description)
        }
    }

    private func leaveOut(_ names: [EntryName], reason: String?) -> MadeEntry {
        leftOutLinks.insert(names)
        refusals.note(.link, of: shownPath(names), reason: reason)
        return .leftOut
    }

    /// A link can't be opened, so its attributes are set by calls that do not follow it.
    ///
    /// - Parameter path: what it will be called, for messages.
    func makeSymbolicLink(
        _ name: EntryName, _ metadata: EntryMetadata, in parent: OpenDirectory, path: String
    ) throws {
        try parent.makeSymbolicLink(name, to: metadata.linkTarget ?? [])
        _ = try settingOwner(metadata, path) {
            try parent.setOwner(of: name, userID: metadata.userID, groupID: metadata.groupID)
        }
        for attribute in metadata.extendedAttributes {
            try permitting(attribute, path) {
                try parent.setExtendedAttribute(of: name, attribute.name, attribute.value)
            }
        }
        try permitting(.mode, path) {
            try parent.setModificationTime(
                of: name, seconds: metadata.modificationSeconds, nanoseconds: metadata.modificationNanoseconds)
        }
    }
}
