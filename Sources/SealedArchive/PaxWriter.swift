internal import CArchive
import FoundationEssentials
import HostIO

#if canImport(Glibc)
    import Glibc
#endif

/// Writes a pax tar (POSIX.1-2001 `pax` interchange format) through libarchive, unbuffered.
///
/// Every byte of the tar goes to `output` before the call that made it returns. Not safe for use by two threads.
final class PaxWriter {
    /// Takes the next bytes of the tar.
    typealias Output = (UnsafeRawBufferPointer) throws -> Void

    private let archive: OpaquePointer
    private let output: Output
    private var outputError: (any Error)?
    /// The names of attributes that the header which is being written still lacks.
    private var attributeKeywords: [AttributeKeyword] = []
    /// The number of bytes of the tar so far.
    private(set) var byteCount = 0

    /// libarchive takes names for UTF-8 only in a UTF-8 locale; in the C locale it would mark them as binary, which
    /// GNU tar warns of.
    private static let nameLocale: Void = { _ = setlocale(LC_CTYPE, "C.UTF-8") }()

    init(output: @escaping Output) throws {
        Self.nameLocale
        guard let archive = archive_write_new() else { throw Failure(.failed, "out of memory for a tar writer") }
        self.archive = archive
        self.output = output
        archive_write_set_format_pax(archive)
        // Besides it libarchive would write each attribute in a form of its own, which GNU tar warns of.
        archive_write_set_format_option(archive, "pax", "xattrheader", "SCHILY")
        // Blocking would copy every byte and delay the offsets that the manifest records.
        archive_write_set_bytes_per_block(archive, 0)
        archive_write_set_bytes_in_last_block(archive, 1)
        let result = archive_write_open(
            archive, Unmanaged.passUnretained(self).toOpaque(), nil,
            { _, context, bytes, count in
                guard let context else { return -1 }
                return Unmanaged<PaxWriter>.fromOpaque(context).takeUnretainedValue().take(bytes, count)
            }, nil)
        try check(Int(result), "start")
    }

    deinit {
        // Freeing alone would fill an unfinished member up with zeros, gigabytes of them, and end the tar.
        archive_write_fail(archive)
        archive_write_free(archive)
    }

    /// Writes the header of a member; its bytes follow by ``write(_:)``.
    func begin(_ metadata: EntryMetadata) throws {
        guard let entry = archive_entry_new() else { throw Failure(.failed, "out of memory for a tar entry") }
        defer { archive_entry_free(entry) }
        fill(entry, metadata)
        // For names that are no UTF-8 libarchive 3.6 looks at errno, and what an earlier call left there may be ENOMEM.
        errno = 0
        try check(Int(archive_write_header(archive, entry)), metadata.displayPath)
        guard attributeKeywords.isEmpty else {
            throw Failure(.failed, "tar: the attributes of \(quoted(metadata.displayPath)) could not be named")
        }
    }

    /// Writes the next bytes of the member.
    func write(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes
        while !rest.isEmpty {
            let count = archive_write_data(archive, rest.baseAddress, rest.count)
            try check(count, "data")
            // libarchive drops what goes past the size in the header.
            guard count > 0 else { throw Failure(.failed, "tar: a member got more bytes than its header says") }
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }

    /// Ends the member, padded to whole blocks of 512 bytes.
    func end() throws { try check(Int(archive_write_finish_entry(archive)), "end of a member") }

    /// Ends the tar with its two zero blocks.
    func finish() throws { try check(Int(archive_write_close(archive)), "end") }

    private func take(_ bytes: UnsafeRawPointer?, _ count: Int) -> Int {
        do {
            let piece = UnsafeRawBufferPointer(start: bytes, count: count)
            if !attributeKeywords.isEmpty, let named = AttributeKeyword.fill(attributeKeywords, into: piece) {
                attributeKeywords = []
                try named.withUnsafeBytes { try output($0) }
            } else {
                try output(piece)
            }
            byteCount += count
            return count
        } catch {
            outputError = error
            return -1
        }
    }

    private func check(_ result: Int, _ subject: String) throws {
        if let outputError { throw outputError }
        guard result < 0, result != Int(ARCHIVE_WARN) else { return }
        let reason = archive_error_string(archive).map { String(cString: $0) } ?? "unknown error"
        throw Failure(.failed, "tar: \(quoted(subject)): \(reason)")
    }

    private func fill(_ entry: OpaquePointer, _ metadata: EntryMetadata) {
        setPath(metadata.path) { archive_entry_set_pathname(entry, $0) }
        let type: mode_t
        switch metadata.kind {
        case .file, .hardLink: type = S_IFREG
        case .directory: type = S_IFDIR
        case .symbolicLink: type = S_IFLNK
        }
        archive_entry_set_filetype(entry, UInt32(type))
        archive_entry_set_perm(entry, mode_t(metadata.mode))
        archive_entry_set_size(entry, Int64(metadata.byteCount))
        archive_entry_set_uid(entry, Int64(metadata.userID))
        archive_entry_set_gid(entry, Int64(metadata.groupID))
        if let name = metadata.userName { archive_entry_set_uname(entry, name) }
        if let name = metadata.groupName { archive_entry_set_gname(entry, name) }
        let time = PaxTime(seconds: metadata.modificationSeconds, nanoseconds: metadata.modificationNanoseconds).written
        archive_entry_set_mtime(entry, time_t(time.seconds), time.nanoseconds)
        if let target = metadata.linkTarget {
            setPath(target) {
                if metadata.kind == .hardLink {
                    archive_entry_set_hardlink(entry, $0)
                } else {
                    archive_entry_set_symlink(entry, $0)
                }
            }
        }
        // libarchive writes the last one first.
        let keywords = metadata.extendedAttributes.map { AttributeKeyword(name: $0.name) }
        for (attribute, keyword) in zip(metadata.extendedAttributes, keywords).reversed() {
            attribute.value.withUnsafeBytes {
                archive_entry_xattr_add_entry(entry, keyword.placeholder, $0.baseAddress, $0.count)
            }
        }
        attributeKeywords = keywords
    }
}

/// Lends `path` as a C string of the same bytes.
private func setPath(_ path: [UInt8], _ body: (UnsafePointer<CChar>) -> Void) {
    (path + [0]).withUnsafeBufferPointer { bytes in
        bytes.withMemoryRebound(to: CChar.self) { characters in
            if let base = characters.baseAddress { body(base) }
        }
    }
}
