import ArchiveStore
import HostIO
import SealedArchive
import Synchronization

/// What the store has of an archive that is not published yet, opened when something of it has to be read.
///
/// A host that may only write to its store can't read what it has written: then there is nothing to open.
final class StoredArchive {
    private let open: () throws -> ArchiveReader
    private var opened: ArchiveReader?
    private(set) var denial: Failure?

    init(_ open: @escaping () throws -> ArchiveReader) { self.open = open }

    /// The archive as it is stored; nil if this host has no right to read it, which ``denial`` tells then.
    ///
    /// - Throws: ``SinkError``.
    func reader() throws -> ArchiveReader? {
        if let opened { return opened }
        guard denial == nil else { return nil }
        do {
            let reader = try open()
            opened = reader
            return reader
        } catch let error as ObjectError where error.kind == .denied {
            denial = error.failure
            return nil
        } catch {
            throw SinkError(cause: error)
        }
    }

    /// That a level was not reached because the archive can't be read back.
    func finding(for name: String) -> Finding {
        Finding(
            .warning, code: "not-read-back", subject: name,
            message: "the archive could not be read back from the store: \(denial?.message ?? "it may not be read")",
            advice:
                "check it on a host that may read it, with `etcd-snap verify` and your key; or have backups verified to "
                + "a level that needs no reading back")
    }
}
