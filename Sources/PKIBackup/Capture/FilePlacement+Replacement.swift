import FoundationEssentials
import HostIO
import SealedArchive
import SystemPackage

extension FilePlacement {
    /// A directory's place: there already, made, or made in the place of something else that is kept aside.
    func placeDirectory(
        _ name: EntryName, _ names: [EntryName], in parent: OpenDirectory
    ) throws -> OpenDirectory {
        if replacement != nil, let existing = try parent.existingAttributes(of: name), existing.kind != .directory {
            try keepAside(names, existing, in: parent)
            try parent.removeFile(name)
            counts.replacedCount += 1
        }
        if try parent.makeDirectoryIfAbsent(name) { madeDirectories.insert(names) }
        return try parent.openDirectory(name)
    }

    /// Makes the member beside its place and renames it there, unless the same is there already.
    func replace(
        _ names: [EntryName], _ member: ArchiveMember, in parent: OpenDirectory,
        _ inspect: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        guard let name = names.last,
            let temporaryName = EntryName(".etcd-snap-\(UInt64.random(in: .min ... .max))".utf8)
        else { return }
        do {
            let isDatabase = try make(temporaryName, member, in: parent, inspect)
            databases.note(names, isDatabase: isDatabase)
            let existing = try parent.existingAttributes(of: name)
            if let existing {
                if try parent.isSame(name, existing, as: temporaryName, isLink: member.metadata.kind == .hardLink) {
                    counts.unchangedCount += 1
                    databases.noteUnchanged(names)
                    return try parent.removeFile(temporaryName)
                }
                guard existing.kind != .directory else {
                    throw Failure(
                        .failed,
                        "\(quoted(parent.path(of: name))) is a directory where the archive has a \(member.metadata.kind)",
                        hint: "move the directory away")
                }
                try keepAside(names, existing, in: parent)
            }
            if isDatabase { try keepJournalsAside(of: names, in: parent) }
            try parent.rename(temporaryName, over: name)
            let isReplacement = existing != nil || databases.isKeptAside(names)
            if isReplacement { counts.replacedCount += 1 } else { counts.createdCount += 1 }
        } catch {
            try? parent.removeFile(temporaryName)
            throw error
        }
    }

    // MARK: What was there

    /// Keeps what is about to be replaced below ``Replacement/keptPath``, durably.
    func keepAside(_ names: [EntryName], _ existing: EntryAttributes, in parent: OpenDirectory) throws {
        guard let name = names.last, let replacement else { return }
        guard let kept = EntryName.components(of: replacement.keptPath.utf8) else {
            throw Failure(
                .usage, "\(quoted(replacement.keptPath)) is not a path below the root", hint: "name another one")
        }
        let system = try kept.dropLast(2).reduce(root) { try $0.makeDirectoryForEverybody($1) }
        let directory = try (kept.suffix(2) + names.dropLast()).reduce(system) { try $0.makeDirectory($1) }
        switch existing.kind {
        case .symbolicLink:
            var metadata = try metadata(of: existing, parent.extendedAttributes(of: name))
            metadata.linkTarget = try parent.readLink(name)
            try makeSymbolicLink(name, metadata, in: directory)
        case .file: try keepFile(name, existing, in: parent, to: directory)
        case .directory, .fifo, .socket, .device:
            throw Failure(
                .failed, "\(quoted(parent.path(of: name))) is a \(existing.kind), which is not replaced",
                hint: "remove it")
        }
        try directory.sync()
    }

    /// By a further name where that is possible, else by a copy: what is kept may be on another file system.
    private func keepFile(
        _ name: EntryName, _ existing: EntryAttributes, in parent: OpenDirectory, to directory: OpenDirectory
    ) throws {
        do {
            return try directory.makeHardLink(name, to: name, in: parent)
        } catch let error where [.improperLink, .tooManyLinks, .notPermitted, .notSupported].contains(error.errno) {}
        try copyFile(name, in: parent, to: directory)
        try directory.syncFileSystem()
    }

    private func copyFile(_ name: EntryName, in parent: OpenDirectory, to directory: OpenDirectory) throws {
        let source = try parent.openFile(name)
        defer { try? source.close() }
        let target = try directory.createFile(name)
        defer { try? target.close() }
        let paths = (source: parent.path(of: name), target: directory.path(of: name))
        let sink = DescriptorSink(target, name: paths.target)
        let buffer = ByteBlock(capacity: 1 << 20)
        repeat {
            try buffer.fill { try readSome(source, name: paths.source, into: $0) }
            try buffer.withUnsafeBytes { try sink.write($0) }
        } while buffer.count > 0
        let attributes = try attributesOf(source, name: paths.source)
        try setAttributes(
            of: target, metadata(of: attributes, extendedAttributes(of: source, name: paths.source)),
            path: paths.target)
    }

    private func metadata(
        of attributes: EntryAttributes, _ extendedAttributes: [(name: String, value: [UInt8])]
    ) -> EntryMetadata {
        var metadata = EntryMetadata(
            path: [], kind: attributes.kind == .symbolicLink ? .symbolicLink : .file, mode: attributes.mode,
            modifiedAt: Date(timeIntervalSince1970: 0))
        metadata.userID = attributes.userID
        metadata.groupID = attributes.groupID
        metadata.modificationSeconds = attributes.modificationSeconds
        metadata.modificationNanoseconds = attributes.modificationNanoseconds
        metadata.extendedAttributes = extendedAttributes.map {
            ExtendedAttribute(name: $0.name, value: Data($0.value))
        }
        return metadata
    }
}

extension OpenDirectory {
    /// Opens or makes a directory that belongs to the system, such as `/var/lib`.
    func makeDirectoryForEverybody(_ name: EntryName) throws -> OpenDirectory {
        let isMade = try makeDirectoryIfAbsent(name)
        let directory = try openDirectory(name)
        if isMade { try OpenFileAttributes(of: directory.descriptor, name: directory.path).setMode(0o755) }
        return directory
    }

    /// What an entry is, nil if there is none.
    func existingAttributes(of name: EntryName) throws -> EntryAttributes? {
        do {
            return try attributes(of: name)
        } catch let error where error.errno == .noSuchFileOrDirectory {
            return nil
        }
    }

    /// Whether two entries are one, or alike in kind, owner, mode, time, extended attributes and contents.
    ///
    /// - Parameter isLink: whether they must be one.
    func isSame(
        _ name: EntryName, _ existing: EntryAttributes, as other: EntryName, isLink: Bool
    ) throws -> Bool {
        let made = try attributes(of: other)
        if isLink || made.identity == existing.identity { return made.identity == existing.identity }
        guard made.kind == existing.kind, made.mode == existing.mode, made.userID == existing.userID,
            made.groupID == existing.groupID, made.byteCount == existing.byteCount,
            made.modificationSeconds == existing.modificationSeconds,
            made.modificationNanoseconds == existing.modificationNanoseconds
        else { return false }
        let attributes = (try extendedAttributes(of: name), try extendedAttributes(of: other))
        guard attributes.0.elementsEqual(attributes.1, by: ==) else { return false }
        return made.kind == .symbolicLink ? try readLink(name) == readLink(other) : try hasSameBytes(name, other)
    }

    private func hasSameBytes(_ name: EntryName, _ other: EntryName) throws -> Bool {
        let descriptors = (try openFile(name), try openFile(other))
        defer {
            try? descriptors.0.close()
            try? descriptors.1.close()
        }
        let buffers = (ByteBlock(capacity: 256 << 10), ByteBlock(capacity: 256 << 10))
        var offset = 0
        repeat {
            try buffers.0.fill { try readFully(descriptors.0, name: path(of: name), at: offset, into: $0) }
            try buffers.1.fill { try readFully(descriptors.1, name: path(of: other), at: offset, into: $0) }
            guard buffers.0.unownedBytes.elementsEqual(buffers.1.unownedBytes) else { return false }
            offset += buffers.0.count
        } while buffers.0.count > 0
        return true
    }
}
