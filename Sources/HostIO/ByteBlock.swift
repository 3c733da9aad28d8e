internal import CLinux

/// A fixed-capacity run of bytes that is filled once and then shared without copying.
///
/// `@unchecked Sendable`: the bytes are written only by ``fill(_:)`` and ``append(_:)``, which the one owner calls
/// before it hands the block on and, through ``ByteBlockPool``, again only when no other reference is left.
public final class ByteBlock: @unchecked Sendable {
    private let storage: UnsafeMutableRawBufferPointer
    private let holdsKeys: Bool
    /// The number of bytes that are filled in.
    public private(set) var count = 0

    /// Allocates a block of `capacity` bytes, aligned for vector instructions.
    ///
    /// - Parameter holdsKeys: whether it is kept out of swap space and core dumps, as far as this process may.
    public init(capacity: Int, holdsKeys: Bool = false) {
        storage = .allocate(byteCount: capacity, alignment: 64)
        self.holdsKeys = holdsKeys
        if holdsKeys { lockInMemory(storage) }
    }

    deinit {
        if holdsKeys { unlockMemory(storage) }
        storage.deallocate()
    }

    /// The most bytes that the block can hold.
    public var capacity: Int { storage.count }

    /// Fills the block anew; `body` gets the whole capacity and returns how many bytes it wrote.
    public func fill<E: Error>(_ body: (UnsafeMutableRawBufferPointer) throws(E) -> Int) throws(E) {
        count = 0
        let written = try body(storage)
        precondition(written >= 0 && written <= storage.count, "a block was filled past its capacity")
        count = written
    }

    /// Appends bytes, which must fit.
    public func append(_ bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count <= storage.count - count, "a block was filled past its capacity")
        UnsafeMutableRawBufferPointer(rebasing: storage[count...]).copyMemory(from: bytes)
        count += bytes.count
    }

    /// Makes the block empty.
    public func removeAll() { count = 0 }

    /// Makes the block empty and overwrites everything that it ever held, which may be keys.
    public func wipe() {
        HostIO.wipe(storage)
        count = 0
    }

    /// The filled bytes; valid while somebody keeps this block alive.
    public var unownedBytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: storage[..<count]) }

    /// Lends the filled bytes.
    public func withUnsafeBytes<Result, E: Error>(
        _ body: (UnsafeRawBufferPointer) throws(E) -> Result
    ) throws(E) -> Result {
        try body(unownedBytes)
    }
}

/// Makes large blocks of this process go back to the system when they are freed; to be called once, at its start.
///
/// The buffers of a backup are large and short-lived, and a control-plane node's memory belongs to its workload.
public func returnFreedBlocks() { clinux_return_freed_blocks(256 << 10, 3) }

/// Makes the code that was run so far count as no memory of this process until it is run again.
///
/// To be called before long work: what only the start of the program needed does not come back.
public func releaseUnusedCode() { clinux_release_code() }

/// Blocks that are used again once nobody else refers to them.
///
/// Not safe for use by two threads at once.
public struct ByteBlockPool {
    private var blocks: [ByteBlock] = []
    private let capacity: Int

    /// A pool of blocks of `capacity` bytes each; it grows to as many as are in use at once.
    public init(capacity: Int) { self.capacity = capacity }

    /// A block that nobody else refers to.
    public mutating func take() -> ByteBlock {
        for index in blocks.indices where isKnownUniquelyReferenced(&blocks[index]) { return blocks[index] }
        let block = ByteBlock(capacity: capacity)
        blocks.append(block)
        return block
    }
}
