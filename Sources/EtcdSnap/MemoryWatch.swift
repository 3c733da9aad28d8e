import HostIO

/// Watches how much memory the process takes up while a server sends faster than it is read.
struct MemoryWatch {
    /// What the buffers of a backup take besides what grows with the database.
    private static let allowance: UInt64 = 80 << 20
    /// What the checks of a database keep: 24 bytes for each page of 4 KiB.
    private static let databaseShare: UInt64 = 4096 / 24

    private let residentAtStart = processResidentByteCount()

    /// By how many bytes the process has grown since the start, if that is more than a backup of such a database needs.
    func excess(_ databaseByteCount: UInt64) -> UInt64? {
        guard let residentAtStart, let resident = processResidentByteCount(), resident > residentAtStart else {
            return nil
        }
        let growth = resident - residentAtStart
        return growth > Self.allowance + databaseByteCount / Self.databaseShare ? growth : nil
    }
}
