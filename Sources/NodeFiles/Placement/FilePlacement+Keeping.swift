import FoundationEssentials
import HostIO
import SealedArchive
import SystemPackage

extension FilePlacement {
    /// Keeps what is about to be replaced in the ``KeptDirectory``, durably.
    func keepAside(_ names: [EntryName], _ existing: EntryAttributes, in parent: OpenDirectory) throws {
        guard let name = names.last else { return }
        let directory = try makeKeptDirectory(names.dropLast())
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
