public import FoundationEssentials
import HostIO
import SealedArchive

/// Where archives live.
///
/// An archive counts only with its sidecar, whose appearance is what publishes it. Nothing that is there is ever replaced, a
/// reader never sees a part of an archive or of a sidecar, and a writer that is interrupted at any moment leaves the archives
/// that were there before.
public protocol Store: Sendable {
    /// What people call it: a path or a URL.
    var name: String { get }

    /// What tells it from all others: two servers may have stores of one name.
    var place: String { get }

    /// The directory of this host that it is; nil for one elsewhere.
    var directory: String? { get }

    /// The same store, where what fails and may pass is tried again for no longer than `patience`.
    func waiting(atMost patience: Duration) -> any Store

    /// Everything in the store, or in one cluster or node of it.
    ///
    /// - Throws: errors of reading the store; a store that does not exist is an error.
    func list(cluster: String?, node: String?) throws -> StoreListing

    /// The backup with an identifier, looked up with as little as it takes; nil if it has to be looked for in a list.
    func backup(_ id: BackupID, in scope: StoreScope) throws -> StoredBackup?

    /// The backups whose removal was interrupted after they were gone, in the store or in one cluster or node of it.
    ///
    /// - Throws: as ``list(cluster:node:)``.
    func interruptedRemovals(cluster: String?, node: String?) throws -> [StoredBackup]

    /// Where an archive of the listing is: a path or a URL.
    func location(of backup: StoredBackup) -> String

    /// Where the archive with an identifier is, whether it has a sidecar or not.
    func location(of id: BackupID, in scope: StoreScope) -> String

    /// For how many days what is written is to be locked; nil if it is not.
    var lockDays: Int? { get }

    /// How a backup is kept from being removed, by its archive and its sidecar; nil if one of them can be.
    ///
    /// - Throws: ``ObjectError`` of the kind `denied` if this host may not ask.
    func lock(of id: BackupID, in scope: StoreScope) throws -> ObjectLock?

    /// Opens the sealed bytes of an archive.
    func open(_ backup: StoredBackup) throws -> any RandomAccessBytes

    /// Opens the sealed bytes of the archive with an identifier, whether it has a sidecar or not.
    func open(_ id: BackupID, in scope: StoreScope) throws -> any RandomAccessBytes

    /// Makes ready to write to a scope, and clears up what interrupted runs left in it.
    ///
    /// - Throws: ``Failure`` with the code `locked` while another process writes there.
    func writer(for scope: StoreScope) throws -> any StoreWriter

    /// Checks that something could be written for a scope; changes nothing, and takes no lock.
    ///
    /// - Throws: what ``writer(for:)`` would throw, or the first object that is written there.
    func checkWritable(for scope: StoreScope) throws

    /// The room of the store, which need not exist yet; changes nothing.
    func space() throws -> StoreSpace

    /// Removes what interrupted runs have left and no reader counts, in the store or in one cluster or node of it: archives that
    /// are ``StoreListing/abandoned(before:)``, and what was never complete.
    ///
    /// - Parameter date: what was written before.
    /// - Returns: what was removed, for people.
    func removeAbandoned(cluster: String?, node: String?, before date: Date) throws -> [String]

    /// Finds out what the store does, by small objects in the scope where nothing else tells.
    ///
    /// - Throws: what writing to the scope would throw.
    func probe(for scope: StoreScope) throws -> [StoreTrait]
}

/// What a store does, or does not, of what is asked of stores.
public struct StoreTrait: Sendable, Equatable {
    /// What was found, in a sentence.
    public var message: String
    /// Whether something that is promised is missing.
    public var isFault: Bool
    /// What to do about it; names no flag.
    public var advice: String?

    /// A trait from its parts.
    public init(_ message: String, isFault: Bool = false, advice: String? = nil) {
        self.message = message
        self.isFault = isFault
        self.advice = advice
    }
}

extension Store {
    /// A store of this host fails at once.
    public func waiting(atMost patience: Duration) -> any Store { self }

    /// Where a list costs little it is asked.
    public func backup(_ id: BackupID, in scope: StoreScope) throws -> StoredBackup? { nil }

    /// Where each writer clears up after the ones before it nothing is left.
    public func removeAbandoned(cluster: String?, node: String?, before date: Date) throws -> [String] { [] }

    /// What is in files of this host can always be removed.
    public var lockDays: Int? { nil }

    /// As ``lockDays``.
    public func lock(of id: BackupID, in scope: StoreScope) throws -> ObjectLock? { nil }

    /// A store that the operating system answers for has nothing to be tried.
    public func probe(for scope: StoreScope) throws -> [StoreTrait] { [] }

    /// Everything in the store.
    public func list() throws -> StoreListing { try list(cluster: nil, node: nil) }

    /// Everything of one cluster in the store, or of all.
    public func list(cluster: String?) throws -> StoreListing { try list(cluster: cluster, node: nil) }
}

/// The room that a store has.
public struct StoreSpace: Sendable {
    /// The store, or the nearest directory above it that exists.
    public var place: String
    /// Whether the place is the store itself.
    public var exists: Bool
    /// The bytes that are free; nil where there is no limit, or none that is known.
    public var availableByteCount: Int?
    /// Whether this user may write there.
    public var isWritable: Bool

    /// The room of a place.
    public init(place: String, exists: Bool, availableByteCount: Int?, isWritable: Bool) {
        self.place = place
        self.exists = exists
        self.availableByteCount = availableByteCount
        self.isWritable = isWritable
    }
}

/// A scope of a store that is written to while this object lives.
public protocol StoreWriter: AnyObject {
    /// The scope.
    var scope: StoreScope { get }
    /// The names of what interrupted runs left, and that was removed.
    var removedLeftovers: [String] { get }
    /// The backups whose publishing or removal was interrupted when they were whole, and whose sidecar has its name again.
    var completedBackups: [BackupID] { get }

    /// What interrupted runs left and could not be removed now: the next writer tries again.
    var remainingLeftovers: [String] { get }

    /// The bytes that are free in the store; nil where there is no limit, or none that is known.
    func availableByteCount() throws -> Int?

    /// Begins an archive; nothing of it is visible before it is published.
    func begin(_ id: BackupID) throws -> any PendingArchive

    /// The number of the next backup, and the sidecar that it names as the one before it.
    ///
    /// - Parameter listing: what is there.
    func nextLink(after listing: StoreListing) throws -> ChainLink

    /// Notes that backups of other stores are not in this one on purpose, so that nobody misses them; returns when that is
    /// durable.
    func note(_ absent: AbsentBackups) throws

    /// Forgets that backups were removed, before they are published again; returns when that is durable.
    func takeBack(_ backups: [StoredBackup]) throws

    /// Gives an archive that has none a sidecar; returns when that is durable.
    ///
    /// - Throws: ``Failure`` if it has one by now, or is gone.
    func adopt(_ sidecar: SidecarDocument) throws

    /// Keeps the record of a drill beside a backup, in the place of those before; returns when that is durable.
    ///
    /// - Throws: ``Failure`` with the code `notFound` if the backup is gone, or is another one by now; errors of the store.
    func keep(_ drill: DrillDocument, of backup: StoredBackup) throws

    /// Removes backups; those that are not gone when it throws are there as before.
    ///
    /// - Parameter onRemoval: told of each that is gone.
    /// - Throws: ``Failure`` with the code `notFound` if one is gone already, or is another one by now; errors of the store.
    func delete(_ backups: [StoredBackup], onRemoval: (StoredBackup) -> Void) throws

    /// Removes what is left of a backup that can't be relied on: its archive, its sidecar, or both.
    ///
    /// - Throws: ``Failure`` with the code `failed` if it can be relied on by now; errors of the store, and what is left then
    ///   can be removed again.
    func remove(_ backup: UnreadableBackup) throws
}

extension StoreWriter {
    /// What can't be removed is an error.
    public var remainingLeftovers: [String] { [] }

    /// Removes one backup.
    public func delete(_ backup: StoredBackup) throws { try delete([backup]) { _ in } }
}

/// An archive that is being written to a store, and is no backup before it is published.
public protocol PendingArchive: ByteSink {
    /// Where it will be: a path or a URL.
    var location: String { get }

    /// Ends writing, and opens what the store has of it.
    ///
    /// - Throws: errors of the store; it is to be discarded then.
    func stored() throws -> any RandomAccessBytes

    /// Publishes it with its sidecar; returns when both are durable, and leaves neither when it throws.
    func publish(_ sidecar: SidecarDocument) throws

    /// Removes what was written, unless it was published.
    func discard()

    /// Ends, from any thread, a wait of the writing thread for the store, which then throws `CancellationError`; nil where
    /// nothing waits.
    var interruption: (@Sendable () -> Void)? { get }
}

extension PendingArchive {
    /// A file is written without waiting for anybody.
    public var interruption: (@Sendable () -> Void)? { nil }
}

/// A sidecar with its bytes, which are what digests and copies are of.
public struct SidecarDocument: Sendable {
    /// What it says.
    public let sidecar: Sidecar
    /// Its bytes, as they are or will be stored.
    public let bytes: [UInt8]

    /// A sidecar that is written for the first time.
    public init(_ sidecar: Sidecar) throws {
        self.sidecar = sidecar
        bytes = try DocumentCoding.encode(sidecar)
    }

    /// The sidecar of a backup as it is stored: what an earlier program does not understand of it stays.
    public init(of backup: StoredBackup) {
        sidecar = backup.sidecar
        bytes = backup.sidecarBytes
    }
}

extension Store {
    /// Its name, where that says it.
    public var place: String { name }
}
