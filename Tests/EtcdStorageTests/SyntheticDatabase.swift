import HostIO
import Protobuf
import TestSupport
@testable import EtcdStorage

/// Builds databases that etcd could have written but the fixtures don't hold.
///
/// Other page sizes, deep trees, overflow, stored free lists. Laid out by ``PageBuilder``, which real servers read in the boot tests.
struct SyntheticDatabase {
    let pageByteCount: Int
    private var pages: [UInt8] = []
    private var freeIDs: [UInt64] = []
    private var compactRevision: Int64?
    private(set) var rows: [PageBuilder.Row] = []
    private(set) var leafPages: [UInt64] = []
    private(set) var branchPages: [UInt64] = []
    private(set) var rootPage: UInt64 = 0

    init(pageByteCount: Int) {
        self.pageByteCount = pageByteCount
        pages = [UInt8](repeating: 0, count: 2 * pageByteCount)
    }

    private var nextPage: UInt64 { UInt64(pages.count / pageByteCount) }

    private mutating func append(_ build: (UInt64, Int) -> [UInt8]) -> UInt64 {
        let id = nextPage
        pages += build(id, pageByteCount)
        return id
    }

    /// Adds an unused page full of old bytes.
    mutating func addFree() { freeIDs.append(append { _, count in [UInt8](repeating: 0xAB, count: count) }) }

    static func put(_ key: String, value: [UInt8], revision: Int64, create: Int64, version: UInt64) -> PageBuilder.Row {
        var message = ProtobufWriter()
        message.field(1, Array(key.utf8))
        message.field(2, UInt64(create))
        message.field(3, UInt64(revision))
        message.field(4, version)
        message.field(5, value)
        return PageBuilder.Row(key: revisionKey(main: revision), value: message.bytes)
    }

    static func tombstone(_ key: String, revision: Int64) -> PageBuilder.Row {
        var message = ProtobufWriter()
        message.field(1, Array(key.utf8))
        return PageBuilder.Row(key: revisionKey(main: revision) + [0x74], value: message.bytes)
    }

    /// Adds a free page, or run, that is still the leaf with old rows that it once was.
    mutating func addStale(_ rows: [PageBuilder.Row]) {
        freeIDs.append(append { PageBuilder.leaf(rows, id: $0, pageByteCount: $1) })
    }

    /// Adds the rows of bucket `key`, in order, as they are after compacting at a revision.
    mutating func add(_ rows: [PageBuilder.Row], compactedAt revision: Int64, fanOut: Int) {
        self.rows = rows
        compactRevision = revision
        addKeyTree(fanOut: fanOut)
    }

    /// Writes random history of `keyCount` keys, as a server would have left it after compacting at a fifth of it.
    mutating func addHistory(
        rowCount: Int, keyCount: Int, maximumValue: Int, fanOut: Int, using generator: inout SeededGenerator
    ) {
        var all: [(key: String, row: PageBuilder.Row)] = []
        var live: [String: (create: Int64, version: UInt64)] = [:]
        for revision in Int64(2)..<Int64(rowCount + 2) {
            let key = "/registry/things/ns/\(Int.random(in: 0..<keyCount, using: &generator))"
            if live[key] != nil, Int.random(in: 0..<5, using: &generator) == 0 {
                all.append((key, Self.tombstone(key, revision: revision)))
                live[key] = nil
            } else {
                let old = live[key] ?? (create: revision, version: 0)
                let state = (create: old.create, version: old.version + 1)
                live[key] = state
                let value = (0..<Int.random(in: 0...maximumValue, using: &generator)).map {
                    UInt8(truncatingIfNeeded: $0)
                }
                all.append(
                    (key, Self.put(key, value: value, revision: revision, create: state.create, version: state.version))
                )
            }
        }
        let compact = Int64(rowCount / 5)
        var newest: [String: Int] = [:]
        for (index, entry) in all.enumerated() where index + 2 <= compact { newest[entry.key] = index }
        rows = all.enumerated().filter { index, entry in
            index + 2 > compact || (newest[entry.key] == index && entry.row.key.count == 17)
        }.map(\.element.row)
        compactRevision = compact
        addKeyTree(fanOut: fanOut)
    }

    private mutating func addKeyTree(fanOut: Int) {
        var level: [(key: [UInt8], page: UInt64)] = []
        for start in stride(from: 0, to: rows.count, by: fanOut) {
            let part = Array(rows[start..<min(rows.count, start + fanOut)])
            let page = append { PageBuilder.leaf(part, id: $0, pageByteCount: $1) }
            leafPages.append(page)
            level.append((part[0].key, page))
            if start % (5 * fanOut) == 0 { addFree() }
        }
        while level.count > 1 {
            level = stride(from: 0, to: level.count, by: fanOut).map { start in
                let part = Array(level[start..<min(level.count, start + fanOut)])
                let page = append { PageBuilder.branch(part, id: $0, pageByteCount: $1) }
                branchPages.append(page)
                return (part[0].key, page)
            }
        }
        rootPage = level[0].page
    }

    /// Adds rows below a root of which the first child is a leaf and the second a branch, as bbolt never leaves it.
    mutating func addUnbalanced(_ rows: [PageBuilder.Row]) {
        self.rows = rows
        func leaf(_ rows: [PageBuilder.Row]) -> (key: [UInt8], page: UInt64) {
            (rows[0].key, append { PageBuilder.leaf(rows, id: $0, pageByteCount: $1) })
        }
        let third = rows.count / 3
        let first = leaf(Array(rows[..<third]))
        let others = [leaf(Array(rows[third..<(2 * third)])), leaf(Array(rows[(2 * third)...]))]
        let branch = append { PageBuilder.branch(others, id: $0, pageByteCount: $1) }
        rootPage = append { id, count in
            PageBuilder.branch([first, (others[0].key, branch)], id: id, pageByteCount: count)
        }
    }

    /// Makes the tree of bucket `key` a chain of branches with one child each.
    mutating func addChain(length: Int) {
        let key = revisionKey(main: 2)
        let leaf = Self.put("/registry/a/b", value: [1], revision: 2, create: 2, version: 1)
        var child = append { PageBuilder.leaf([leaf], id: $0, pageByteCount: $1) }
        for _ in 0..<length {
            child = append { [child] in PageBuilder.branch([(key, child)], id: $0, pageByteCount: $1) }
        }
        rootPage = child
    }

    /// Completes the file; `extraBuckets` come as their rows.
    mutating func finish(
        storesFreelist: Bool = false, freelistPadding: Int = 0, extra: [String: [PageBuilder.Row]] = [:]
    ) -> [UInt8] {
        var buckets: [String: [UInt8]] = ["key": PageBuilder.bucket(root: rootPage, sequence: 0)]
        var contents = extra
        for name in ["alarm", "auth", "cluster", "lease", "members", "members_removed"] where contents[name] == nil {
            contents[name] = []
        }
        let compact = revisionKey(main: compactRevision ?? 0)
        let metaRows = ["consistent_index", "finishedCompactRev", "scheduledCompactRev"].map {
            PageBuilder.Row(key: Array($0.utf8), value: $0 == "consistent_index" ? [0, 0, 0, 0, 0, 0, 0, 9] : compact)
        }
        contents["meta"] = contents["meta"] ?? metaRows
        for (name, rows) in contents {
            let inline = PageBuilder.inlineBucket(rows, pageByteCount: pageByteCount)
            buckets[name] =
                inline
                ?? PageBuilder.bucket(
                    root: append { PageBuilder.leaf(rows, id: $0, pageByteCount: $1) }, sequence: 0)
        }
        for _ in 0..<freelistPadding { addFree() }
        let root = append { id, count in
            PageBuilder.leaf(
                buckets.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
                    .map { PageBuilder.Row(key: Array($0.key.utf8), value: $0.value, isBucket: true) },
                id: id, pageByteCount: count)
        }
        let freelist = storesFreelist ? addFreelist() : Bolt.noFreelist
        var meta = Meta(
            pageByteCount: pageByteCount, rootPage: root, freelistPage: freelist, highWater: nextPage, transaction: 8)
        pages.replaceSubrange(0..<pageByteCount, with: meta.encodedPage(0))
        meta.transaction = 7
        pages.replaceSubrange(pageByteCount..<(2 * pageByteCount), with: meta.encodedPage(1))
        return pages
    }

    private mutating func addFreelist() -> UInt64 {
        var body: [UInt8] = []
        if freeIDs.count >= 0xFFFF { appendLittleEndian(UInt64(freeIDs.count), to: &body) }
        for id in freeIDs { appendLittleEndian(id, to: &body) }
        let count = min(freeIDs.count, 0xFFFF)
        return append { id, pageByteCount in
            let pageCount = (16 + body.count + pageByteCount - 1) / pageByteCount
            let page = PageHeader(id: id, kind: .freelist, count: count, overflow: pageCount - 1).encoded + body
            return page + [UInt8](repeating: 0, count: pageCount * pageByteCount - page.count)
        }
    }
}
