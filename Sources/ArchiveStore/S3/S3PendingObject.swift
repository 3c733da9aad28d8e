import Crypto
import Dispatch
import HTTP
import HostIO
import S3
import Synchronization

/// An object of S3 that is being written: one request for a small one, parts for others, which are sent while the next is
/// filled.
///
/// `@unchecked Sendable`: the filling side is one thread at a time; what the sending side shares with it is in ``shared``.
final class S3PendingObject: PendingObject, @unchecked Sendable {
    private struct Shared {
        var parts: [S3Part] = []
        /// Blocks that were handed to the sending side, by the numbers of their parts.
        var blocks: [Int: ByteBlock] = [:]
        var failure: (any Error)?
    }

    private let key: S3Key
    private let name: String
    private let objects: S3Objects
    private let note: @Sendable (String) throws -> Void
    private let cancellation = HTTPCancellation()
    private let shared = Mutex(Shared())
    private let sending = DispatchGroup()
    private let free: DispatchSemaphore
    private var pool = ByteBlockPool(capacity: MultipartPlan.partByteCount)
    private var block: ByteBlock?
    private var uploadID: String?
    private var partCount = 0
    private var byteCount = 0
    /// Whether there may be an upload that nobody has said the name of.
    private var hasNamelessUpload = false
    /// Whether the object is there, or may be.
    private var mayBeThere = false
    private(set) var mayBeLeft = false
    /// The entity tag that the server gave it.
    private var tag: String?

    /// So many parts are under way at once; each is in memory, and so is the one that is filled.
    private static let concurrentPartCount = 1

    init(_ key: S3Key, _ name: String, in objects: S3Objects, note: @escaping @Sendable (String) throws -> Void) {
        self.key = key
        self.name = name
        self.objects = objects
        self.note = note
        free = DispatchSemaphore(value: 0)
        // A semaphore that is freed with less than its first value traps, so the value is built up by signals.
        for _ in 0..<Self.concurrentPartCount { free.signal() }
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes
        while !rest.isEmpty {
            let block = block ?? pool.take()
            if self.block == nil { block.removeAll() }
            self.block = block
            // Another byte shows that a full block is not the last.
            if block.count == block.capacity {
                try send(block)
                continue
            }
            let count = min(rest.count, block.capacity - block.count)
            block.append(UnsafeRawBufferPointer(rebasing: rest[..<count]))
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            byteCount += count
        }
    }

    /// Hands a full block to the sending side, which has to be through with the one before.
    private func send(_ block: ByteBlock) throws {
        try MultipartPlan.check(byteCount)
        free.wait()
        do {
            try checkSent()
            let uploadID = try uploadID ?? beginUpload()
            partCount += 1
            let number = partCount
            shared.withLock { $0.blocks[number] = block }
            sending.enter()
            runBeside("etcd-snap.upload") { [self] in
                // When it is through nothing refers to the block any more: the next one is filled in it.
                upload(number, of: uploadID)
                free.signal()
                sending.leave()
            }
        } catch {
            free.signal()
            throw error
        }
        self.block = nil
    }

    private func checkSent() throws {
        if cancellation.isCancelled { throw CancellationError() }
        if let failure = shared.withLock({ $0.failure }) { throw failure }
    }

    private func beginUpload() throws -> String {
        // Before it exists: the key finds it too, if the answer is lost.
        try note("")
        let create = CreateMultipartUpload(
            key, attributes: objects.attributes(isArchive: true), sendsChecksums: objects.settings.sendsChecksums)
        let call = S3Call(cancellation)
        defer { hasNamelessUpload = call.mayHaveLostAnswer }
        let id = try objects.explainingLocks { try sending(create, call) }
        uploadID = id
        UnfinishedWork.add(self) { [objects, key, cancellation] in
            cancellation.cancel()
            let call = S3Call(deadline: S3Connection.cleaningTimeout)
            _ = try? objects.connection.send(AbortMultipartUpload(key, uploadID: id), nil, call)
        }
        try note(id)
        return id
    }

    /// Sends what the writing thread waits for.
    private func sending<Operation: S3Operation>(_ operation: Operation, _ call: S3Call) throws -> Operation.Output {
        do {
            return try objects.translating { try objects.sender.send(operation, nil, call) }
        } catch  where cancellation.isCancelled {
            throw CancellationError()
        }
    }

    private func upload(_ number: Int, of uploadID: String) {
        let handed = shared.withLock { $0.blocks.removeValue(forKey: number) }
        guard let block = handed, shared.withLock({ $0.failure == nil }) else { return }
        do {
            let part = try objects.translating {
                try objects.sender.send(
                    UploadPart(
                        key, uploadID: uploadID, number: number, Self.payload(block),
                        sendsChecksum: objects.settings.sendsChecksums), block, S3Call(cancellation))
            }
            shared.withLock { $0.parts.append(part) }
        } catch {
            shared.withLock { $0.failure = $0.failure ?? error }
        }
    }

    private static func payload(_ block: ByteBlock) -> S3Request.Payload {
        let digest = block.withUnsafeBytes { bytes in
            var hash = SHA256()
            hash.update(bufferPointer: bytes)
            return Array(hash.finalize())
        }
        return .external(byteCount: block.count, sha256: digest)
    }

    func finish() throws -> StoredObject {
        if partCount == 0 {
            try create { try putWhole($0) }
        } else {
            if let block { try send(block) }
            sending.wait()
            try checkSent()
            try create { try complete($0) }
        }
        mayBeThere = true
        UnfinishedWork.remove(self)
        return StoredObject(key: name, byteCount: byteCount, tag: tag)
    }

    /// Makes the object; notes whether it may be there though that failed, unless another is.
    private func create(_ body: (S3Call) throws -> Void) throws {
        let call = S3Call(cancellation)
        do {
            try body(call)
        } catch {
            let isOfAnother = (error as? ObjectError)?.kind == .exists
            mayBeThere = call.mayHaveLostAnswer && !isOfAnother
            throw cancellation.isCancelled ? CancellationError() : error
        }
    }

    private func putWhole(_ call: S3Call) throws {
        let block = block ?? ByteBlock(capacity: 1)
        self.block = block
        try objects.put(
            name, Self.payload(block), block, objects.attributes(isArchive: true), call: call, isOwn: isThere)
    }

    private func complete(_ call: S3Call) throws {
        guard let uploadID else { return }
        let parts = shared.withLock { $0.parts.sorted { $0.number < $1.number } }
        do {
            try objects.creating(name, isOwn: isThere) { condition in
                let complete = CompleteMultipartUpload(key, uploadID: uploadID, parts: parts, condition: condition)
                tag = try objects.sender.send(complete, nil, call).entityTag
            }
        } catch let error as ObjectError where error.kind == .absent && call.mayHaveLostAnswer {
            // An answer was lost, and the upload is over: it was completed, unless somebody ended it just then.
            guard try objects.isOwnUnlessDenied(isThere) else { throw error }
        }
        // One whose answer was lost when it was begun has no part, and would stay.
        if hasNamelessUpload { try? objects.removeLeftover(of: name, upload: nil) }
    }

    /// Whether an object of the size that was written is there; the key has a random part that this process made.
    private func isThere() throws -> Bool { try objects.object(name)?.byteCount == byteCount }

    var interruption: (@Sendable () -> Void)? { { [cancellation] in cancellation.cancel() } }

    func discard() {
        cancellation.cancel()
        sending.wait()
        block = nil
        var isGone = true
        if let uploadID {
            // A part that was under way may have come after the first.
            for _ in 0..<2 {
                isGone = (try? objects.translating { try objects.abort(.init(key, uploadID: uploadID)) }) != nil
            }
        }
        if hasNamelessUpload { isGone = (try? objects.removeLeftover(of: name, upload: nil)) != nil && isGone }
        if mayBeThere { isGone = (try? objects.remove([name]))?.isEmpty == true && isGone }
        UnfinishedWork.remove(self)
        mayBeLeft = !isGone
    }

    deinit { UnfinishedWork.remove(self) }
}
