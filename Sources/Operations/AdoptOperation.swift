import Age
import ArchiveStore
import FoundationEssentials
import HostIO
import SealedArchive

/// What became of an archive that had lost its sidecar.
public struct AdoptReport: Codable, Sendable {
    /// Which archive: `cluster/node/id`.
    public var reference: String
    /// Its path.
    public var path: String
    /// Whether the sidecar was published; otherwise it is what would be.
    public var isAdopted: Bool
    /// The rebuilt sidecar.
    public var sidecar: Sidecar
}

/// Gives an archive that has lost its sidecar a new one.
public enum AdoptOperation {
    /// Reads the whole archive, checks everything in it, and publishes a sidecar made from it.
    ///
    /// - Parameter isDryRun: whether nothing is published.
    /// - Throws: ``Failure`` with the code `integrity` for the first thing that does not hold, also if the archive is that of
    ///   another place, `untrusted` if no identity opens it.
    public static func run(
        _ orphan: UnreadableBackup, in store: any Store, identities: [any Identity], isDryRun: Bool,
        observer: Observer = Observer()
    ) async throws -> AdoptReport {
        guard let scope = orphan.scope else {
            throw Failure(
                .usage, "\(quoted(orphan.reference)) lies in a directory that is no store of cluster and node",
                hint: "move it to CLUSTER/NODE in a store, and adopt it there")
        }
        let path = store.location(of: orphan.id, in: scope)
        let file = try store.open(orphan.id, in: scope)
        let header = try Header.read(from: file)
        // First what takes no time: a wrong key or place.
        try await withBlockingThread("etcd-snap.adopt.place") {
            let described = try ArchiveReader(file, identities: identities).readManifest().archive
            let place = described.reference + ArchiveFormat.archiveSuffix
            try described.check(
                isOf: orphan.reference, path: path, hint: "move it to \(place) in a store, and adopt it there")
        }
        async let digest = withBlockingThread("etcd-snap.adopt.sealed") {
            try VerifyOperation.hash(file, from: header.byteCount, observer: Observer())
        }
        var sidecar = try await withBlockingThread("etcd-snap.adopt.content") {
            let reader = try ArchiveReader(file, identities: identities)
            try VerifyOperation.checkMembers(reader, observer: observer)
            return try Sidecar(rebuiltFrom: reader, file, header: header, identities: identities)
        }
        sidecar.object.payloadSHA256 = try await digest.hexadecimal
        if !sidecar.etcd.isEmpty { sidecar.verification = OpenValue(.structural) }
        // Locked only now: a backup does not have to wait while the archive is read.
        if isDryRun {
            try store.checkWritable(for: scope)
        } else {
            try store.writer(for: scope).adopt(SidecarDocument(sidecar))
        }
        return AdoptReport(reference: orphan.reference, path: path, isAdopted: !isDryRun, sidecar: sidecar)
    }
}
