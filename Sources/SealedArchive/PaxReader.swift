internal import CArchive
import FoundationEssentials
import HostIO

#if canImport(Glibc)
    import Glibc
#endif

/// Reads the members of a tar through libarchive.
///
/// Not safe for use by two threads at once.
final class PaxReader {
    /// Gives the next bytes of the tar, which stay valid until the next call, or nil at its end.
    typealias Input = () throws -> UnsafeRawBufferPointer?

    private let archive: OpaquePointer
    private let input: Input
    private var inputError: (any Error)?
    /// The path and the size of the current member, and how many of its bytes were given.
    private var current = (path: "", byteCount: 0)
    private var givenByteCount = 0

    init(input: @escaping Input) throws {
        guard let archive = archive_read_new() else { throw Failure(.failed, "out of memory for a tar reader") }
        self.archive = archive
        self.input = input
        archive_read_support_format_tar(archive)
        let result = archive_read_open(
            archive, Unmanaged.passUnretained(self).toOpaque(), nil,
            { _, context, buffer in
                guard let context, let buffer else { return -1 }
                return Unmanaged<PaxReader>.fromOpaque(context).takeUnretainedValue().give(buffer)
            }, nil)
        try check(result)
    }

    deinit { archive_read_free(archive) }

    /// The next member, or nil after the last.
    func next() throws -> EntryMetadata? {
        var entry: OpaquePointer?
        errno = 0  // see the writer
        let result = archive_read_next_header(archive, &entry)
        if result == ARCHIVE_EOF { return nil }
        try check(result)
        guard let entry else { return nil }
        let metadata = try metadata(entry)
        current = (metadata.displayPath, metadata.byteCount)
        givenByteCount = 0
        return metadata
    }

    /// Where the bytes of the member whose metadata was read last begin in the tar.
    var dataOffset: Int { Int(archive_filter_bytes(archive, 0)) }

    /// The next bytes of the current member, valid until the next call, or nil at its end.
    ///
    /// - Throws: ``Failure`` for a sparse member, whose size is not that of its bytes in the tar.
    func data() throws -> UnsafeRawBufferPointer? {
        var bytes: UnsafeRawPointer?
        var count = 0
        var offset: Int64 = 0
        let result = archive_read_data_block(archive, &bytes, &count, &offset)
        if result != ARCHIVE_EOF { try check(result) }
        let isAtEnd = result == ARCHIVE_EOF
        guard isAtEnd ? givenByteCount == current.byteCount : offset == givenByteCount else {
            throw Failure(
                .integrity, "tar: member \(quoted(current.path)) of \(current.byteCount) bytes has holes",
                hint: "an archive of etcd-snap holds no sparse members; this one was not made by it")
        }
        if isAtEnd { return nil }
        givenByteCount += count
        return UnsafeRawBufferPointer(start: bytes, count: count)
    }

    private func give(_ buffer: UnsafeMutablePointer<UnsafeRawPointer?>) -> Int {
        do {
            guard let bytes = try input() else { return 0 }
            buffer.pointee = bytes.baseAddress
            return bytes.count
        } catch {
            inputError = error
            return -1
        }
    }

    private func check(_ result: CInt) throws {
        if let inputError { throw inputError }
        guard result < 0, result != ARCHIVE_WARN else { return }
        let reason = archive_error_string(archive).map { String(cString: $0) } ?? "unknown error"
        throw Failure(.integrity, "tar: \(reason)")
    }

    private func metadata(_ entry: OpaquePointer) throws -> EntryMetadata {
        guard let path = archive_entry_pathname(entry).map(bytes) else {
            throw Failure(.integrity, "tar: a member has no name")
        }
        var metadata = EntryMetadata(
            path: path, kind: try kind(entry, path),
            mode: UInt16(truncatingIfNeeded: archive_entry_perm(entry) & 0o7777), modifiedAt: Date())
        // Tar writes directories with a slash at the end.
        if metadata.kind == .directory, metadata.path.last == UInt8(ascii: "/") { metadata.path.removeLast() }
        metadata.byteCount = metadata.kind == .file ? Int(archive_entry_size(entry)) : 0
        metadata.userID = UInt32(truncatingIfNeeded: archive_entry_uid(entry))
        metadata.groupID = UInt32(truncatingIfNeeded: archive_entry_gid(entry))
        metadata.userName = archive_entry_uname(entry).flatMap(ownerName)
        metadata.groupName = archive_entry_gname(entry).flatMap(ownerName)
        let time = PaxTime(read: Int64(archive_entry_mtime(entry)), Int(archive_entry_mtime_nsec(entry)))
        (metadata.modificationSeconds, metadata.modificationNanoseconds) = (time.seconds, time.nanoseconds)
        metadata.linkTarget = (archive_entry_hardlink(entry) ?? archive_entry_symlink(entry)).map(bytes)
        metadata.extendedAttributes = extendedAttributes(entry)
        return metadata
    }

    private func kind(_ entry: OpaquePointer, _ path: [UInt8]) throws -> EntryKind {
        if archive_entry_hardlink(entry) != nil { return .hardLink }
        switch mode_t(archive_entry_filetype(entry)) {
        case S_IFREG: return .file
        case S_IFDIR: return .directory
        case S_IFLNK: return .symbolicLink
        default:
            throw Failure(
                .integrity, "\(quoted(String(decoding: path, as: UTF8.self))) is neither file, directory nor link",
                hint: "an archive of etcd-snap holds no devices, pipes or sockets; this one was not made by it")
        }
    }

    private func extendedAttributes(_ entry: OpaquePointer) -> [ExtendedAttribute] {
        archive_entry_xattr_reset(entry)
        var attributes: [ExtendedAttribute] = []
        var name: UnsafePointer<CChar>?
        var value: UnsafeRawPointer?
        var count = 0
        while archive_entry_xattr_next(entry, &name, &value, &count) == ARCHIVE_OK, let name {
            let bytes = UnsafeRawBufferPointer(start: value, count: count)
            attributes.append(
                ExtendedAttribute(name: AttributeKeyword.name(SealedArchive.bytes(name)), value: Data(bytes)))
        }
        // libarchive gives the last one first.
        return attributes.reversed()
    }
}

/// An owner's name; tar writes an empty one where there is none.
private func ownerName(_ string: UnsafePointer<CChar>) -> String? {
    let name = String(cString: string)
    return name.isEmpty ? nil : name
}

private func bytes(_ string: UnsafePointer<CChar>) -> [UInt8] {
    Array(UnsafeRawBufferPointer(start: string, count: strlen(string)))
}
