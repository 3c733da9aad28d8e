internal import CZstd
import HostIO

/// A failure of the zstd library, or a frame that is not what its table says.
func zstdFailure(_ result: Int, _ subject: String) -> Failure {
    Failure(.integrity, "\(subject): \(String(cString: ZSTD_getErrorName(result)))")
}

/// A context of the library, unless there is no memory for it.
private func made(_ context: OpaquePointer?) throws(Failure) -> OpaquePointer {
    guard let context else { throw Failure(.failed, "out of memory for a zstd context") }
    return context
}

/// Compresses blocks into independent zstd frames (RFC 8878) that carry their content size.
///
/// Not safe for use by two threads at once.
final class FrameCompressor {
    private let context: OpaquePointer
    private var pool: ByteBlockPool

    /// A compressor for blocks of up to `frameSize` bytes.
    init(level: Int, frameSize: Int) throws {
        context = try made(ZSTD_createCCtx())
        pool = ByteBlockPool(capacity: ZSTD_compressBound(frameSize))
        try set(ZSTD_c_compressionLevel, level)
        // Old revisions repeat far away, and a frame is all that there is to refer to: let it refer to all of it.
        try set(ZSTD_c_windowLog, max(10, Int.bitWidth - (frameSize - 1).leadingZeroBitCount))
    }

    private func set(_ parameter: ZSTD_cParameter, _ value: Int) throws {
        let result = ZSTD_CCtx_setParameter(context, parameter, CInt(value))
        guard ZSTD_isError(result) == 0 else {
            throw Failure(.usage, "zstd: \(value): \(String(cString: ZSTD_getErrorName(result)))")
        }
    }

    deinit { ZSTD_freeCCtx(context) }

    /// One frame that holds the bytes of `block`.
    func compress(_ block: ByteBlock) throws -> ByteBlock {
        let output = pool.take()
        try output.fill { target throws(Failure) in
            let size = block.withUnsafeBytes { source in
                ZSTD_compress2(context, target.baseAddress, target.count, source.baseAddress, source.count)
            }
            guard ZSTD_isError(size) == 0 else { throw zstdFailure(size, "zstd frame of \(block.count) bytes") }
            return size
        }
        return output
    }
}

/// Decompresses independent zstd frames; not safe for use by two threads at once.
final class FrameDecompressor {
    private let context: OpaquePointer

    init() throws {
        context = try made(ZSTD_createDCtx())
    }

    deinit { ZSTD_freeDCtx(context) }

    /// Decompresses `frame`, which must be one whole frame of exactly `target.count` bytes.
    func decompress(_ frame: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) throws(Failure) {
        let size = ZSTD_decompressDCtx(context, target.baseAddress, target.count, frame.baseAddress, frame.count)
        guard ZSTD_isError(size) == 0 else { throw zstdFailure(size, "zstd frame of \(frame.count) bytes") }
        guard size == target.count else {
            throw Failure(
                .integrity,
                "zstd frame of \(frame.count) bytes holds \(size) bytes, the seek table says \(target.count)")
        }
    }
}

/// Decompresses any zstd stream, frame after frame, in order; skippable frames are skipped.
public final class ZstdStreamDecompressor {
    /// The first four bytes of a zstd frame, little-endian (RFC 8878, section 3.1.1).
    public static let magic: [UInt8] = [0x28, 0xB5, 0x2F, 0xFD]

    private let context: OpaquePointer
    private let output: UnsafeMutableRawBufferPointer
    private var isInsideFrame = false

    /// A decompressor at the start of a stream.
    public init() throws {
        context = try made(ZSTD_createDCtx())
        output = .allocate(byteCount: ZSTD_DStreamOutSize(), alignment: 64)
    }

    deinit {
        ZSTD_freeDCtx(context)
        output.deallocate()
    }

    /// Takes the next bytes of the stream and gives what they decompress to, piece by piece.
    public func decompress(
        _ bytes: UnsafeRawBufferPointer, into body: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        var input = ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: 0)
        var mayHoldOutput = false
        while input.pos < input.size || mayHoldOutput {
            var target = ZSTD_outBuffer(dst: output.baseAddress, size: output.count, pos: 0)
            let result = ZSTD_decompressStream(context, &target, &input)
            guard ZSTD_isError(result) == 0 else { throw zstdFailure(result, "zstd stream") }
            isInsideFrame = result != 0
            // At the end of a frame nothing is held back, and another call would begin to read the next one.
            mayHoldOutput = isInsideFrame && target.pos == target.size
            if target.pos > 0 { try body(UnsafeRawBufferPointer(rebasing: output[..<target.pos])) }
        }
    }

    /// Checks that the stream ended at the end of a frame.
    public func finish() throws {
        if isInsideFrame { throw Failure(.integrity, "zstd stream ends inside a frame", hint: "the file is cut short") }
    }
}
