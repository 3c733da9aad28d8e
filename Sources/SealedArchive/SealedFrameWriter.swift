import Age
import Crypto
import Dispatch
import HostIO
import Synchronization

/// How an archive is compressed, and on how many threads.
public struct CompressionOptions: Sendable {
    /// The zstd level.
    public var level: Int
    /// The input size of a frame in bytes.
    public var frameSize: Int
    /// How many threads compress.
    public var workerCount: Int

    /// The most compressing threads: past this, memory grows and nothing is won, for etcd sends no faster.
    public static let maximumWorkerCount = 4

    /// The options for this host: see `docs/archive-format.md` for how level and frame size were measured.
    public init(level: Int = 1, frameSize: Int = 2 << 20, coreCount: Int = availableCoreCount()) {
        self.level = level
        self.frameSize = frameSize
        // One core is left to the stream, which is never idle while there is something to compress.
        workerCount = min(max(1, coreCount - 1), Self.maximumWorkerCount)
    }
}

/// Cuts a stream of bytes into zstd frames, compresses them in parallel, seals them in order and writes them to a sink.
///
/// The caller's thread fills frames, workers compress, one more thread seals and writes; all wait for each other, so
/// memory is bounded by ``CompressionOptions``. An error on another thread is thrown by the next call.
final class SealedFrameWriter {
    /// Nil once it is stopped, so that its memory is free for what comes after.
    private var pipeline: Pipeline?
    private let frameSize: Int
    private var pool: ByteBlockPool
    private var current: ByteBlock

    init(options: CompressionOptions, encryptor: consuming Encryptor, sink: PayloadSink) throws {
        frameSize = options.frameSize
        pool = ByteBlockPool(capacity: options.frameSize)
        current = pool.take()
        let pipeline = try Pipeline(options: options, sealer: Sealer(encryptor: encryptor, sink: sink))
        pipeline.start()
        self.pipeline = pipeline
    }

    deinit { abandon() }

    /// Stops the threads; what was appended is lost.
    func abandon() {
        pipeline?.stop()
        release()
    }

    private func release() {
        pipeline = nil
        pool = ByteBlockPool(capacity: 0)
        current = ByteBlock(capacity: 0)
    }

    /// Appends bytes to the stream.
    func append(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes
        while !rest.isEmpty {
            let count = min(rest.count, frameSize - current.count)
            current.append(UnsafeRawBufferPointer(rebasing: rest[..<count]))
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            if current.count == frameSize { try cutFrame() }
        }
    }

    /// Appends a block; one that makes a whole frame is taken as it is, and must not change any more.
    func append(_ block: ByteBlock) throws {
        guard current.count == 0, block.count == frameSize else { return try block.withUnsafeBytes(append) }
        try submit(block)
    }

    /// Ends the current frame, so that what follows begins a new one.
    func cutFrame() throws {
        guard current.count > 0 else { return }
        try submit(current)
        current = pool.take()
        current.removeAll()
    }

    private func submit(_ frame: ByteBlock) throws {
        guard let pipeline else { preconditionFailure("an archive is written to after its end") }
        try pipeline.check()
        pipeline.map.submit(frame)
    }

    /// Writes what is left, the locator and the seek table, and ends the age file.
    func finish(locator: ManifestLocator) throws {
        try cutFrame()
        guard let pipeline else { return }
        pipeline.stop()
        release()
        try pipeline.check()
        try pipeline.sealer.finish(locator: locator)
    }
}

/// Seals compressed frames in order.
///
/// `@unchecked Sendable`: used by one thread at a time, the pipeline's, then the one that stopped it.
private final class Sealer: @unchecked Sendable {
    private var encryptor: Encryptor
    private let sink: PayloadSink
    private var table = SeekTable()

    init(encryptor: consuming Encryptor, sink: PayloadSink) {
        self.encryptor = encryptor
        self.sink = sink
    }

    func seal(_ frame: CompressedFrame) throws {
        // One frame more is the locator's.
        guard table.frames.count < SeekTable.maximumFrameCount - 1 else {
            throw Failure(
                .failed, "the archive would have more than \(SeekTable.maximumFrameCount) zstd frames",
                hint: "nobody could read it: back up less into one archive")
        }
        try frame.bytes.withUnsafeBytes { try encryptor.write($0, to: sink.write) }
        table.frames.append(
            SeekTable.Frame(
                compressedSize: UInt32(frame.bytes.count), decompressedSize: UInt32(frame.decompressedByteCount)))
    }

    func finish(locator: ManifestLocator) throws {
        let locatorFrame = locator.encode()
        table.frames.append(SeekTable.Frame(compressedSize: UInt32(locatorFrame.count), decompressedSize: 0))
        try (locatorFrame + table.encode()).withUnsafeBytes { try encryptor.write($0, to: sink.write) }
        try encryptor.finish(to: sink.write)
    }
}

private struct CompressedFrame {
    var bytes: ByteBlock
    var decompressedByteCount: Int
}

private final class Pipeline: Sendable {
    let map: OrderedParallelMap<ByteBlock, CompressedFrame>
    let sealer: Sealer
    private let error = Mutex<(any Error)?>(nil)
    private let drained = DispatchSemaphore(value: 0)

    init(options: CompressionOptions, sealer: Sealer) throws {
        self.sealer = sealer
        map = try OrderedParallelMap(
            name: "etcd-snap.compress", workerCount: options.workerCount, depth: options.workerCount + 1
        ) {
            let compressor = try FrameCompressor(level: options.level, frameSize: options.frameSize)
            return { CompressedFrame(bytes: try compressor.compress($0), decompressedByteCount: $0.count) }
        }
    }

    func start() {
        runBeside("etcd-snap.seal") { [self] in
            while drainNext() {}
            drained.signal()
        }
    }

    /// Waits until everything submitted is sealed.
    func stop() {
        map.finish()
        drained.wait()
    }

    func check() throws {
        if let error = error.withLock({ $0 }) { throw error }
    }

    /// Seals the next frame; after an error frames are only taken away, so that the submitting thread is not stuck.
    private func drainNext() -> Bool {
        do {
            guard let frame = try map.next() else { return false }
            if error.withLock({ $0 == nil }) { try sealer.seal(frame) }
        } catch let failure {
            error.withLock { $0 = $0 ?? failure }
        }
        return true
    }
}

/// Passes a payload on to a sink, counting and hashing it.
final class PayloadSink {
    private let sink: any ByteSink
    private var hash = SHA256()
    private(set) var byteCount = 0

    init(_ sink: any ByteSink) { self.sink = sink }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        hash.update(bufferPointer: bytes)
        byteCount += bytes.count
        try sink.write(bytes)
    }

    func digest() -> [UInt8] { Array(hash.finalize()) }
}
