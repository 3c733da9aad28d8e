import HostIO

/// What a snapshot file is, found out by reading it.
public enum SnapshotStatus {
    /// Verifies a file's structure and, unless told otherwise, its trailer; reading, checking and hashing overlap.
    ///
    /// - Parameters:
    ///   - bytes: the file; it is read once from front to back, in pieces of 1 MiB.
    ///   - checksTrailer: whether the SHA-256 trailer is checked. SHA-256 can't be split over cores, so that is what
    ///     takes longest where the file is in memory.
    ///   - selection: rows to keep in ``SnapshotContents/selectedRows``.
    /// - Returns: the report and the means for a row survey. Findings do not throw.
    /// - Throws: ``StorageError`` if the bytes are not a database, are truncated or can't be read.
    public static func verify(
        _ bytes: any RandomAccessBytes, checksTrailer: Bool = true, selecting selection: RowSelection? = nil
    ) throws(StorageError) -> VerifiedSnapshot {
        try verify(bytes, checksTrailer: checksTrailer, selecting: selection, beside: nil)
    }

    /// The same, while `companion` gets all blocks on a thread of its own.
    static func verify(
        _ bytes: any RandomAccessBytes, checksTrailer: Bool, selecting selection: RowSelection? = nil,
        beside companion: BlockFeed.Stage?
    ) throws(StorageError) -> VerifiedSnapshot {
        // Fails early on a truncated file, before all of it is read.
        let file = try BoltFile(bytes)
        let verifier = SnapshotVerifier(name: bytes.name, checksTrailer: false, selecting: selection)
        var stages: [(UnsafeRawBufferPointer) throws -> Void] = [{ try verifier.consume($0) }]
        let hasTrailer = TrailerDigest.isPresent(bytes.byteCount, file.databaseByteCount)
        let digest = checksTrailer && hasTrailer ? TrailerDigest() : nil
        if let digest { stages.insert({ digest.consume($0) }, at: 0) }
        if let companion { stages.append(companion) }
        try BlockFeed(source: bytes).run(stages)
        return try verifier.finishKeepingPages(rereading: bytes, digest: digest)
    }
}
