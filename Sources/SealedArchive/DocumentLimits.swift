import HostIO

/// What the numbers of a document may be: it comes from a store, and anybody may have written it.
///
/// Within these bounds sums and differences of them can't overflow.
enum DocumentLimits {
    static let size = 0...(1 << 56)
    static let sequence = 1...(1 << 53)
    static let revision: ClosedRange<Int64> = -1...(1 << 54)
    static let revisionsPerSecond = 0...1e12

    static func check<Value: Comparable>(
        _ value: Value?, _ range: ClosedRange<Value>, _ field: String, of name: String
    ) throws(Failure) {
        guard let value, !range.contains(value) else { return }
        throw Failure(
            .integrity, "\(quoted(name)): field \(field) is out of bounds (\(value))",
            hint: "the document is damaged or was made up: compare it with another copy of the store")
    }
}

extension Sidecar {
    /// Reads a sidecar; `name` names it in errors.
    ///
    /// - Throws: ``Failure`` with the code `integrity` for what can't be a sidecar, impossible numbers included.
    public static func decode(_ bytes: [UInt8], name: String) throws -> Sidecar {
        let sidecar = try DocumentCoding.decode(Sidecar.self, from: bytes, name: name)
        let object = sidecar.object
        for (value, field) in [
            (object.size, "object.size"), (object.headerSize, "object.headerSize"), (object.tarSize, "object.tarSize"),
            (object.frameSize, "object.frameSize"), (sidecar.entryCount, "entryCount"),
            (sidecar.findingCount, "findingCount"),
        ] {
            try DocumentLimits.check(value, DocumentLimits.size, field, of: name)
        }
        try DocumentLimits.check(sidecar.sequence, DocumentLimits.sequence, "sequence", of: name)
        for summary in sidecar.etcd {
            try DocumentLimits.check(summary.databaseSize, DocumentLimits.size, "databaseSize", of: name)
            for revision in [summary.revision, summary.revisionAtStart, summary.compactRevision] {
                try DocumentLimits.check(revision, DocumentLimits.revision, "revision", of: name)
            }
        }
        return sidecar
    }
}

extension Manifest {
    /// Reads a manifest; `name` names it in errors.
    ///
    /// - Throws: ``Failure`` with the code `integrity` for what can't be a manifest, impossible numbers included;
    ///   ``Failure`` with the code `failed` for one of a newer version.
    static func decode(_ bytes: [UInt8], name: String) throws -> Manifest {
        let manifest = try DocumentCoding.decode(Manifest.self, from: bytes, name: name)
        guard manifest.archive.formatVersion <= ArchiveFormat.version else {
            throw Failure(
                .failed,
                "\(quoted(name)) has format version \(manifest.archive.formatVersion), "
                    + "this program reads \(ArchiveFormat.version)",
                hint: "use a newer etcd-snap, or `age -d | zstd -d | tar x`")
        }
        for record in manifest.etcd {
            try DocumentLimits.check(record.databaseSize, DocumentLimits.size, "databaseSize", of: name)
            try DocumentLimits.check(
                record.revisionsPerSecond, DocumentLimits.revisionsPerSecond, "revisionsPerSecond", of: name)
            for revision in [record.revision, record.revisionAtStart, record.compactRevision] {
                try DocumentLimits.check(revision, DocumentLimits.revision, "revision", of: name)
            }
            guard manifest.entries.contains(where: { $0.path == record.path && $0.role == EntryRole.etcd }) else {
                throw Failure(.integrity, "\(quoted(name)) names \(quoted(record.path)) and does not hold it")
            }
        }
        return manifest
    }
}

extension EtcdSnapshotRecord {
    /// The snapshot's path in the archive.
    public var path: String { Self.path(name: name) }

    /// The path in an archive of the snapshot of that name.
    public static func path(name: String) -> String { "\(ArchiveFormat.etcdPrefix)/\(name).db" }
}
