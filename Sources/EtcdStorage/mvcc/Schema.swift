import HostIO

/// The buckets and keys of etcd's backend (`server/storage/schema`).
enum Schema {
    static let alarm = Array("alarm".utf8)
    static let auth = Array("auth".utf8)
    static let authRoles = Array("authRoles".utf8)
    static let authUsers = Array("authUsers".utf8)
    static let cluster = Array("cluster".utf8)
    static let key = Array("key".utf8)
    static let lease = Array("lease".utf8)
    static let members = Array("members".utf8)
    static let membersRemoved = Array("members_removed".utf8)
    static let meta = Array("meta".utf8)

    static let consistentIndex = Array("consistent_index".utf8)
    static let term = Array("term".utf8)
    static let confState = Array("confState".utf8)
    static let scheduledCompactRevision = Array("scheduledCompactRev".utf8)
    static let finishedCompactRevision = Array("finishedCompactRev".utf8)
    static let storageVersion = Array("storageVersion".utf8)
    static let clusterVersion = Array("clusterVersion".utf8)
    static let downgrade = Array("downgrade".utf8)
    static let authEnabled = Array("authEnabled".utf8)
    static let authRevision = Array("authRevision".utf8)

    /// Buckets whose rows are read into a ``StoreSummary``; all are small.
    static let summarized = [alarm, auth, cluster, members, membersRemoved, meta]
}

/// A revision row key: main, `_`, sub.
func revisionKey(main: Int64, sub: Int64 = 0) -> [UInt8] {
    var key: [UInt8] = []
    appendBigEndian(main, to: &key)
    key.append(0x5F)
    appendBigEndian(sub, to: &key)
    return key
}

/// The row key of a deletion: that of a revision and `t`.
func tombstoneKey(main: Int64, sub: Int64) -> [UInt8] { revisionKey(main: main, sub: sub) + [0x74] }
