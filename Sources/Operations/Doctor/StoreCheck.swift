import ArchiveStore
import HostIO
import SealedArchive

/// Whether a store can be written to and has room, and what it does of what is asked of stores.
struct StoreCheck {
    let store: any Store
    /// What the store is called in checks.
    let name: String
    let scope: StoreScope

    /// What was found.
    struct Result {
        var checks: [DoctorReport.Check] = []
        /// What of the store is not looked at.
        var hidden: [DoctorReport.Check] = []
        /// What there is of the node; nil where this host may only write, or the store can't be used.
        var listing: StoreListing?
        /// Whether this host may only write to the store.
        var isWrittenOnly = false
    }

    func run(databaseByteCount: Int, fileByteCount: Int) -> Result {
        do {
            try StorePlace.check(store)
            let space = try store.space()
            let traits = try store.probe(for: scope)
            let listing = try space.exists ? listingIfAllowed() : StoreListing()
            let expected = ArchiveSizeEstimate(after: listing ?? StoreListing(), in: scope)
                .byteCount(databases: databaseByteCount) { fileByteCount }
            return Result(
                checks: [check(space, expected)] + traits.map(check),
                hidden: (listing?.hidden ?? []).map { .init(name, failed: $0.failure) }, listing: listing,
                isWrittenOnly: listing == nil)
        } catch {
            return Result(checks: [.init(name, failed: error)])
        }
    }

    /// What there is of this node; nil where this host may not read it.
    private func listingIfAllowed() throws -> StoreListing? {
        do {
            return try store.list(cluster: scope.cluster, node: scope.node)
        } catch let error as ObjectError where error.kind == .denied {
            return nil
        }
    }

    private func check(_ trait: StoreTrait) -> DoctorReport.Check {
        .init(
            name: name, status: trait.isFault ? .warning : .ok, message: trait.message, advice: trait.advice)
    }

    private func check(_ space: StoreSpace, _ expected: Int) -> DoctorReport.Check {
        let free = space.availableByteCount.map { ", \($0) bytes are free" } ?? ""
        var check = DoctorReport.Check(
            name: name, status: .ok,
            message: "\(space.place) can be written to\(free), an archive needs about \(expected) bytes")
        if space.availableByteCount == 0 {
            check.message = "\(space.place) has no room"
            check.advice = "name another store"
        } else if !space.isWritable {
            check.message = "\(space.place) can't be written to by this user"
            check.advice = "run as root, or name another store"
        } else if let available = space.availableByteCount, available < expected {
            check.advice = "free some space, or name another store"
        } else {
            return check
        }
        check.status = .error
        check.settings = [.store]
        return check
    }
}
