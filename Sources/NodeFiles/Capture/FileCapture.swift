import FoundationEssentials
import HostIO
import SealedArchive
import SystemPackage

/// Captures files and directories of a node into an archive, under `files/<absolute path>`.
///
/// Walks follow no symbolic link below a selected path; a selected path
/// that is itself a link is captured as a link together with what it points to. Files that change are read again;
/// databases of SQLite, bbolt and OVSDB are copied as they are at one moment. What can't be read becomes a finding, and the
/// rest is captured. Only errors of the archive end a capture.
public final class FileCapture {
    /// Told after each file how many files and bytes were captured so far.
    public typealias Progress = (_ fileCount: Int, _ byteCount: Int) -> Void

    private let walk: CaptureWalk
    private let members: MemberQueue
    private let progress: Progress
    private var owners = OwnerNames()
    /// The archive path of the first name of a file, and how many of its names are still to come.
    private var firstNames: [FileIdentity: (path: [UInt8], restCount: Int)] = [:]
    private let content: FileContent
    private let classify: WalkedEntry.Classifier
    private let captured: CapturedFiles?
    private var hasUnreadAttributes = false

    /// A capture into `writer` of the files of the node at `root`.
    ///
    /// - Parameters:
    ///   - exclude: patterns of absolute paths (`fnmatch(3)`, where `*` also matches slashes) that are left out, with what is
    ///     below.
    ///   - excludedPaths: paths that are left out with what is below, each with the reason that is reported.
    ///   - captured: is told what went into the archive.
    ///   - classify: what a file is: the `role` of its entry.
    public init(
        into writer: ArchiveWriter, root: NodeRoot = NodeRoot(), exclude: [String] = [],
        excludedPaths: [SkippedPath] = [], captured: CapturedFiles? = nil, classify: @escaping WalkedEntry.Classifier,
        progress: @escaping Progress = { _, _ in }
    ) {
        members = MemberQueue(writer)
        self.progress = progress
        walk = CaptureWalk(root: root, exclude: exclude, excludedPaths: excludedPaths)
        self.classify = classify
        content = FileContent(writer: writer, members: members, captured: captured, classify: classify)
        self.captured = captured
    }

    /// What was done so far.
    public var report: CaptureReport { walk.report }

    /// Captures what is selected with everything below it, and the directories above without their other entries.
    ///
    /// A path that was captured before is not captured again.
    ///
    /// - Throws: errors of the archive only.
    public func capture(_ selection: [SelectedPath]) throws {
        do {
            try walk.run(selection) { try take($0) }
        } catch {
            // The archive is given up, which nobody may write to any more then.
            try? members.flush()
            throw error
        }
        try archiving { try members.flush() }
    }

    private func take(_ entry: WalkedEntry) throws -> [EntryName] {
        var metadata = try metadata(entry)
        guard metadata.kind == .file else {
            try add(metadata, entry.role, isNamed: entry.isNamed)
            return []
        }
        if entry.attributes.linkCount > 1, let first = firstName(of: entry.attributes, metadata.path) {
            metadata.kind = .hardLink
            metadata.linkTarget = first
            metadata.byteCount = 0
            let role = classify(entry, UnsafeRawBufferPointer(start: nil, count: 0))
            try add(metadata, role, isNamed: entry.isNamed)
            return []
        }
        return try takeFile(entry, metadata)
    }

    private func add(_ metadata: EntryMetadata, _ role: String, isNamed: Bool) throws {
        try archiving { try members.add(metadata, role: role, source: metadata.sourcePath) }
        captured?.note(metadata, role: role, isNamed: isNamed, bytes: nil)
    }

    private func takeFile(_ entry: WalkedEntry, _ metadata: EntryMetadata) throws -> [EntryName] {
        let outcome: FileContent.Outcome
        do {
            outcome = try content.add(entry, metadata)
        } catch let error as SystemCallError {
            // Without its bytes there is nothing that a second name could be a link to.
            firstNames[entry.attributes.identity] = nil
            throw error
        }
        record(outcome, entry)
        guard let lock = outcome.lock else { return [] }
        // The lock is held until what belongs to the database is copied too.
        return try withExtendedLifetime(lock) { try takeJournals(of: entry) }
    }

    private func record(_ outcome: FileContent.Outcome, _ entry: WalkedEntry) {
        if let error = outcome.attributesError { recordUnreadAttributes(error, entry) }
        recordLeftOut(outcome.leftOutAttributes, entry)
        walk.report.fileCount += 1
        walk.report.byteCount += outcome.byteCount
        walk.report.fileCounts[outcome.role, default: 0] += 1
        if let error = outcome.readError {
            walk.find(error, display(entry.path))
        } else if outcome.isTorn {
            walk.find(
                .warning, "file-changed", display(entry.path),
                outcome.databaseName.map {
                    "is a database of \($0) that was written meanwhile: the copy is possibly torn"
                }
                    ?? "changed each time it was read",
                "the copy may be torn; stop its writer or exclude it")
        }
        progress(walk.report.fileCount, walk.report.byteCount)
    }

    /// SQLite's log and journal belong to the database; its shared memory is made anew when the database is opened.
    private func takeJournals(of entry: WalkedEntry) throws -> [EntryName] {
        for ending in ["-wal", "-journal"] {
            guard let name = EntryName(entry.name.bytes + Array(ending.utf8)),
                let attributes = try entry.directory.existingAttributes(of: name), attributes.kind == .file
            else { continue }
            var journal = entry
            journal.name = name
            journal.attributes = attributes
            journal.path = entry.path + Array(ending.utf8)
            record(try content.add(journal, try metadata(journal), isGrowing: true), journal)
        }
        let memory = entry.path + Array("-shm".utf8)
        if let name = EntryName(entry.name.bytes + Array("-shm".utf8)),
            try entry.directory.existingAttributes(of: name) != nil
        {
            walk.skip(memory, "shared memory of SQLite, which makes it anew")
        }
        return ["-wal", "-journal", "-shm"].compactMap { EntryName(entry.name.bytes + Array($0.utf8)) }
    }

    private func firstName(of attributes: EntryAttributes, _ path: [UInt8]) -> [UInt8]? {
        guard let (first, restCount) = firstNames[attributes.identity] else {
            firstNames[attributes.identity] = (path, attributes.linkCount - 1)
            return nil
        }
        firstNames[attributes.identity] = restCount > 1 ? (first, restCount - 1) : nil
        return first
    }

    private func metadata(_ entry: WalkedEntry) throws -> EntryMetadata {
        let attributes = entry.attributes
        let kind: EntryKind
        switch attributes.kind {
        case .directory: kind = .directory
        case .symbolicLink: kind = .symbolicLink
        default: kind = .file
        }
        var metadata = EntryMetadata(
            path: Array(ArchiveFormat.filesPrefix.utf8) + entry.path, kind: kind,
            byteCount: kind == .file ? attributes.byteCount : 0, mode: attributes.mode, modifiedAt: Self.anyDate)
        metadata.userID = attributes.userID
        metadata.groupID = attributes.groupID
        metadata.userName = owners.userName(attributes.userID)
        metadata.groupName = owners.groupName(attributes.groupID)
        metadata.modificationSeconds = attributes.modificationSeconds
        metadata.modificationNanoseconds = attributes.modificationNanoseconds
        if kind == .symbolicLink { metadata.linkTarget = try entry.directory.readLink(entry.name) }
        // Those of a file are read when it is open.
        if kind != .file {
            do throws(SystemCallError) {
                let attributes = CapturedAttributes(try entry.directory.extendedAttributes(of: entry.name))
                metadata.extendedAttributes = attributes.kept
                recordLeftOut(attributes.leftOut, entry)
            } catch {
                recordUnreadAttributes(error, entry)
            }
        }
        return metadata
    }

    /// An entry whose attributes can't be read is taken without them; told once, for what refuses one refuses all.
    private func recordUnreadAttributes(_ error: SystemCallError, _ entry: WalkedEntry) {
        guard !hasUnreadAttributes else { return }
        hasUnreadAttributes = true
        walk.find(
            .warning, "attributes-unreadable", display(entry.path),
            "\(error): it is captured without its extended attributes, and so may others be",
            "run as root, without a filter of system calls that refuses getxattr")
    }

    private func recordLeftOut(_ names: [[UInt8]], _ entry: WalkedEntry) {
        guard !names.isEmpty else { return }
        walk.find(
            .warning, "attributes-too-large", display(entry.path),
            "has more than \(CapturedAttributes.limitByteCount) bytes of extended attributes: it is captured without "
                + names.map { quoted(display($0)) }.joined(separator: ", "),
            "keep them elsewhere if they are needed")
    }

    /// Replaced by the file's own time, which has nanoseconds.
    private static let anyDate = Date(timeIntervalSince1970: 0)
}

extension EntryMetadata {
    /// The path on the node of a captured file.
    var sourcePath: [UInt8] { Array(path.dropFirst(ArchiveFormat.filesPrefix.utf8.count)) }
}
