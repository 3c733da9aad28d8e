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

extension DocumentLimits {
    /// Checks sizes that together are not more than a whole, so that their sum can't overflow.
    static func checkSum(_ sizes: some Sequence<Int>, _ whole: Int, _ field: String, of name: String) throws(Failure) {
        var rest = whole
        for size in sizes {
            try check(size, 0...max(0, rest), field, of: name)
            rest -= size
        }
    }
}

extension Sidecar {
    /// Reads a sidecar; `name` names it in errors.
    ///
    /// - Throws: ``Failure`` with the code `integrity` for what can't be a sidecar, impossible numbers included; with the
    ///   code `failed` for one of a later version, or one that requires what this version does not know.
    public static func decode(_ bytes: [UInt8], name: String) throws -> Sidecar {
        let sidecar = try decodeByRules(bytes, name: name)
        let object = sidecar.object
        for (value, field) in [
            (object.size, "object.size"), (object.tarSize, "object.tarSize"), (object.frameSize, "object.frameSize"),
            (sidecar.entryCount, "entryCount"), (sidecar.findingCount, "findingCount"),
        ] {
            try DocumentLimits.check(value, DocumentLimits.size, field, of: name)
        }
        try DocumentLimits.check(object.headerSize, 0...object.size, "object.headerSize", of: name)
        try DocumentLimits.check(sidecar.sequence, DocumentLimits.sequence, "sequence", of: name)
        try DocumentLimits.checkSum(sidecar.etcd.map(\.databaseSize), object.tarSize, "etcd.databaseSize", of: name)
        for summary in sidecar.etcd {
            for revision in [
                summary.revision, summary.revisionAtStart, summary.compactRevision, summary.hashKVCompactRevision,
            ] {
                try DocumentLimits.check(revision, DocumentLimits.revision, "revision", of: name)
            }
        }
        try DocumentLimits.check(sidecar.slot, sidecar.sharedSnapshots, of: name)
        return sidecar
    }
}

extension Manifest {
    /// Reads the manifest of a tar of that size; `name` names it in errors.
    ///
    /// - Throws: ``Failure`` with the code `integrity` for what can't be a manifest, impossible numbers included; with
    ///   the code `failed` for one of a later version, or one that requires what this version does not know.
    static func decode(_ bytes: [UInt8], tarByteCount: Int, name: String) throws -> Manifest {
        let manifest = try decodeByRules(bytes, name: name)
        try DocumentLimits.check(manifest.sequence, DocumentLimits.sequence, "sequence", of: name)
        try manifest.checkPlaces(tarByteCount: tarByteCount, name: name)
        try DocumentLimits.check(manifest.slot, manifest.sharedSnapshots, of: name)
        let snapshots = Set(manifest.entries.filter { $0.role == EntryRole.etcd }.map(\.path))
        try DocumentLimits.checkSum(manifest.etcd.map(\.databaseSize), tarByteCount, "etcd.databaseSize", of: name)
        for record in manifest.etcd {
            try DocumentLimits.check(
                record.revisionsPerSecond, DocumentLimits.revisionsPerSecond, "revisionsPerSecond", of: name)
            for revision in [record.revision, record.revisionAtStart, record.compactRevision] {
                try DocumentLimits.check(revision, DocumentLimits.revision, "revision", of: name)
            }
            guard snapshots.contains(record.path) else {
                throw Failure(.integrity, "\(quoted(name)) names \(quoted(record.path)) and does not hold it")
            }
        }
        return manifest
    }

    /// Members follow each other in the tar, so that none lies outside it or in another.
    private func checkPlaces(tarByteCount: Int, name: String) throws(Failure) {
        var end = 0
        for entry in entries {
            guard entry.size >= 0, entry.offset >= end, entry.size <= tarByteCount,
                entry.offset <= tarByteCount - entry.size
            else {
                throw Failure(
                    .integrity,
                    "\(quoted(name)): \(quoted(entry.path)) of \(entry.size) bytes at \(entry.offset) lies outside "
                        + "the tar of \(tarByteCount) bytes or in another member",
                    hint: "the document is damaged or was made up: use another backup")
            }
            end = entry.offset + entry.size
        }
    }
}

extension EtcdSnapshotRecord {
    /// The snapshot's path in the archive.
    public var path: String { Self.path(name: name) }

    /// The path in an archive of the snapshot of that name.
    public static func path(name: String) -> String { "\(ArchiveFormat.etcdPrefix)/\(name).db" }
}
