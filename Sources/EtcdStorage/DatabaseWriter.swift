import HostIO

/// Writes an edited database into a new file; pages that belong to nothing are left as holes, which read as zero.
struct DatabaseWriter {
    let edit: DatabaseEdit
    let oldHighWater: UInt64

    /// The size of the file in bytes.
    var byteCount: Int { Int(edit.meta.highWater) * edit.pageByteCount }

    /// Copies the pages from `source`, adds what was changed, and returns after the file is durable.
    ///
    /// Memory: that of ``BlockFeed``.
    ///
    /// - Parameter digest: gets all bytes of `source` as they are copied, so that what is digested is what is written.
    func write(
        from source: any RandomAccessBytes, to file: MemberFile, digest: TrailerDigest? = nil
    ) throws(StorageError) {
        try wrappingErrors { try file.setByteCount(byteCount) }
        var offset = 0
        var stages: [(UnsafeRawBufferPointer) throws -> Void] = [
            { block in
                try copyPages(of: block, at: offset, to: file)
                offset += block.count
            }
        ]
        if let digest { stages.insert({ digest.consume($0) }, at: 0) }
        try BlockFeed(source: source).run(stages)
        try wrappingErrors {
            try file.write(edit.appended, at: Int(oldHighWater) * edit.pageByteCount)
            var meta = edit.meta
            try file.write(meta.encodedPage(0), at: 0)
            meta.transaction -= 1
            try file.write(meta.encodedPage(1), at: edit.pageByteCount)
            try file.sync()
        }
    }

    /// Writes those pages of a block that are copied, as many at once as follow each other.
    private func copyPages(of block: UnsafeRawBufferPointer, at offset: Int, to file: MemberFile) throws {
        let pageByteCount = edit.pageByteCount
        let first = UInt64(offset / pageByteCount)
        let end = min(oldHighWater, first + UInt64(block.count / pageByteCount))
        var page = first
        while page < end {
            guard edit.copied.contains(page) else {
                page += 1
                continue
            }
            let start = page
            while page < end, edit.copied.contains(page) { page += 1 }
            let part = block[(Int(start - first) * pageByteCount)..<(Int(page - first) * pageByteCount)]
            try file.write(UnsafeRawBufferPointer(rebasing: part), at: Int(start) * pageByteCount)
        }
        file.startWriteback(at: offset, byteCount: block.count)
    }
}
