import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// What is about to be written to file systems, held against what these have left before the work begins.
///
/// Sizes are rounded up to blocks. A file with holes takes less; where there is no room for its length, it is refused all the
/// same.
public struct SpaceDemand {
    private struct FileSystem {
        /// A directory of it that is known to who asks.
        var shown: String
        var blockByteCount: Int
        /// What this user may still write; nil where it can't be told.
        var availableByteCount: Int?
        /// How many files this user may still make; nil where there is no such number.
        var availableFileCount: Int?
        var byteCount = 0
        var fileCount = 0
    }

    private var fileSystems: [UInt64: FileSystem] = [:]

    /// Nothing yet.
    public init() {}

    /// Adds a file.
    ///
    /// - Parameters:
    ///   - byteCount: its size.
    ///   - directory: a directory on the file system that it will be on.
    ///   - shown: what that place is called in messages.
    public mutating func add(_ byteCount: Int, in directory: OpenDirectory, as shown: String) throws(SystemCallError) {
        try change(directory, shown) { fileSystem in
            fileSystem.byteCount += Self.rounded(byteCount, fileSystem.blockByteCount)
            fileSystem.fileCount += 1
        }
    }

    /// Takes off what will be removed before anything is written: an entry with all that is in it; without it nothing happens.
    public mutating func removeTree(_ name: EntryName, in directory: OpenDirectory) throws(SystemCallError) {
        guard let attributes = try directory.existingAttributes(of: name) else { return }
        try change(directory, directory.path) { fileSystem in
            fileSystem.byteCount -= Self.rounded(attributes.byteCount, fileSystem.blockByteCount)
            fileSystem.fileCount -= 1
        }
        guard attributes.kind == .directory else { return }
        let below = try directory.openDirectory(name)
        for child in try below.names().compactMap({ EntryName($0) }) { try removeTree(child, in: below) }
    }

    private mutating func change(
        _ directory: OpenDirectory, _ shown: String, _ body: (inout FileSystem) -> Void
    ) throws(SystemCallError) {
        let device = try directory.attributes().identity.device
        if fileSystems[device] == nil { fileSystems[device] = Self.fileSystem(of: directory, shown) }
        if var fileSystem = fileSystems[device] {
            body(&fileSystem)
            fileSystems[device] = fileSystem
        }
    }

    private static func rounded(_ byteCount: Int, _ blockByteCount: Int) -> Int {
        let (sum, overflow) = byteCount.addingReportingOverflow(blockByteCount - 1)
        return overflow ? byteCount : sum / blockByteCount * blockByteCount
    }

    private static func fileSystem(of directory: OpenDirectory, _ shown: String) -> FileSystem {
        var space = statvfs()
        // Where it is refused nothing is known, and the work itself will tell.
        if fstatvfs(directory.descriptor.rawValue, &space) != 0 { space = statvfs() }
        // Some blocks and numbers of files are root's alone.
        let isRoot = geteuid() == 0
        let blockByteCount = max(1, Int(clamping: space.f_frsize))
        let blockCount = Int(clamping: isRoot ? space.f_bfree : space.f_bavail)
        let (byteCount, overflow) = blockCount.multipliedReportingOverflow(by: blockByteCount)
        return FileSystem(
            shown: shown, blockByteCount: blockByteCount,
            // Those in memory may count no blocks, those of others no files.
            availableByteCount: space.f_blocks == 0 || overflow ? nil : byteCount,
            availableFileCount: space.f_files == 0 ? nil : Int(clamping: isRoot ? space.f_ffree : space.f_favail))
    }

    /// - Throws: ``Failure`` with the code `noSpace` where there is less room than is needed.
    public func check() throws(Failure) {
        for fileSystem in fileSystems.values.sorted(by: { $0.shown < $1.shown }) {
            if let available = fileSystem.availableByteCount, available < fileSystem.byteCount {
                throw Self.lacking("\(fileSystem.byteCount) bytes are", "\(available)", fileSystem.shown)
            }
            if let available = fileSystem.availableFileCount, available < fileSystem.fileCount {
                throw Self.lacking("\(fileSystem.fileCount) new files are", "\(available)", fileSystem.shown)
            }
        }
    }

    private static func lacking(_ needed: String, _ available: String, _ place: String) -> Failure {
        Failure(
            .noSpace, "\(needed) needed in \(quoted(place)), whose file system has room for \(available)",
            hint: "free some space there, or name another place; nothing was changed")
    }
}
