import EncryptionAtRest

/// A row of bucket `key`, lent.
struct SurveyRow {
    /// ``KeyDigest/ordinal(_:)``.
    var digest: UInt64
    var revision: Int64
    var isTombstone: Bool
    var userKey: UnsafeRawBufferPointer
    var value: UnsafeRawBufferPointer
    var byteCount: Int
    private var numbers: (create: Int64, mod: Int64, version: Int64, lease: Int64)

    /// Nil if the key is no revision or the value no `KeyValue`.
    @inline(__always)
    init?(key: UnsafeRawBufferPointer, value bytes: UnsafeRawBufferPointer) {
        guard let parts = KeyDigest.parts(key), let digest = KeyDigest.ordinal(key), let row = KeyValueRow(bytes) else {
            return nil
        }
        self.digest = digest
        revision = Int64(parts.main)
        isTombstone = parts.isTombstone
        userKey = row.key
        value = row.value
        byteCount = key.count + bytes.count
        numbers = (row.createRevision, row.modRevision, row.version, row.lease)
    }

    /// Adds the row to a digest.
    func add(to digest: inout KeySpaceDigest) {
        digest.add(
            key: userKey, value: value, createRevision: numbers.create, modRevision: numbers.mod,
            version: numbers.version, lease: numbers.lease)
    }

    /// Lends a row of bucket `key`.
    ///
    /// - Throws: ``PageDefect`` if it is none of etcd's, on which etcd itself ends (`mvcc.restoreChunk`).
    static func lend<Result>(_ row: BoltRow, _ body: (SurveyRow) -> Result) throws(PageDefect) -> Result {
        try row.key.lend { (key) throws(PageDefect) in
            try row.value.lend { (value) throws(PageDefect) in
                guard let row = SurveyRow(key: key, value: value) else {
                    throw PageDefect(
                        offset: 0, problem: "row \(excerpt(key)) of bucket key is not a revision of a key-value")
                }
                return body(row)
            }
        }
    }
}

/// Which rows count for a HashKV (etcd `kvHasher.WriteKeyValue`).
struct RowRule {
    let revision: Int64
    let compactRevision: Int64
    let newest: FingerprintMap
    let keepIsEmpty: Bool

    /// - Returns: whether the row counts, and whether it is the newest of its key and a put.
    @inline(__always)
    func apply(_ row: SurveyRow) -> (counts: Bool, isLive: Bool) {
        guard row.revision <= revision else { return (false, false) }
        let isLive = !row.isTombstone && isNewest(row)
        if row.revision > compactRevision { return (true, isLive) }
        if keepIsEmpty { return (!(row.revision == compactRevision && row.isTombstone), isLive) }
        return (isLive, isLive)
    }

    @inline(__always)
    private func isNewest(_ row: SurveyRow) -> Bool {
        guard let newest = newest.digest(of: FingerprintMap.fingerprint(row.userKey)) else { return true }
        return newest == row.digest
    }
}

/// Sums over rows.
struct RowTally {
    private static let prefixLimit = 1024
    private static let encryptionKeyLimit = 1023
    private var liveKeyCount = 0
    private var prefixes: [[UInt8]] = [[]]
    private var sizes: [(rows: Int, bytes: Int)] = [(0, 0)]
    private var indices: [UInt64: Int] = [:]
    private var encryption: [String: Int] = [:]
    /// Rows whose key is not among the first ones.
    private var otherKeyRowCount = 0
    /// The keys that exist; nil where that is not asked for.
    private var keySpace: KeySpaceDigest?

    /// Sums over no rows.
    ///
    /// - Parameter digestsKeySpace: whether the keys that exist are hashed.
    init(digestsKeySpace: Bool = false) { keySpace = digestsKeySpace ? KeySpaceDigest() : nil }

    /// Adds a row; says whether it counts for the HashKV.
    @inline(__always)
    mutating func add(_ row: SurveyRow, _ rule: RowRule) -> Bool {
        let (counts, isLive) = rule.apply(row)
        if isLive {
            liveKeyCount += 1
            if var sum = keySpace {
                row.add(to: &sum)
                keySpace = sum
            }
        }
        add(Self.prefix(of: row.userKey), rows: 1, bytes: row.byteCount)
        if !row.isTombstone { addEncryption(row.value) }
        return counts
    }

    private mutating func add(_ prefix: UnsafeRawBufferPointer, rows: Int, bytes: Int) {
        let fingerprint = FingerprintMap.fingerprint(prefix)
        var index = indices[fingerprint]
        if index == nil, !prefix.isEmpty, prefixes.count < Self.prefixLimit {
            index = prefixes.count
            indices[fingerprint] = prefixes.count
            prefixes.append([UInt8](prefix))
            sizes.append((0, 0))
        }
        sizes[index ?? 0].rows += rows
        sizes[index ?? 0].bytes += bytes
    }

    /// `/registry/pods` of `/registry/pods/ns/name`, `/registry/group.io/things` of what lies below that, and otherwise
    /// what is before the last slash.
    private static func prefix(of key: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        var slashCount = 0
        var lastSlash = 0
        var isGroup = false
        for (index, byte) in key.enumerated() {
            if byte == 0x2E, slashCount == 2 { isGroup = true }
            guard byte == 0x2F else { continue }
            slashCount += 1
            lastSlash = index
            if slashCount == (isGroup ? 4 : 3) { break }
        }
        return UnsafeRawBufferPointer(rebasing: key[..<max(lastSlash, min(1, slashCount))])
    }

    private mutating func addEncryption(_ value: UnsafeRawBufferPointer) {
        guard let name = EncryptedValue.keyName(of: value) else { return }
        addEncryption(String(decoding: name, as: UTF8.self), rows: 1)
    }

    private mutating func addEncryption(_ name: String, rows: Int) {
        if encryption[name] != nil || encryption.count < Self.encryptionKeyLimit {
            encryption[name, default: 0] += rows
        } else {
            otherKeyRowCount += rows
        }
    }

    mutating func merge(_ other: RowTally) {
        liveKeyCount += other.liveKeyCount
        if let part = other.keySpace {
            var sum = keySpace ?? KeySpaceDigest()
            sum.merge(part)
            keySpace = sum
        }
        otherKeyRowCount += other.otherKeyRowCount
        for (name, rows) in other.encryption { addEncryption(name, rows: rows) }
        for (prefix, size) in zip(other.prefixes, other.sizes) {
            prefix.withUnsafeBytes { add($0, rows: size.rows, bytes: size.bytes) }
        }
    }

    func survey(_ hashKV: KeyValueHash?) -> RowSurvey {
        let sized = zip(prefixes, sizes).filter { $0.1.rows > 0 }.map { prefix, size in
            PrefixSize(prefix: String(decoding: prefix, as: UTF8.self), rowCount: size.rows, byteCount: size.bytes)
        }
        var keys = encryption
        // No key has an empty name.
        if otherKeyRowCount > 0 { keys[""] = otherKeyRowCount }
        return RowSurvey(
            hashKV: hashKV, liveKeyCount: liveKeyCount,
            prefixes: sized.sorted { ($1.byteCount, $0.prefix) < ($0.byteCount, $1.prefix) },
            encryptionKeys: keys.map { EncryptionKeyUse(provider: $0.key, rowCount: $0.value) }
                .sorted { $0.provider < $1.provider },
            keySpace: keySpace)
    }
}
