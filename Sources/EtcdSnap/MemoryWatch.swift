import HostIO

/// Watches how much memory the process takes while a server sends faster than it is read.
struct MemoryWatch {
    /// What a backup needs at most besides what grows with the database.
    private static let allowance: UInt64 = 112 << 20
    /// What the checks of a database keep: 24 bytes for each page of 4 KiB, and as much again while that grows.
    private static let databaseShare: UInt64 = 4096 / 48

    /// The resident size in bytes, if it is more than a backup of such a database needs.
    func excess(_ databaseByteCount: UInt64) -> UInt64? {
        guard let resident = processResidentByteCount() else { return nil }
        return resident > Self.allowance + databaseByteCount / Self.databaseShare ? resident : nil
    }
}
