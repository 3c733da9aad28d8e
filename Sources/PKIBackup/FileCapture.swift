import FoundationEssentials
import HostIO
import SealedArchive
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// Which files are captured.
public struct CaptureSelection: Sendable {
    /// Absolute paths of files and directories.
    public var include: [String]
    /// Patterns of absolute paths (`fnmatch(3)`, where `*` also matches slashes) that are left out, with what is below.
    public var exclude: [String]

    /// A selection from its parts.
    public init(include: [String], exclude: [String] = []) {
        self.include = include
        self.exclude = exclude
    }
}

/// What capturing files came to.
public struct CaptureReport: Sendable {
    /// The number of regular files captured.
    public var fileCount = 0
    /// Their size in bytes.
    public var byteCount = 0
    /// What was met and not taken.
    public var skipped: [SkippedPath] = []
    /// What needs attention.
    public var findings: [Finding] = []
}

/// Captures files and directories of this host into an archive, under `files/<absolute path>`.
///
/// Walks go by directory descriptors and follow no symbolic link below a selected path; a selected path that is itself a
/// link is captured as a link together with what it points to. What can't be read becomes a finding, and the rest is
/// captured. Only errors of the archive end a capture.
public final class FileCapture {
    private let writer: ArchiveWriter
    private let exclude: [String]
    private let role: String
    private var owners = OwnerNames()
    private var capturedPaths: Set<[UInt8]> = []
    private var firstNames: [FileIdentity: [UInt8]] = [:]
    private let content: FileContent
    /// What was done so far.
    public private(set) var report = CaptureReport()

    /// A capture into `writer`; `role` is recorded with each entry.
    public init(into writer: ArchiveWriter, exclude: [String], role: String) {
        self.writer = writer
        self.exclude = exclude
        self.role = role
        content = FileContent(writer: writer)
    }

    /// Captures a path with everything below it, and the directories above it without their other entries.
    ///
    /// - Throws: errors of the archive only.
    public func capture(_ path: String) throws {
        guard let components = EntryName.components(of: path.utf8.drop { $0 == 0x2F }), path.hasPrefix("/") else {
            return find(.error, "path-unusable", path, "is not an absolute path without '..'", "correct the path")
        }
        do {
            var directory = try OpenDirectory(path: "/")
            for name in components.dropLast() {
                directory = try follow(directory, name)
            }
            guard let last = components.last else { return try captureChildren(of: directory, path: []) }
            // The real place: a restore goes through no symbolic link.
            let parent = directory.path == "/" ? [] : Array(directory.path.utf8)
            try capture(last, in: directory, parent: parent, isSelected: true)
        } catch let error as SystemCallError {
            find(error, path)
        }
    }

    /// Opens a directory above a selected path, capturing it; a symbolic link there is captured and followed.
    private func follow(_ directory: OpenDirectory, _ name: EntryName) throws -> OpenDirectory {
        let parent = directory.path == "/" ? [] : Array(directory.path.utf8)
        let path = parent + [0x2F] + name.bytes
        let attributes = try directory.attributes(of: name)
        if attributes.kind == .symbolicLink {
            let target = try resolve(path)
            try add(name, attributes, in: directory, path: path)
            let components = EntryName.components(of: target.dropFirst()) ?? []
            return try components.reduce(OpenDirectory(path: "/")) { try follow($0, $1) }
        }
        let child = try directory.openDirectory(name)
        try add(name, attributes, in: directory, path: path)
        return child
    }

    private func capture(_ name: EntryName, in directory: OpenDirectory, parent: [UInt8], isSelected: Bool) throws {
        let path = parent + [0x2F] + name.bytes
        guard !isExcluded(path) else { return }
        do {
            let attributes = try directory.attributes(of: name)
            switch attributes.kind {
            case .file, .symbolicLink: try add(name, attributes, in: directory, path: path)
            case .directory:
                let child = try directory.openDirectory(name)
                try add(name, attributes, in: directory, path: path)
                try captureChildren(of: child, path: path)
            case .fifo: skip(path, "a named pipe")
            case .socket: skip(path, "a socket")
            case .device: skip(path, "a device")
            }
            if attributes.kind == .symbolicLink, isSelected {
                try capture(String(decoding: resolve(path), as: UTF8.self))
            }
        } catch let error as SystemCallError {
            find(error, String(decoding: path, as: UTF8.self))
        }
    }

    private func captureChildren(of directory: OpenDirectory, path: [UInt8]) throws {
        for bytes in try directory.names() {
            guard let name = EntryName(bytes) else { continue }
            try capture(name, in: directory, parent: path, isSelected: false)
        }
    }

    /// Adds one entry; a second time the same path is nothing new.
    private func add(
        _ name: EntryName, _ attributes: EntryAttributes, in directory: OpenDirectory, path: [UInt8]
    ) throws {
        guard !capturedPaths.contains(path) else { return }
        var metadata = try metadata(name, attributes, in: directory, path: path)
        if attributes.kind == .file, attributes.linkCount > 1 {
            if let first = firstNames[attributes.identity] {
                metadata.kind = .hardLink
                metadata.linkTarget = first
                metadata.byteCount = 0
            }
        }
        if metadata.kind == .file {
            let outcome = try content.add(name, metadata, in: directory, role: role, source: display(path))
            report.fileCount += 1
            report.byteCount += outcome.byteCount
            if let error = outcome.readError {
                find(error, display(path))
            } else if outcome.isTorn {
                find(
                    .warning, "file-changed", display(path), "changed each time it was read",
                    "the copy may be torn; stop its writer or exclude it")
            }
            if attributes.linkCount > 1 { firstNames[attributes.identity] = metadata.path }
        } else {
            try archiving { try writer.add(metadata, role: role, source: display(path)) }
        }
        capturedPaths.insert(path)
    }

    private func metadata(
        _ name: EntryName, _ attributes: EntryAttributes, in directory: OpenDirectory, path: [UInt8]
    ) throws -> EntryMetadata {
        let kind: EntryKind
        switch attributes.kind {
        case .directory: kind = .directory
        case .symbolicLink: kind = .symbolicLink
        default: kind = .file
        }
        var metadata = EntryMetadata(
            path: Array(ArchiveFormat.filesPrefix.utf8) + path, kind: kind,
            byteCount: kind == .file ? attributes.byteCount : 0, mode: attributes.mode, modifiedAt: Date())
        metadata.userID = attributes.userID
        metadata.groupID = attributes.groupID
        metadata.userName = owners.userName(attributes.userID)
        metadata.groupName = owners.groupName(attributes.groupID)
        metadata.modificationSeconds = attributes.modificationSeconds
        metadata.modificationNanoseconds = attributes.modificationNanoseconds
        if kind == .symbolicLink { metadata.linkTarget = try directory.readLink(name) }
        metadata.extendedAttributes = try directory.extendedAttributes(of: name).map {
            ExtendedAttribute(name: $0.name, value: Data($0.value))
        }
        return metadata
    }

    private func resolve(_ path: [UInt8]) throws -> [UInt8] {
        guard let resolved = withCString(path, { realpath($0, nil) }) else {
            throw SystemCallError("follow", display(path))
        }
        defer { free(resolved) }
        return Array(UnsafeRawBufferPointer(start: resolved, count: strlen(resolved)))
    }

    private func isExcluded(_ path: [UInt8]) -> Bool {
        withCString(path) { path in exclude.contains { fnmatch($0, path, 0) == 0 } }
    }

    private func skip(_ path: [UInt8], _ reason: String) {
        report.skipped.append(SkippedPath(path: display(path), reason: reason))
    }

    private func find(_ error: SystemCallError, _ path: String) {
        let code: String
        switch error.errno {
        case .noSuchFileOrDirectory: code = "file-missing"
        case .tooManySymbolicLinkLevels: code = "link-loop"
        default: code = "file-unreadable"
        }
        find(.error, code, path, error.description, error.failure.hint)
    }

    private func find(
        _ severity: Finding.Severity, _ code: String, _ subject: String, _ message: String, _ advice: String?
    ) {
        report.findings.append(Finding(severity, code: code, subject: subject, message: message, advice: advice))
    }
}

private func display(_ path: [UInt8]) -> String { String(decoding: path, as: UTF8.self) }
