import HostIO

/// Lays out pages as bbolt does (`node.write`).
enum PageBuilder {
    /// A row of a leaf; the value of a bucket's row is a ``BucketRoot`` value.
    struct Row {
        var key: [UInt8]
        var value: [UInt8]
        var isBucket = false
    }

    /// A leaf with its overflow pages.
    static func leaf(_ rows: [Row], id: UInt64, pageByteCount: Int) -> [UInt8] {
        page(.leaf, id, rows.count, leafBody(rows), pageByteCount)
    }

    /// A branch with its overflow pages; each child with the first key below it.
    static func branch(
        _ children: [(key: [UInt8], page: UInt64)], id: UInt64, pageByteCount: Int
    ) -> [UInt8] {
        var elements: [UInt8] = []
        var data: [UInt8] = []
        for (index, child) in children.enumerated() {
            let position = (children.count - index) * Bolt.elementByteCount + data.count
            appendLittleEndian(UInt32(position), to: &elements)
            appendLittleEndian(UInt32(child.key.count), to: &elements)
            appendLittleEndian(child.page, to: &elements)
            data += child.key
        }
        return page(.branch, id, children.count, elements + data, pageByteCount)
    }

    /// The value of a bucket whose rows are inline; nil if they are too many for that (`Bucket.inlineable`).
    static func inlineBucket(_ rows: [Row], sequence: UInt64 = 0, pageByteCount: Int) -> [UInt8]? {
        let body = leafBody(rows)
        guard Bolt.pageHeaderByteCount + body.count <= pageByteCount / 4 else { return nil }
        return bucket(root: 0, sequence: sequence)
            + PageHeader(id: 0, kind: .leaf, count: rows.count, overflow: 0).encoded + body
    }

    /// The value of a bucket whose tree begins at a page.
    static func bucket(root: UInt64, sequence: UInt64) -> [UInt8] {
        var value: [UInt8] = []
        appendLittleEndian(root, to: &value)
        appendLittleEndian(sequence, to: &value)
        return value
    }

    private static func leafBody(_ rows: [Row]) -> [UInt8] {
        var elements: [UInt8] = []
        var data: [UInt8] = []
        for (index, row) in rows.enumerated() {
            let position = (rows.count - index) * Bolt.elementByteCount + data.count
            appendLittleEndian(UInt32(row.isBucket ? Bolt.bucketElementFlag : 0), to: &elements)
            appendLittleEndian(UInt32(position), to: &elements)
            appendLittleEndian(UInt32(row.key.count), to: &elements)
            appendLittleEndian(UInt32(row.value.count), to: &elements)
            data += row.key + row.value
        }
        return elements + data
    }

    private static func page(
        _ kind: PageKind, _ id: UInt64, _ count: Int, _ body: [UInt8], _ pageByteCount: Int
    ) -> [UInt8] {
        let pageCount = (Bolt.pageHeaderByteCount + body.count + pageByteCount - 1) / pageByteCount
        var bytes = PageHeader(id: id, kind: kind, count: count, overflow: pageCount - 1).encoded + body
        bytes += [UInt8](repeating: 0, count: pageCount * pageByteCount - bytes.count)
        return bytes
    }
}
