import HostIO
import SystemPackage

extension OpenDirectory {
    /// Removes a staged entry, be it a directory, in which nothing is yet; without it nothing happens.
    func removeEntry(_ name: EntryName) throws {
        if try existingAttributes(of: name)?.kind == .directory { return try removeEmptyDirectory(name) }
        try removeFile(name)
    }

    /// Whether two entries are one, or alike in kind, owner, mode, time, extended attributes and contents.
    ///
    /// - Parameters:
    ///   - directory: where the other is.
    ///   - isLink: whether they must be one.
    func isSame(
        _ name: EntryName, _ existing: EntryAttributes, as other: EntryName, in directory: OpenDirectory, isLink: Bool
    ) throws -> Bool {
        let made = try directory.attributes(of: other)
        if isLink || made.identity == existing.identity { return made.identity == existing.identity }
        guard made.kind == existing.kind, made.mode == existing.mode, made.userID == existing.userID,
            made.groupID == existing.groupID, made.byteCount == existing.byteCount,
            made.modificationSeconds == existing.modificationSeconds,
            made.modificationNanoseconds == existing.modificationNanoseconds
        else { return false }
        let attributes = (try extendedAttributes(of: name), try directory.extendedAttributes(of: other))
        guard attributes.0.elementsEqual(attributes.1, by: ==) else { return false }
        if made.kind == .symbolicLink { return try readLink(name) == directory.readLink(other) }
        return try hasSameBytes(name, other, in: directory)
    }

    private func hasSameBytes(_ name: EntryName, _ other: EntryName, in directory: OpenDirectory) throws -> Bool {
        let descriptors = (try openFile(name), try directory.openFile(other))
        defer {
            try? descriptors.0.close()
            try? descriptors.1.close()
        }
        let buffers = (ByteBlock(capacity: 256 << 10), ByteBlock(capacity: 256 << 10))
        var offset = 0
        repeat {
            try buffers.0.fill { try readFully(descriptors.0, name: path(of: name), at: offset, into: $0) }
            try buffers.1.fill { try readFully(descriptors.1, name: directory.path(of: other), at: offset, into: $0) }
            guard buffers.0.unownedBytes.elementsEqual(buffers.1.unownedBytes) else { return false }
            offset += buffers.0.count
        } while buffers.0.count > 0
        return true
    }
}
