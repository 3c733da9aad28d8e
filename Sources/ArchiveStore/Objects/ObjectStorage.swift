public import FoundationEssentials
public import HostIO

/// Named objects on another host, below one place: what a store that is no directory is kept in.
///
/// Keys are relative to the place, such as `prod/cp-1/20261123T030000Z-abcdef.json`; their parts are letters, digits, `.`, `_`
/// and `-`, and begin with none of the last three. An object is written once and whole, and read as it was written. Calls block,
/// and may be made from several threads at once. They try once, but for what a protocol asks for by itself; see
/// ``RetryingObjects``.
public protocol ObjectStorage: Sendable {
    /// What people call the place, and begin the names of objects with: `s3://bucket/prefix`, `rclone:remote:path`.
    var name: String { get }

    /// What tells the place from all others, for a bucket of one name may be on several servers.
    var place: String { get }

    /// For how many days what is created with a lock and what is begun is locked; nil if it is not.
    var lockDays: Int? { get }

    /// How many bytes a read should ask for at least, because each costs about as much as so many bytes.
    var readByteCount: Int { get }

    /// The same place, where what fails and may pass is tried again for no longer than `patience`; how long it fails already
    /// counts for both.
    func waiting(atMost patience: Duration) -> any ObjectStorage

    /// All objects whose keys begin with `prefix`, sorted by the bytes of their keys, however many pages that takes.
    ///
    /// - Parameters:
    ///   - prefix: empty, or with a slash at its end.
    ///   - key: objects up to this one may be left out, where that costs less.
    /// - Throws: ``ObjectError``; a place that does not exist, or has nothing, is no error where that can't be told apart.
    func objects(below prefix: String, behind key: String?) throws -> [StoredObject]

    /// The names behind `prefix` up to the next slash, of the keys that have one there; sorted.
    func directories(below prefix: String) throws -> [String]

    /// What there is under a key; nil if there is nothing.
    func object(_ key: String) throws -> StoredObject?

    /// Reads into the whole of `buffer` from `offset` on, or up to the end of the object.
    ///
    /// - Returns: the number of bytes read.
    /// - Throws: ``ObjectError``; of the kind `absent` if there is no such object, `changed` if it is another one by now.
    func read(_ object: StoredObject, at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws -> Int

    /// The bytes of a small object.
    ///
    /// - Parameter limit: the most bytes that it may have.
    /// - Throws: ``ObjectError`` of the kind `absent` if there is none.
    func bytes(of key: String, limit: Int) throws -> (object: StoredObject, bytes: [UInt8])

    /// Writes a small object, unless there is one of the key; returns when it is durable.
    ///
    /// - Parameter isLocked: whether it is locked for ``lockDays``.
    /// - Throws: ``ObjectError`` of the kind `exists` if there is one.
    func create(_ key: String, _ bytes: [UInt8], isLocked: Bool) throws

    /// Begins an object of any size; nobody sees a part of it under its key.
    ///
    /// - Parameters:
    ///   - byteCount: how large it will be at most, as far as that is known.
    ///   - note: told, before bytes are sent, how the place calls what is unfinished, where it has a name of its own: what a
    ///     later run gives ``removeLeftover(of:upload:)`` if this one is killed.
    func begin(
        _ key: String, byteCount: Int?, note: @escaping @Sendable (_ upload: String) throws -> Void
    ) throws -> any PendingObject

    /// Removes what an interrupted writer of one key has left, and readers don't see; nothing to remove is no error.
    ///
    /// - Parameter upload: how the place called it, if that was noted.
    func removeLeftover(of key: String, upload: String?) throws

    /// Removes objects for good, where that is possible; those that are not there are no error.
    ///
    /// - Returns: those that could not be removed, each with why.
    /// - Throws: ``ObjectError`` if nothing is known of any of them.
    func remove(_ keys: [String]) throws -> [ObjectRemovalFailure]

    /// Whether objects can be locked at all, as far as that is known: if not, none has to be asked.
    func mayLock() throws -> Bool

    /// Until when an object can't be removed; nil if it can, or is not there.
    ///
    /// - Throws: ``ObjectError`` of the kind `denied` for whoever may not ask.
    func lock(of key: String) throws -> ObjectLock?

    /// Removes what interrupted writers have left below a prefix since before `date`, and readers don't see: it costs room.
    ///
    /// - Returns: the keys that it was for.
    func removeLeftovers(below prefix: String, before date: Date) throws -> [String]

    /// The bytes that are free; nil where there is no limit, or none that is known.
    func availableByteCount() throws -> Int?

    /// Checks that something could be reached and written there, as far as that can be told without writing.
    func checkReachable() throws

    /// Finds out what the place does of what is asked of it, by small objects below a prefix.
    ///
    /// - Throws: ``ObjectError`` if nothing can be written there.
    func probe(below prefix: String) throws -> [StoreTrait]
}

extension ObjectStorage {
    /// A place that tries nothing again.
    public func waiting(atMost patience: Duration) -> any ObjectStorage { self }

    /// A place that knows no locks.
    public var lockDays: Int? { nil }

    /// As ``lockDays``.
    public func mayLock() -> Bool { false }

    /// Writes a small object that may be removed at any time.
    public func create(_ key: String, _ bytes: [UInt8]) throws { try create(key, bytes, isLocked: false) }
}

/// An object that is there.
public struct StoredObject: Sendable, Equatable {
    /// Its key.
    public var key: String
    /// Its size in bytes.
    public var byteCount: Int
    /// What tells it from another one that has the key later; nil if the place has nothing like that.
    public var tag: String?
    /// When it was written, by the clock of the place.
    public var modifiedAt: Date?

    /// An object from its parts.
    public init(key: String, byteCount: Int, tag: String? = nil, modifiedAt: Date? = nil) {
        self.key = key
        self.byteCount = byteCount
        self.tag = tag
        self.modifiedAt = modifiedAt
    }
}

/// An object that is being written, and that nobody sees before ``finish()``.
public protocol PendingObject: ByteSink {
    /// Ends it; when this returns it is there, whole and durable.
    ///
    /// - Throws: ``ObjectError``; of the kind `exists` if there is one of the key. It is to be discarded then.
    func finish() throws -> StoredObject

    /// Removes what was written, whether it is finished or not; what can't be removed now is left for
    /// ``ObjectStorage/removeLeftover(of:upload:)`` of a later run.
    func discard()

    /// After ``discard()``, whether something may be left.
    var mayBeLeft: Bool { get }

    /// Ends, from any thread, a wait of the writing thread, which then throws `CancellationError`; nil where nothing waits.
    var interruption: (@Sendable () -> Void)? { get }
}

extension PendingObject {
    /// Nothing is.
    public var mayBeLeft: Bool { false }
    /// Nothing waits.
    public var interruption: (@Sendable () -> Void)? { nil }
}

/// How an object is held.
public struct ObjectLock: Sendable, Equatable {
    /// Until when; nil for a hold without an end.
    public var until: Date?
    /// What the place calls it, such as `COMPLIANCE` or `legal hold`.
    public var mode: String

    /// A lock from its parts.
    public init(until: Date?, mode: String) {
        self.until = until
        self.mode = mode
    }
}

/// An object that could not be removed.
public struct ObjectRemovalFailure: Sendable {
    /// Its key.
    public var key: String
    /// Why not.
    public var error: ObjectError

    /// A failure from its parts.
    public init(key: String, error: ObjectError) {
        self.key = key
        self.error = error
    }
}

/// Why something with objects was not done.
public struct ObjectError: FailureConvertible, Sendable {
    /// What callers decide on.
    public enum Kind: Sendable, Equatable {
        /// There is an object of the key already.
        case exists
        /// There is no such object.
        case absent
        /// The object is another one than it was.
        case changed
        /// Whoever asks has no right to it.
        case denied
        /// It is locked; until when, if that is known.
        case locked(until: Date?)
        /// Anything else.
        case failed
    }

    /// Whether the same may succeed a while later.
    public enum Retry: Sendable, Equatable {
        /// It would fail again.
        case never
        /// It may.
        case later
        /// It may, after so many seconds, which the place has named.
        case afterSeconds(Int)
    }

    /// What callers decide on.
    public var kind: Kind
    /// What it is for people.
    public var failure: Failure
    /// Whether the same may succeed a while later.
    public var retry: Retry
    /// Whether it is certain that nothing was written; false where that is not known.
    public var isCertainlyUndone = false

    /// An error from its parts.
    public init(_ kind: Kind, _ failure: Failure, retry: Retry = .never) {
        self.kind = kind
        self.failure = failure
        self.retry = retry
    }
}

extension ObjectStorage {
    /// Its name, where that says it.
    public var place: String { name }
}
