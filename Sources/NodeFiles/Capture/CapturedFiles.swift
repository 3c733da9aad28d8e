import HostIO
import SealedArchive
import SystemPackage

/// The files that went into an archive, with the contents of those that will be judged.
///
/// What is judged is thus what was sealed, whatever became of the files meanwhile. What is not in the archive, or was not
/// kept of it, is sought where ``fallback`` has it.
///
/// Kept contents may be keys: they are in locked pages and wiped with this object. Used by one thread at a time.
public final class CapturedFiles {
    /// What judging needs of a file.
    public enum Need: Sendable {
        /// Nothing, unless something names it.
        case nothing
        /// That it is there.
        case presence
        /// Its contents too.
        case contents
    }

    /// Contents of a file that are at hand.
    private indirect enum Contents {
        case held(SecretBytes)
        case stored(() throws -> any RandomAccessBytes)
    }

    /// Small, for there may be very many.
    private enum Entry {
        case directory
        case file(byteCount: Int, Contents?)
        case hardLink(target: String)
        case symbolicLink(target: String)

        init(_ kind: EntryKind, byteCount: Int, linkTarget: @autoclosure () -> String, _ contents: Contents?) {
            switch kind {
            case .directory: self = .directory
            case .file: self = .file(byteCount: byteCount, contents)
            case .hardLink: self = .hardLink(target: String(linkTarget().dropFirst(ArchiveFormat.filesPrefix.count)))
            case .symbolicLink: self = .symbolicLink(target: linkTarget())
            }
        }
    }

    /// The most bytes that are kept of all files together: locked memory is scarce.
    private static let heldByteLimit = 16 << 20
    private static let linkCountLimit = 40

    private let fallback: (any FileSource)?
    private let need: (_ path: String, _ role: String) -> Need
    private var entries: [String: Entry] = [:]
    /// The names in each directory, without order; its path has no slash at its end, not even the root's.
    private var children: [String: [String]] = [:]
    private var heldByteCount = 0

    /// No files yet.
    ///
    /// - Parameters:
    ///   - fallback: where what is not here is looked for.
    ///   - need: what is kept of a file; its path on the node, and its class.
    public init(
        fallback: (any FileSource)? = nil, keeping need: @escaping (_ path: String, _ role: String) -> Need
    ) {
        self.fallback = fallback
        self.need = need
    }

    /// The files of an archive, read from it as they are needed.
    ///
    /// - Throws: errors of reading the manifest.
    public convenience init(of reader: ArchiveReader) throws {
        self.init { _, _ in .nothing }
        for entry in try reader.readManifest().entries {
            guard entry.path.hasPrefix(ArchiveFormat.filesPrefix), let kind = entry.kind.known else { continue }
            let path = String(entry.path.dropFirst(ArchiveFormat.filesPrefix.count))
            let noted = Entry(
                kind, byteCount: entry.size, linkTarget: entry.linkTarget ?? "", .stored { try reader.bytes(of: entry) }
            )
            insert(noted, at: path)
        }
    }

    /// Notes an entry that went into the archive.
    ///
    /// - Parameters:
    ///   - isNamed: whether something names it, not only a directory above it.
    ///   - bytes: the contents as they were sealed; nil where they were not at hand as a whole.
    func note(_ metadata: EntryMetadata, role: String, isNamed: Bool, bytes: UnsafeRawBufferPointer?) {
        guard let path = String(validating: metadata.sourcePath, as: UTF8.self), path.hasPrefix("/") else { return }
        let need = need(path, role)
        if need == .nothing, metadata.kind == .file, !isNamed { return }
        var contents: Contents?
        if let bytes, heldByteCount + bytes.count <= Self.heldByteLimit, need == .contents {
            heldByteCount += bytes.count
            contents = .held(SecretBytes(copying: bytes))
        }
        let entry = Entry(
            metadata.kind, byteCount: bytes?.count ?? metadata.byteCount,
            linkTarget: display(metadata.linkTarget ?? []), contents)
        insert(entry, at: path)
    }

    private func insert(_ entry: Entry, at path: String) {
        guard entries.updateValue(entry, forKey: path) == nil, path != "/" else { return }
        guard let slash = path.utf8.lastIndex(of: 0x2F) else { return }
        children[String(path[..<slash]), default: []].append(String(path[path.utf8.index(after: slash)...]))
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
            switch entries[here] {
            case nil: return nil
            case .symbolicLink(let target):
                linkCount += 1
                guard linkCount <= Self.linkCountLimit else { return nil }
                if target.hasPrefix("/") { stack = [] }
                pending += target.split(separator: "/").reversed()
            case .hardLink(let target) where pending.isEmpty: return resolve(target)
            case .directory, .file, .hardLink: stack.append(part)
            }
        }
        let real = "/" + stack.joined(separator: "/")
        return entries[real].map { (real, $0) }
    }

    /// The contents of a file here; nil if they were not kept.
    private func held(_ path: String, _ body: (UnsafeRawBufferPointer) -> [UInt8]) throws -> [UInt8]? {
        guard case (_, .file(_, let contents))? = resolve(path) else { return nil }
        switch contents {
        case nil: return nil
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
        switch entry {
        case .directory: return .directory
        case .file(let byteCount, _): return .file(byteCount: byteCount)
        case .hardLink, .symbolicLink: return .missing
        }
    }

    /// The bytes of a file; the caller wipes them.
    public func bytes(of path: String, limitByteCount: Int) throws -> [UInt8] {
        if case (_, .file(let byteCount, _))? = resolve(path), byteCount > limitByteCount {
            throw Failure(.failed, "\(quoted(path)) has \(byteCount) bytes, too many for what it should be")
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

    /// Whether the contents of a file can be had; those that went into an archive could.
    public func checkReadable(_ path: String) throws {
        if case (_, .file)? = resolve(path) { return }
        guard let fallback else { throw missing(path) }
        try fallback.checkReadable(path)
    }

    /// The names in a directory that are valid UTF-8, sorted.
    public func names(in path: String) throws -> [String] {
        if case (let real, .directory)? = resolve(path) {
            return children[real == "/" ? "" : real, default: []].sorted()
        }
        guard let fallback else { throw missing(path) }
        return try fallback.names(in: path)
    }
}
