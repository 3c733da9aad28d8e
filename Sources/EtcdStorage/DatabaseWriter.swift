import HostIO

/// Writes an edited database into a new file; pages that belong to nothing read as zero.
struct DatabaseWriter {
    let edit: DatabaseEdit
    /// The source's.
    let oldMeta: Meta

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
        var offset = 0
        let copy: BlockFeed.Stage = { block in
            try file.copyPages(of: block, at: offset, oldMeta, where: edit.copied.contains)
            offset += block.count
        }
        try BlockFeed(source: source).run(digest.map { digest in [{ digest.consume($0) }, copy] } ?? [copy])
        try complete(file)
    }

    /// Adds what was changed to a file that has the copied pages, and returns after it is durable.
    func complete(_ file: MemberFile) throws(StorageError) {
        try wrappingErrors {
            try file.setByteCount(byteCount)
            try file.write(edit.appended, at: Int(oldMeta.highWater) * edit.pageByteCount)
            var meta = edit.meta
            try file.write(meta.encodedPage(0), at: 0)
            meta.transaction -= 1
            try file.write(meta.encodedPage(1), at: edit.pageByteCount)
            try file.sync()
        }
    }
}
