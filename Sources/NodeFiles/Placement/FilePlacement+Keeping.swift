import FoundationEssentials
import HostIO
import SealedArchive
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

extension EntryAttributes {
    /// Whether it is the same file, with the same contents and attributes as far as these tell.
    fileprivate func isUnchanged(_ other: EntryAttributes) -> Bool {
        var other = other
        // A further name changes both.
        (other.changeNanoseconds, other.linkCount) = (changeNanoseconds, linkCount)
        return self == other
    }
}

extension FilePlacement {
    /// Keeps everything that is about to be replaced, before the first rename: where it has to be copied, there may be no
    /// room for it.
    func keepAll() throws {
        for entry in staged {
            let parent = try parent(of: entry.names)
            try keepAhead(entry.names, in: parent)
            guard entry.isDatabase else { continue }
            for journal in databases.foreignJournals(of: entry.names) { try keepAhead(journal, in: parent) }
        }
    }

    private func keepAhead(_ names: [EntryName], in parent: OpenDirectory) throws {
        guard keptAhead[names] == nil, let name = names.last, let existing = try parent.existingAttributes(of: name),
            existing.kind == .file || existing.kind == .symbolicLink
        else { return }
        try keepAside(names, existing, in: parent)
        keptAhead[names] = existing
    }

    /// Removes what was kept ahead and was not replaced in the end.
    func removeKeptAhead() {
        guard !keptAhead.isEmpty else { return }
        for names in keptAhead.keys { try? removeKept(names) }
        keptAhead = [:]
        removeUnreplaced()
    }

    private func removeKept(_ names: [EntryName]) throws {
        guard let keptPlace, let name = names.last else { return }
        try names.dropLast().reduce(keptPlace) { try $0.openDirectory($1) }.removeFile(name)
    }

    /// Keeps what is about to be replaced in the ``KeptDirectory``, durably.
    func keepAside(_ names: [EntryName], _ existing: EntryAttributes, in parent: OpenDirectory) throws {
        guard let name = names.last else { return }
        if let before = keptAhead.removeValue(forKey: names) {
            if before.isUnchanged(existing) { return }
            try removeKept(names)
        }
        let directory = try makeKeptDirectory(names.dropLast())
        switch existing.kind {
        case .symbolicLink:
            var metadata = try metadata(of: existing, parent.extendedAttributes(of: name))
            metadata.linkTarget = try parent.readLink(name)
            try makeSymbolicLink(name, metadata, in: directory, path: directory.path(of: name))
        case .file: try keepFile(name, existing, in: parent, to: directory)
        case .directory, .fifo, .socket, .device:
            throw Failure(
                .failed, "\(quoted(parent.path(of: name))) is a \(existing.kind), which is not replaced",
                hint: "remove it")
        }
        try directory.sync()
    }

    /// The directory that keeps what was in one of the root's, with those above it durable in their parents.
    private func makeKeptDirectory(_ names: some Collection<EntryName>) throws -> OpenDirectory {
        try names.reduce(makeKeptPlace()) { parent, name in
            if try parent.makeDirectoryIfAbsent(name) { try parent.sync() }
            return try parent.openDirectory(name)
        }
    }

    private func makeKeptPlace() throws -> OpenDirectory {
        if let keptPlace { return keptPlace }
        guard let kept = journal?.kept else { preconditionFailure("only a placement that replaces keeps anything") }
        let (directory, name) = try kept.makePlace(at: Date())
        do {
            try journal?.note(place: name)
        } catch {
            _ = kept.removeUnreplaced(in: name)
            throw error
        }
        keptPath = "\(kept.realPath)/\(name)"
        keptPlace = directory
        return directory
    }

    /// Keeps nothing of what was not replaced in the end.
    func removeUnreplaced() {
        guard let kept = journal?.kept, let path = keptPath, let name = kept.place(atPath: path.utf8),
            kept.removeUnreplaced(in: name)
        else { return }
        (keptPath, keptPlace) = (nil, nil)
    }

    /// By a further name where that is possible, else by a copy: what is kept may be on another file system.
    private func keepFile(
        _ name: EntryName, _ existing: EntryAttributes, in parent: OpenDirectory, to directory: OpenDirectory
    ) throws {
        do {
            return try directory.makeHardLink(name, to: name, in: parent)
        } catch let error
            where [.improperLink, .tooManyLinks, .notPermitted, .notSupported, .noFunction].contains(error.errno)
        {}
        // Under a name that nobody takes for a file that is kept whole.
        let temporaryName = StagedName.random()
        do {
            try copyFile(name, in: parent, to: temporaryName, in: directory, path: directory.path(of: name))
            try directory.syncFileSystem()
            try directory.rename(temporaryName, to: name, replacing: false)
        } catch {
            try? directory.removeFile(temporaryName)
            throw error
        }
    }

    /// - Parameter path: what the copy will be called, for messages.
    func copyFile(
        _ name: EntryName, in parent: OpenDirectory, to newName: EntryName, in directory: OpenDirectory, path: String
    ) throws {
        let source = try parent.openFile(name)
        defer { try? source.close() }
        let target = try directory.createFile(newName)
        defer { try? target.close() }
        let paths = (source: parent.path(of: name), target: path)
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
        if journal != nil { try retryingInterrupts("sync", path) { fsync(target.rawValue) } }
    }

    func metadata(
        of attributes: EntryAttributes, _ extendedAttributes: [(name: [UInt8], value: [UInt8])]
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
