import HostIO
import SealedArchive

/// How a drill is made.
public struct DrillOptions: Sendable {
    /// The program etcd; nil to look for it.
    public var etcdPath: String?
    /// The program kube-apiserver; nil to look for it in `PATH`, and do without if it is not there.
    public var apiServerPath: String?
    /// The directory in which the drill's own is made; nil for one in memory.
    public var scratch: String?

    /// Where shared memory is mounted (shm_overview(7)): what is there is on no disk.
    public static let defaultScratch = "/dev/shm"

    /// A drill with the etcd that is found, in memory.
    public init(etcdPath: String? = nil, apiServerPath: String? = nil, scratch: String? = nil) {
        self.etcdPath = etcdPath
        self.apiServerPath = apiServerPath
        self.scratch = scratch
    }
}

/// How much memory a drill takes: etcd maps the database, and keeps an index of its keys.
public enum DrillMemory {
    /// The bytes that have to be free for a database of a size.
    ///
    /// - Parameter hasAPIServer: whether a kube-apiserver is booted too, which keeps most objects in memory, decoded.
    public static func need(databaseByteCount: Int, hasAPIServer: Bool = false) -> Int {
        databaseByteCount / 5 * 6 + 500_000_000 + (hasAPIServer ? 2 * databaseByteCount + 300_000_000 : 0)
    }

    /// Refuses what would take the memory from others: on a control plane's host these are etcd and the API server.
    ///
    /// - Parameters:
    ///   - databaseByteCount: the largest database; one is booted at a time.
    ///   - hasAPIServer: whether a kube-apiserver is booted too.
    ///   - available: the bytes that are free; nil where that is not known, and nothing is refused.
    /// - Throws: ``Failure`` with the code `noSpace`.
    public static func check(databaseByteCount: Int, hasAPIServer: Bool = false, available: Int?) throws(Failure) {
        let need = need(databaseByteCount: databaseByteCount, hasAPIServer: hasAPIServer)
        guard let available, available < need else { return }
        throw Failure(
            .noSpace,
            "a drill of a database of \(databaseByteCount) bytes needs \(need) bytes of free memory, and \(available) are free",
            hint: "make it on a host that has as much: the archive, its sidecar and your key are all that it takes")
    }
}

/// What a drill came to.
public struct DrillReport: Sendable {
    /// What is kept of it beside the archive.
    public var record: DrillRecord
    /// Why it did not come to its end; nil if it did.
    public var failure: Failure?
    /// What speaks against the snapshots that were taken.
    public var warnings: [String] = []
}

/// What a drill would do.
public struct DrillPreview: Codable, Sendable {
    /// The archive.
    public var reference: String
    /// The etcd that would be booted.
    public var etcd: DrillRecord.Program
    /// The kube-apiserver that would be booted on it; nil for none.
    public var apiServer: DrillRecord.Program?
    /// Where it would be.
    public var scratch: String
    /// Whether that is in memory.
    public var isScratchInMemory: Bool
    /// The databases that would be restored and booted.
    public var databases: [DrillRecord.Database]
    /// The bytes of memory that it would need.
    public var neededMemory: Int
    /// Those that are free; nil where that can't be told.
    public var availableMemory: Int?
}
