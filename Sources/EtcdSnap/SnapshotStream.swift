import HostIO
import Synchronization

/// What is known of a snapshot before its first byte.
public struct SnapshotHeader: Sendable, Equatable {
    /// The number of bytes that the SHA-256 after the database has.
    public static let digestByteCount: UInt64 = 32
    /// The largest size that is believed, in bytes: sums of such sizes don't overflow.
    public static let maximumDatabaseByteCount: UInt64 = 1 << 50

    /// The size of the database in bytes.
    public var databaseByteCount: UInt64
    /// The version of the storage schema; nil before etcd 3.6.
    public var storageVersion: String?

    /// The size of the file as `etcdctl snapshot save` writes it: the database and its SHA-256, in bytes.
    public var totalByteCount: UInt64 { databaseByteCount + Self.digestByteCount }
}

/// What is known of a snapshot that was received whole and verified.
public struct SnapshotSummary: Sendable, Equatable {
    /// The size of the database in bytes, without the SHA-256 after it.
    public var databaseByteCount: UInt64
    /// The SHA-256 of the database, as the server sent it and as it was computed.
    public var sha256: [UInt8]
    /// The SHA-256 of all that was delivered: the database and the SHA-256 after it.
    public var fileSHA256: [UInt8]
    /// The version of the storage schema; nil before etcd 3.6.
    public var storageVersion: String?
    /// Where the snapshot came from.
    public var endpoint: Endpoint
    /// The time from the request to the last byte.
    public var duration: Duration
}

/// A snapshot on its way from a member: the bytes of the file that `etcdctl snapshot save` would write, in blocks.
///
/// The sequence ends only after the number of bytes and the SHA-256 were found right; it throws ``SnapshotError``
/// otherwise, or ``EtcdError``, or `CancellationError`. Until then nothing that was delivered may be relied on. It can
/// be iterated once, by one task. A block and 4 MiB are read ahead; beyond them the server is held back. A block is used again
/// once nobody refers to it.
public final class SnapshotStream: AsyncSequence, Sendable {
    /// A block of the file, ``blockByteCount`` bytes but for the last.
    public typealias Element = ByteBlock

    /// The size of a block in bytes: that of an archive's frame, which then is made of a block as it is.
    public static let blockByteCount = 2 << 20

    /// What is received ahead of the blocks: a round trip of 30 ms at a gigabit per second.
    static let readAheadByteCount: Int32 = 4 << 20

    /// What is known in advance.
    public let header: SnapshotHeader
    /// Where the snapshot comes from.
    public let endpoint: Endpoint
    private let pump: SnapshotPump

    init(header: SnapshotHeader, pump: SnapshotPump) {
        self.header = header
        self.pump = pump
        endpoint = pump.endpoint
    }

    deinit { pump.cancel() }

    /// What is known of the snapshot once the sequence has ended; nil until then and after an error.
    public var summary: SnapshotSummary? { pump.summary }

    /// Gives up the snapshot; the iteration throws `CancellationError`.
    public func cancel() { pump.cancel() }

    /// Begins the one iteration.
    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(stream: self) }

    /// The one iteration over the blocks.
    public struct AsyncIterator: AsyncIteratorProtocol {
        fileprivate let stream: SnapshotStream

        /// The next block; nil after the last, when everything is verified.
        public mutating func next() async throws -> ByteBlock? {
            let pump = stream.pump
            return try await withTaskCancellationHandler {
                try await pump.next()
            } onCancel: {
                pump.cancel()
            }
        }
    }
}
