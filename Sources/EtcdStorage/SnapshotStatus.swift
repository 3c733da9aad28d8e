import HostIO

/// What a snapshot file is, found out by reading it.
public enum SnapshotStatus {
    /// Verifies a file's structure and, unless told otherwise, its trailer; reading, checking and hashing overlap.
    ///
    /// - Parameters:
    ///   - bytes: the file; it is read once from front to back, in pieces of 1 MiB.
    ///   - checksTrailer: whether the SHA-256 trailer is checked. SHA-256 can't be split over cores, so that is what
    ///     takes longest where the file is in memory.
    /// - Returns: the report and the means for a row survey. Findings do not throw.
    /// - Throws: ``StorageError`` if the bytes are not a database, are truncated or can't be read.
    public static func verify(
        _ bytes: any RandomAccessBytes, checksTrailer: Bool = true
    ) throws(StorageError) -> VerifiedSnapshot {
        // Fails early on a truncated file, before all of it is read.
        _ = try BoltFile(bytes)
        let verifier = SnapshotVerifier(name: bytes.name, checksTrailer: false)
        var stages: [(UnsafeRawBufferPointer) throws -> Void] = [{ try verifier.consume($0) }]
        let digest = checksTrailer ? TrailerDigest() : nil
        if let digest { stages.insert({ digest.consume($0) }, at: 0) }
        try BlockFeed(source: bytes).run(stages)
        return try verifier.finishKeepingPages(rereading: bytes, digest: digest)
    }

    /// Reads a whole status: structure, trailer, hashes, counts, prefixes.
    ///
    /// - Throws: ``StorageError``; ``StorageError/damaged(name:_:)`` with the first finding for an unsound database.
    public static func read(
        _ bytes: any RandomAccessBytes, checksTrailer: Bool = true
    ) throws(StorageError) -> (report: SnapshotReport, survey: RowSurvey) {
        let snapshot = try verify(bytes, checksTrailer: checksTrailer)
        try snapshot.report.requireSound(trailer: .optional)
        let survey = try snapshot.survey(rereading: bytes)
        return (snapshot.report, survey)
    }
}
