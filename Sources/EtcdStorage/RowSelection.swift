/// Which rows of bucket `key` are kept while a snapshot is verified: the newest revision of the keys of some resources.
public struct RowSelection: Sendable {
    /// What becomes of a value before it is kept; nil to keep all of it.
    ///
    /// The bytes are only lent.
    public typealias Reduction = @Sendable (_ value: UnsafeRawBufferPointer) -> [UInt8]?

    /// Second components of the keys, such as `persistentvolumes` in `/registry/persistentvolumes/a`.
    public var resources: [String]
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
    /// False if the memory limit was met so hard that rows may be missing or out of date without being counted.
    public var isComplete: Bool
}

/// Collects the rows of a selection from pages in any order.
///
/// A free page may hold rows that were deleted long ago or a copy of rows that exist, so each row is kept with the pages
/// that it was seen on, and only at the end those on pages of the tree compete for the newest revision. Where memory is
/// short the values of older revisions go first: what is newest of all that was seen is nearly always what exists.
final class RowCollector {
    /// What a row costs beside its bytes, roughly: dictionary slot, array headers, this struct.
    private static let rowOverheadByteCount = 160
    private static let keptEncryptedByteCount = 264

    private struct Version {
        var digest: UInt64
        var isTombstone: Bool
        /// Nil for a tombstone, and for a value that found no room.
        var value: [UInt8]?
        var pages: [UInt64]
    }

    private let resources: [[UInt8]]
    private let selection: RowSelection
    private var versions: [[UInt8]: [Version]] = [:]
    private var byteCount = 0
    private var keepsValues = true
    private var isComplete = true

    init(_ selection: RowSelection) {
        self.selection = selection
        resources = selection.resources.map { Array($0.utf8) }
    }

    /// Whether rows of this key are wanted: `/<anything>/<resource>/…`.
    @inline(__always)
    func selects(_ key: UnsafeRawBufferPointer) -> Bool {
        guard key.count > 2, key[0] == 0x2F else { return false }
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
        let key = [UInt8](key)
        let kept = isTombstone ? nil : reduce(value)
        var known = versions[key] ?? []
        if let index = known.firstIndex(where: { Self.isSame($0, digest, isTombstone, kept) }) {
            if !known[index].pages.contains(page) {
                known[index].pages.append(page)
                byteCount += 8
            }
        } else {
            known.append(
                Version(digest: digest, isTombstone: isTombstone, value: keepsValues ? kept : nil, pages: [page]))
            byteCount += Self.rowOverheadByteCount + key.count + (keepsValues ? kept?.count ?? 0 : 0)
        }
        versions[key] = known
        if byteCount > selection.byteLimit { makeRoom() }
    }

    /// A revision is one row, except that etcd may reuse one after a crash (etcd-io/etcd#17780).
    private static func isSame(_ version: Version, _ digest: UInt64, _ isTombstone: Bool, _ value: [UInt8]?) -> Bool {
        version.digest == digest && version.isTombstone == isTombstone
            && (version.value == nil || version.value == value)
    }

    private func reduce(_ value: UnsafeRawBufferPointer) -> [UInt8] {
        if EncryptedValue.isMarked(value) { return [UInt8](value.prefix(Self.keptEncryptedByteCount)) }
        return selection.reduce(value) ?? [UInt8](value)
    }

    private func makeRoom() {
        for key in versions.keys {
            guard let newest = versions[key]?.map(\.digest).max() else { continue }
            for index in versions[key]?.indices ?? 0..<0 where versions[key]?[index].digest != newest {
                byteCount -= versions[key]?[index].value?.count ?? 0
                versions[key]?[index].value = nil
            }
        }
        // Room for so little would be made again and again.
        if byteCount > selection.byteLimit / 8 * 7 { keepsValues = false }
        if byteCount > selection.byteLimit { isComplete = false }
    }

    /// The newest of the rows on pages for which `isReachable` holds.
    func rows(where isReachable: (UInt64) -> Bool) -> SelectedRows {
        var result = SelectedRows(rows: [], omittedCount: 0, isComplete: isComplete)
        for (key, known) in versions {
            let live = known.filter { $0.pages.contains(where: isReachable) }
            guard let newest = live.max(by: { $0.digest < $1.digest }), !newest.isTombstone else { continue }
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
