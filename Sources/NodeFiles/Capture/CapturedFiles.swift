import HostIO
import SealedArchive
import SystemPackage

/// The files that went into an archive, with the contents of those that will be judged.
///
/// What is judged is thus what was sealed, whatever became of the files meanwhile. What is not in the archive, or whose
/// contents were not kept, is read where ``fallback`` has it.
///
/// Kept contents may be keys: they are in locked pages and wiped with this object. Used by one thread at a time.
public final class CapturedFiles {
    /// Contents of an entry.
    private enum Contents {
        case none
        case held(SecretBytes)
        case stored(() throws -> any RandomAccessBytes)
    }

    private struct Entry {
        var kind: EntryKind
        var byteCount = 0
        var linkTarget = ""
        var contents = Contents.none
    }

    /// The most bytes that are kept of all files together: locked memory is scarce.
    private static let heldByteLimit = 16 << 20
    private static let linkCountLimit = 40

    private let fallback: (any FileSource)?
    private let keeps: (_ path: String, _ role: String) -> Bool
    private var entries: [String: Entry] = [:]
    private var children: [String: Set<String>] = [:]
    private var heldByteCount = 0

    /// No files yet.
    ///
    /// - Parameters:
    ///   - fallback: where what is not here is looked for.
    ///   - keeps: whether the contents of a file are kept; its path on the node, and its class.
    public init(
        fallback: (any FileSource)? = nil, keeping keeps: @escaping (_ path: String, _ role: String) -> Bool
    ) {
        self.fallback = fallback
        self.keeps = keeps
    }

    /// The files of an archive, read from it as they are needed.
    ///
    /// - Throws: errors of reading the manifest.
    public convenience init(of reader: ArchiveReader) throws {
        self.init { _, _ in false }
        for entry in try reader.readManifest().entries {
            guard entry.path.hasPrefix(ArchiveFormat.filesPrefix), let kind = entry.kind.known else { continue }
            let path = String(entry.path.dropFirst(ArchiveFormat.filesPrefix.count))
            let target = entry.linkTarget ?? ""
            var noted = Entry(kind: kind, byteCount: entry.size, linkTarget: target)
            noted.contents = .stored { try reader.bytes(of: entry) }
            insert(noted, at: path)
        }
    }

    /// Notes an entry that went into the archive.
    ///
    /// - Parameter bytes: the contents as they were sealed; nil where they were not at hand as a whole.
    func note(_ metadata: EntryMetadata, role: String, bytes: UnsafeRawBufferPointer?) {
        guard let path = String(validating: metadata.sourcePath, as: UTF8.self), path.hasPrefix("/") else { return }
        var entry = Entry(kind: metadata.kind, byteCount: bytes?.count ?? metadata.byteCount)
        entry.linkTarget = display(metadata.linkTarget ?? [])
        if let bytes, heldByteCount + bytes.count <= Self.heldByteLimit, keeps(path, role) {
            heldByteCount += bytes.count
            entry.contents = .held(SecretBytes(copying: bytes))
        }
        insert(entry, at: path)
    }

    private func insert(_ entry: Entry, at path: String) {
        entries[path] = entry
        if path != "/" { children[parentPath(path), default: []].insert(lastName(path)) }
    }

    /// The real path that a path leads to and what is there; nil if that is not among the files.
    private func resolve(_ path: String) -> (path: String, entry: Entry)? {
        var pending = Array(path.split(separator: "/").reversed())
        var stack: [Substring] = []
        var linkCount = 0
        while let part = pending.popLast() {
            if part == "." { continue }
            if part == ".." {
                _ = stack.popLast()
                continue
            }
            let here = "/" + (stack + [part]).joined(separator: "/")
            guard let entry = entries[here] else { return nil }
            if entry.kind == .symbolicLink {
                linkCount += 1
                guard linkCount <= Self.linkCountLimit else { return nil }
                if entry.linkTarget.hasPrefix("/") { stack = [] }
                pending += entry.linkTarget.split(separator: "/").reversed()
            } else if entry.kind == .hardLink, pending.isEmpty {
                return resolve(String(entry.linkTarget.dropFirst(ArchiveFormat.filesPrefix.count)))
            } else {
                stack.append(part)
            }
        }
        let real = "/" + stack.joined(separator: "/")
        return entries[real].map { (real, $0) }
    }

    /// The contents of a file here; nil if they were not kept.
    private func held(_ path: String, _ body: (UnsafeRawBufferPointer) -> [UInt8]) throws -> [UInt8]? {
        guard let (_, entry) = resolve(path), entry.kind == .file else { return nil }
        switch entry.contents {
        case .none: return nil
        case .held(let bytes): return bytes.withUnsafeBytes(body)
        case .stored(let open):
            let stored = try open()
            var bytes = try stored.bytes(at: 0, count: min(stored.byteCount, 64 << 20))
            defer { bytes.wipe() }
            return bytes.withUnsafeBytes(body)
        }
    }

    private func missing(_ path: String) -> SystemCallError {
        SystemCallError("open", path, errno: .noSuchFileOrDirectory)
    }
}

extension CapturedFiles: FileSource {
    /// What an absolute path leads to.
    public func find(_ path: String) -> FoundFile {
        guard let (_, entry) = resolve(path) else { return fallback?.find(path) ?? .missing }
        switch entry.kind {
        case .directory: return .directory
        case .file, .hardLink: return .file(byteCount: entry.byteCount)
        case .symbolicLink: return .missing
        }
    }

    /// The bytes of a file; the caller wipes them.
    public func bytes(of path: String, limitByteCount: Int) throws -> [UInt8] {
        if let (_, entry) = resolve(path), entry.kind == .file, entry.byteCount > limitByteCount {
            throw Failure(.failed, "\(quoted(path)) has \(entry.byteCount) bytes, too many for what it should be")
        }
        if let bytes = try held(path, { Array($0) }) { return bytes }
        guard let fallback else { throw missing(path) }
        return try fallback.bytes(of: path, limitByteCount: limitByteCount)
    }

    /// The first bytes of a file, fewer if it ends before.
    public func beginning(of path: String, byteCount: Int) throws -> [UInt8] {
        if let bytes = try held(path, { Array($0.prefix(byteCount)) }) { return bytes }
        guard let fallback else { throw missing(path) }
        return try fallback.beginning(of: path, byteCount: byteCount)
    }

    /// The names in a directory that are valid UTF-8, sorted.
    public func names(in path: String) throws -> [String] {
        if let (real, entry) = resolve(path), entry.kind == .directory { return children[real, default: []].sorted() }
        guard let fallback else { throw missing(path) }
        return try fallback.names(in: path)
    }
}
