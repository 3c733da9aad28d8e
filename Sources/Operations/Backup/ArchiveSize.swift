import ArchiveStore
import SealedArchive

/// How large an archive will be: by the last one's ratio, or a fifth of the databases.
func expectedArchiveByteCount(_ databaseByteCount: Int, after last: StoredBackup?) -> Int {
    var expected = Double(databaseByteCount) / 5
    if let last {
        let lastDatabaseByteCount = last.sidecar.etcd.reduce(0) { $0 + $1.databaseSize }
        if lastDatabaseByteCount > 0 {
            expected = Double(last.sidecar.object.size) / Double(lastDatabaseByteCount) * Double(databaseByteCount)
        }
    }
    return Int(min(expected, 1e18))
}
