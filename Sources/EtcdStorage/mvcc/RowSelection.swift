import EncryptionAtRest

/// Which rows of bucket `key` are kept while a snapshot is verified: the newest revision of the keys of some resources.
public struct RowSelection: Sendable {
    /// What becomes of a value before it is kept; nil to keep all of it.
    ///
    /// The bytes are only lent.
    public typealias Reduction = @Sendable (_ value: UnsafeRawBufferPointer) -> [UInt8]?

    /// Second components of the keys, such as `persistentvolumes` in `/registry/persistentvolumes/a`.
    public var resources: [String]
    /// Keys that are wanted besides.
    public var keys: Set<[UInt8]> = []
    /// The most memory for keys, values and what is remembered of them, in bytes.
    public var byteLimit: Int
    /// Makes values smaller before they are kept.
    public var reduce: Reduction

    /// A selection of at most 16 MiB that keeps values whole.
    public init(resources: [String], byteLimit: Int = 16 << 20, reduce: @escaping Reduction = { _ in nil }) {
        self.resources = resources
        self.byteLimit = byteLimit
        self.reduce = reduce
    }

    /// A selection that tells which of some keys exist, without their values.
    public init(keys: Set<[UInt8]>) {
        self.init(resources: []) { _ in [] }
        self.keys = keys
    }
}

/// The newest revision of a key that exists.
public struct SelectedRow: Sendable, Hashable {
    /// The key in the key space, such as `/registry/persistentvolumes/a`.
    public var key: [UInt8]
    /// The value, as the selection reduced it; of an encrypted one at least its first 264 bytes.
    public var value: [UInt8]
    /// The revision that wrote it.
    public var revision: Int64
}

/// The rows that a ``RowSelection`` has kept.
public struct SelectedRows: Sendable, Hashable {
    /// The rows by key.
    public var rows: [SelectedRow]
    /// Keys that exist but whose values found no room.
    public var omittedCount: Int
    /// False if the memory limit, or that of 1024 revisions of a key, was met so hard that rows may be missing or out of
    /// date without being counted.
    public var isComplete: Bool
}

/// Collects the rows of a selection from pages in any order.
///
/// A free page may hold rows that were deleted long ago or a copy of rows that exist, so each row is kept with the pages
/// that it was seen on, and only at the end those on pages of the tree compete for the newest revision. Where memory is
/// short the values of older revisions go first: what is newest of all that was seen is nearly always what exists.
final class RowCollector {
    private static let keptEncryptedByteCount = 264

    private let resources: [[UInt8]]
    private let keyFingerprints: Set<UInt64>
    private let selection: RowSelection
    private var histories: [[UInt8]: KeyHistory] = [:]
    private var byteCount = 0
    private var keepsValues = true
    private var isComplete = true

    init(_ selection: RowSelection) {
        self.selection = selection
        resources = selection.resources.map { Array($0.utf8) }
        keyFingerprints = Set(selection.keys.map { $0.lend(FingerprintMap.fingerprint) })
    }

    /// Whether rows of this key are wanted: `/<anything>/<resource>/…`, or one of the keys.
    @inline(__always)
    func selects(_ key: UnsafeRawBufferPointer) -> Bool {
        if !keyFingerprints.isEmpty, keyFingerprints.contains(FingerprintMap.fingerprint(key)) { return true }
        guard !resources.isEmpty, key.count > 2, key[0] == 0x2F else { return false }
        var start = 1
        while start < key.count, key[start] != 0x2F { start += 1 }
        start += 1
        return resources.contains { resource in
            let end = start + resource.count
            return end < key.count && key[end] == 0x2F && key[start..<end].elementsEqual(resource)
        }
    }

    /// Notes a row whose key is selected.
    func note(
        key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, digest: UInt64, isTombstone: Bool, page: UInt64
    ) {
        guard isComplete else { return }
        let reduced = isTombstone ? nil : reduce(value)
        byteCount += histories[[UInt8](key), default: KeyHistory()].note(
            digest: digest, fingerprint: reduced?.lend { FingerprintMap.fingerprint($0) } ?? 0,
            value: keepsValues ? reduced : nil, page: page, keyByteCount: key.count)
        if byteCount > selection.byteLimit { makeRoom() }
    }

    private func reduce(_ value: UnsafeRawBufferPointer) -> [UInt8] {
        if EncryptedValue.isMarked(value) { return [UInt8](value.prefix(Self.keptEncryptedByteCount)) }
        return selection.reduce(value) ?? [UInt8](value)
    }

    private func makeRoom() {
        // By index, as a loop over the values would hold, and so copy, all of them.
        var index = histories.values.startIndex
        while index != histories.values.endIndex {
            byteCount -= histories.values[index].dropOldValues()
            histories.values.formIndex(after: &index)
        }
        // Room for so little would be made again and again.
        if byteCount > selection.byteLimit / 8 * 7 { keepsValues = false }
        if byteCount > selection.byteLimit { isComplete = false }
    }

    /// The newest of the rows on pages for which `isReachable` holds.
    func rows(where isReachable: (UInt64) -> Bool) -> SelectedRows {
        var result = SelectedRows(rows: [], omittedCount: 0, isComplete: isComplete)
        for (key, history) in histories {
            guard let newest = history.newest(where: isReachable) else {
                if history.hasForgotten(where: isReachable) { result.isComplete = false }
                continue
            }
            if newest.isTombstone { continue }
            if let value = newest.value {
                result.rows.append(SelectedRow(key: key, value: value, revision: KeyDigest.main(newest.digest)))
            } else {
                result.omittedCount += 1
            }
        }
        result.rows.sort { $0.key.lexicographicallyPrecedes($1.key) }
        return result
    }
}
