import Dispatch
import HostIO
import Synchronization

/// Adds small members to an archive, in order, on a thread of its own: the next ones can be made meanwhile.
///
/// Members are gathered into batches, of which one is filled while the other is written: a thread is not woken for every
/// file. Memory: 1 MiB. Whoever uses the writer itself calls ``flush()`` before.
///
/// `@unchecked Sendable`: a batch is filled by the caller's thread and then written by the queue's, which is serial; the
/// semaphore orders both. The writer is used by the queue's thread, and by the caller's when that is idle.
public final class MemberQueue: @unchecked Sendable {
    /// The most bytes of a member that is gathered; larger ones are written at once.
    public static let memberByteCountLimit = 256 << 10
    private static let memberCountLimit = 512

    private struct Member {
        var metadata: EntryMetadata
        var role: String
        var source: [UInt8]?
        var byteCount: Int
    }

    private final class Batch {
        let content = ByteBlock(capacity: memberByteCountLimit, holdsKeys: true)
        var members: [Member] = []
    }

    private let writer: ArchiveWriter
    private let queue = DispatchQueue(label: "etcd-snap.members")
    private let batches = [Batch(), Batch()]
    private var openIndex = 0
    /// Counts the batches that are neither filled nor written.
    private let idle = DispatchSemaphore(value: 0)
    private let failure = Mutex<(any Error)?>(nil)

    /// A queue into `writer`.
    public init(_ writer: ArchiveWriter) {
        self.writer = writer
        idle.signal()
    }

    /// Adds a whole member; its bytes are copied.
    ///
    /// - Throws: what the writer threw for an earlier member; then nothing more is written.
    public func add(
        _ metadata: EntryMetadata, role: String, source: [UInt8]?,
        bytes: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
    ) throws {
        if bytes.count > batches[openIndex].content.capacity - batches[openIndex].content.count { submit() }
        try check()
        guard bytes.count <= Self.memberByteCountLimit else {
            try flush()
            return try writer.add(metadata, role: role, source: source, bytes: bytes)
        }
        let batch = batches[openIndex]
        batch.content.append(bytes)
        batch.members.append(Member(metadata: metadata, role: role, source: source, byteCount: bytes.count))
        if batch.members.count == Self.memberCountLimit { submit() }
    }

    /// Returns once all that was added is written.
    ///
    /// - Throws: what the writer threw.
    public func flush() throws {
        if !batches[openIndex].members.isEmpty { submit() }
        queue.sync {}
        try check()
    }

    private func check() throws {
        if let failure = failure.withLock({ $0 }) { throw failure }
    }

    /// Has the open batch written and opens the other one.
    private func submit() {
        let index = openIndex
        queue.async { [self] in
            write(batches[index])
            idle.signal()
        }
        idle.wait()
        openIndex = 1 - index
    }

    private func write(_ batch: Batch) {
        do {
            try check()
            try batch.content.withUnsafeBytes { content in
                var offset = 0
                for member in batch.members {
                    let end = offset + member.byteCount
                    let bytes = UnsafeRawBufferPointer(rebasing: content[offset..<end])
                    try writer.add(member.metadata, role: member.role, source: member.source, bytes: bytes)
                    offset = end
                }
            }
        } catch {
            failure.withLock { $0 = $0 ?? error }
        }
        batch.content.wipe()
        batch.members.removeAll(keepingCapacity: true)
    }
}
