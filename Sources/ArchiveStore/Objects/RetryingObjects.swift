public import FoundationEssentials
import HostIO

/// Objects whose operations are tried again while that is worth it; a decorator.
///
/// An upload is not: its bytes are gone when it fails.
public struct RetryingObjects: ObjectStorage {
    private let objects: any ObjectStorage
    private let policy: RetryPolicy
    private let outage: Outage

    /// The same objects, asked more often.
    public init(_ objects: any ObjectStorage, _ policy: RetryPolicy) { self.init(objects, policy, Outage()) }

    private init(_ objects: any ObjectStorage, _ policy: RetryPolicy, _ outage: Outage) {
        self.objects = objects
        self.policy = policy
        self.outage = outage
    }

    /// The same objects, asked for less long.
    public func waiting(atMost patience: Duration) -> any ObjectStorage {
        RetryingObjects(objects, policy.waiting(atMost: patience), outage)
    }

    private func repeating<Result>(_ body: (_ isRepetition: Bool) throws -> Result) throws -> Result {
        try policy.run(during: outage, retry: { ($0 as? ObjectError)?.retry ?? .never }) { try body($0 > 0) }
    }

    /// The name of the place.
    public var name: String { objects.name }

    /// What tells the place from others.
    public var place: String { objects.place }

    /// As the place itself.
    public var readByteCount: Int { objects.readByteCount }

    /// All objects below a prefix.
    public func objects(below prefix: String, behind key: String?) throws -> [StoredObject] {
        try repeating { _ in try objects.objects(below: prefix, behind: key) }
    }

    /// The names behind a prefix.
    public func directories(below prefix: String) throws -> [String] {
        try repeating { _ in try objects.directories(below: prefix) }
    }

    /// What there is under a key.
    public func object(_ key: String) throws -> StoredObject? { try repeating { _ in try objects.object(key) } }

    /// Reads a range.
    public func read(
        _ object: StoredObject, at offset: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws -> Int {
        try repeating { _ in try objects.read(object, at: offset, into: buffer) }
    }

    /// The bytes of a small object.
    public func bytes(of key: String, limit: Int) throws -> (object: StoredObject, bytes: [UInt8]) {
        try repeating { _ in try objects.bytes(of: key, limit: limit) }
    }

    /// Writes a small object; what is there after an attempt that failed may be of that.
    public func create(_ key: String, _ bytes: [UInt8], isLocked: Bool) throws {
        try repeating { isRepetition in
            do {
                try objects.create(key, bytes, isLocked: isLocked)
            } catch let error as ObjectError where error.kind == .exists && isRepetition {
                guard try objects.bytes(of: key, limit: max(1, bytes.count)).bytes == bytes else { throw error }
            }
        }
    }

    /// Begins an object.
    public func begin(
        _ key: String, byteCount: Int?, note: @escaping @Sendable (_ upload: String) throws -> Void
    ) throws -> any PendingObject {
        try repeating { _ in try objects.begin(key, byteCount: byteCount, note: note) }
    }

    /// Removes what an interrupted writer has left.
    public func removeLeftover(of key: String, upload: String?) throws {
        try repeating { _ in try objects.removeLeftover(of: key, upload: upload) }
    }

    /// Removes objects.
    public func remove(_ keys: [String]) throws -> [ObjectRemovalFailure] {
        try repeating { _ in try objects.remove(keys) }
    }

    /// For how many days what is written is locked.
    public var lockDays: Int? { objects.lockDays }

    /// Whether objects can be locked.
    public func mayLock() throws -> Bool { try repeating { _ in try objects.mayLock() } }

    /// Until when an object is locked.
    public func lock(of key: String) throws -> ObjectLock? { try repeating { _ in try objects.lock(of: key) } }

    /// Removes what interrupted writers have left.
    public func removeLeftovers(below prefix: String, before date: Date) throws -> [String] {
        try repeating { _ in try objects.removeLeftovers(below: prefix, before: date) }
    }

    /// The bytes that are free.
    public func availableByteCount() throws -> Int? { try repeating { _ in try objects.availableByteCount() } }

    /// Checks that the place can be reached.
    public func checkReachable() throws { try repeating { _ in try objects.checkReachable() } }

    /// Finds out what the place does.
    public func probe(below prefix: String) throws -> [StoreTrait] {
        try repeating { _ in try objects.probe(below: prefix) }
    }
}
