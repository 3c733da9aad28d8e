import HostIO

/// Writes an edited database into a new file; pages that belong to nothing read as zero.
struct DatabaseWriter {
    let edit: EditedDatabase

    /// The size of the file in bytes.
    var byteCount: Int { Int(edit.meta.highWater) * edit.pageByteCount }

    /// Copies the pages from `source`, adds what was changed, and returns after the file is durable and was read back.
    ///
    /// Memory: that of ``BlockFeed``.
    ///
    /// - Parameter digest: gets all bytes of `source` as they are copied, so that what is digested is what is written.
    func write(
        from source: any RandomAccessBytes, to file: MemberFile, digest: TrailerDigest? = nil
    ) throws(StorageError) {
        var offset = 0
        let copy: BlockFeed.Stage = { block in
            try file.copyPages(of: block, at: offset, edit.oldMeta, where: edit.copied.contains)
            offset += block.count
        }
        try BlockFeed(source: source).run(digest.map { digest in [{ digest.consume($0) }, copy] } ?? [copy])
        try complete(file)
    }

    /// Adds what was changed to a file that has the copied pages, and returns after it is durable and was read back.
    func complete(_ file: MemberFile) throws(StorageError) {
        try wrappingErrors {
            try file.setByteCount(byteCount)
            try file.write(edit.appended, at: Int(edit.oldMeta.highWater) * edit.pageByteCount)
            var meta = edit.meta
            try file.write(meta.encodedPage(0), at: 0)
            meta.transaction -= 1
            try file.write(meta.encodedPage(1), at: edit.pageByteCount)
            try file.sync()
        }
        try readBack(file)
    }

    /// Reads the whole file as any snapshot is read, and holds every bucket's rows to what they have to be.
    ///
    /// The bytes mostly come from memory, where the system keeps what was just written: what is found is a wrong edit or a
    /// snapshot that changed meanwhile, not a disk that loses what it has confirmed.
    private func readBack(_ file: MemberFile) throws(StorageError) {
        let bytes = try wrappingErrors { try RandomAccessFile(path: file.path) }
        let written = try SnapshotStatus.verify(bytes, checksTrailer: false)
        if let finding = written.report.findings.first { throw .writtenWrong(path: file.path, "\(finding)") }
        for (name, checksum) in edit.bucketChecksums where written.tree.bucketChecksums[name] != checksum {
            let title = BoltBucket(name: name, value: []).title
            throw .writtenWrong(path: file.path, "bucket \(title) does not have the rows that were to be written")
        }
    }
}
