import ArchiveStore
import HostIO
import SealedArchive

/// Whether a store can be written to and has room, what it does of what is asked of stores, what the last backup in it is, and
/// what does not hold among them.
struct StoreCheck {
    let store: any Store
    let scope: StoreScope
    /// The names of the etcds that the next backup would take; nil if they are not known.
    let etcds: [String]?

    func run(databaseByteCount: Int, fileByteCount: Int) -> (checks: [DoctorReport.Check], findings: [Finding]) {
        do {
            try StorePlace.check(store)
            let space = try store.space()
            let traits = try store.probe(for: scope)
            let listing = try space.exists ? listingIfAllowed() : StoreListing()
            let expected = ArchiveSizeEstimate(after: listing ?? StoreListing(), in: scope)
                .byteCount(databases: databaseByteCount) { fileByteCount }
            let checks =
                [check(space, expected)] + traits.map(Self.check)
                + [listing.map { LastBackupCheck(scope: scope, listing: $0, etcds: etcds).run() } ?? Self.unread]
                + (listing?.hidden ?? []).map { .init("store", failed: $0.failure) }
            return (checks, listing?.stateFindings ?? [])
        } catch {
            return ([.init("store", failed: error)], [])
        }
    }

    private static let unread = DoctorReport.Check(
        name: "last backup", status: .ok,
        message: "it is not known: this host may only write to the store; see `etcd-snap list` on one that may read it")

    /// What there is of this node; nil where this host may not read it.
    private func listingIfAllowed() throws -> StoreListing? {
        do {
            return try store.list(cluster: scope.cluster, node: scope.node)
        } catch let error as ObjectError where error.kind == .denied {
            return nil
        }
    }

    private static func check(_ trait: StoreTrait) -> DoctorReport.Check {
        .init(
            name: "store", status: trait.isFault ? .warning : .ok, message: trait.message, advice: trait.advice)
    }

    private func check(_ space: StoreSpace, _ expected: Int) -> DoctorReport.Check {
        let free = space.availableByteCount.map { ", \($0) bytes are free" } ?? ""
        var check = DoctorReport.Check(
            name: "store", status: .ok,
            message: "\(space.place) can be written to\(free), an archive needs about \(expected)")
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
