import FoundationEssentials
import HostIO
import SealedArchive
import SystemPackage

/// Copies the contents of files into an archive, watching that they do not change meanwhile.
///
/// A small file is read whole and read again when it changed; a large one is streamed, and what became of it is told.
/// What "changed" means depends on the file: a database has states that are whole though its file goes on changing.
final class FileContent {
    /// What became of one file.
    struct Outcome {
        var byteCount = 0
        var role: String
        /// Whether the file changed while it was read, every time.
        var isTorn = false
        /// Why a part of the file could not be read; zeros are in its place.
        var readError: SystemCallError?
        /// Why its extended attributes could not be read; it is captured without.
        var attributesError: SystemCallError?
        /// The names of attributes that are too much for an archive.
        var leftOutAttributes: [[UInt8]] = []
        /// What wrote the file, if it is a database.
        var databaseName: String?
        /// Keeps the database as it is until what belongs to it is copied.
        var lock: SQLiteLock?
    }

    private static let wholeReadLimit = 1 << 20
    private static let attemptCount = 3

    private let writer: ArchiveWriter
    private let members: MemberQueue
    private let classify: WalkedEntry.Classifier
    private let captured: CapturedFiles?
    private let buffer = ByteBlock(capacity: wholeReadLimit, holdsKeys: true)

    /// - Parameter captured: is told what went into the archive.
    init(
        writer: ArchiveWriter, members: MemberQueue, captured: CapturedFiles?,
        classify: @escaping WalkedEntry.Classifier
    ) {
        self.classify = classify
        self.captured = captured
        self.writer = writer
        self.members = members
    }

    deinit { buffer.wipe() }

    /// Adds a file.
    ///
    /// - Parameter isGrowing: whether the file may grow meanwhile, for only what it has now is wanted.
    /// - Throws: ``SystemCallError`` before anything is written if the file can't be read; errors of the archive.
    func add(_ entry: WalkedEntry, _ metadata: EntryMetadata, isGrowing: Bool = false) throws -> Outcome {
        let descriptor = try entry.directory.openFile(entry.name)
        defer { try? descriptor.close() }
        let file = OpenFile(descriptor: descriptor, path: display(entry.path))
        // As the walk saw it: if that is another file by now, it has changed.
        let before = entry.attributes
        var metadata = metadata
        let attributes = Result { () throws(SystemCallError) in
            CapturedAttributes(try extendedAttributes(of: descriptor, name: file.path))
        }
        metadata.extendedAttributes = (try? attributes.get().kept) ?? []
        let isSmall = before.byteCount < Self.wholeReadLimit
        try read(file, isSmall ? before.byteCount : BoltMeta.searchedByteCount)
        var outcome = Outcome(role: buffer.withUnsafeBytes { classify(entry, $0) })
        switch attributes {
        case .success(let attributes): outcome.leftOutAttributes = attributes.leftOut
        case .failure(let error): outcome.attributesError = error
        }
        let state = try databaseState(of: file, entry, isGrowing ? before : nil, &outcome)
        // Until it was locked a database may have grown.
        let isStillSmall = outcome.lock == nil ? isSmall : try file.attributes().byteCount < Self.wholeReadLimit
        if isStillSmall {
            try addWhole(file, entry, metadata, state, &outcome)
        } else {
            try addStreaming(file, entry, metadata, state, &outcome)
        }
        return outcome
    }

    /// Fills the buffer with the beginning of a file; one that says it is empty, as those of `/proc` do, is asked for more.
    private func read(_ file: OpenFile, _ byteCount: Int) throws(SystemCallError) {
        try buffer.fill { target throws(SystemCallError) in
            let wanted = byteCount == 0 ? target : UnsafeMutableRawBufferPointer(rebasing: target.prefix(byteCount))
            return try file.read(at: 0, into: wanted)
        }
    }

    private func databaseState(
        of file: OpenFile, _ entry: WalkedEntry, _ growing: EntryAttributes?, _ outcome: inout Outcome
    ) throws -> DatabaseState {
        if let growing { return .growing(byteCount: growing.byteCount) }
        switch buffer.withUnsafeBytes(DatabaseKind.init(prefix:)) {
        case .sqlite:
            outcome.databaseName = "SQLite"
            outcome.lock = SQLiteLock(entry.name, in: entry.directory)
            return outcome.lock == nil ? .unlocked : .locked
        case .bolt:
            outcome.databaseName = "bbolt"
            return .bolt
        case .ovsdb:
            outcome.databaseName = "OVSDB"
            return try OVSDBLog.wholeRecordsByteCount(file).map(DatabaseState.log) ?? .plain
        case nil: return .plain
        }
    }

    /// Adds what the buffer has, reading it again if it is not whole.
    private func addWhole(
        _ file: OpenFile, _ entry: WalkedEntry, _ metadata: EntryMetadata, _ state: DatabaseState,
        _ outcome: inout Outcome
    ) throws {
        var before = entry.attributes
        for attempt in 1...Self.attemptCount {
            if attempt > 1 || state.byteCount != nil || outcome.lock != nil {
                // With the lock, and as far as it is wanted.
                before = try file.attributes()
                // It may have grown beyond the buffer.
                guard state.byteCount ?? before.byteCount < Self.wholeReadLimit else {
                    outcome.isTorn = false
                    return try addStreaming(file, entry, metadata, state, &outcome)
                }
                try read(file, state.byteCount ?? before.byteCount)
            }
            let copied = buffer.withUnsafeBytes { BoltMeta.both(in: $0) }
            outcome.isTorn = try !state.isWhole(file, before, byteCount: buffer.count, copied)
            if !outcome.isTorn { break }
        }
        var metadata = metadata
        metadata.byteCount = buffer.count
        metadata.modificationSeconds = before.modificationSeconds
        metadata.modificationNanoseconds = before.modificationNanoseconds
        outcome.byteCount = buffer.count
        try archiving {
            try buffer.withUnsafeBytes {
                try members.add(metadata, role: outcome.role, source: metadata.sourcePath, bytes: $0)
                captured?.note(metadata, role: outcome.role, isNamed: entry.isNamed, bytes: $0)
            }
        }
    }

    /// The size is in the tar before the bytes are, so what a file lacks of it is filled up with zeros.
    private func addStreaming(
        _ file: OpenFile, _ entry: WalkedEntry, _ metadata: EntryMetadata, _ state: DatabaseState,
        _ outcome: inout Outcome
    ) throws {
        let before = try file.attributes()
        var metadata = metadata
        metadata.byteCount = state.byteCount ?? before.byteCount
        try archiving {
            try members.flush()
            try writer.begin(metadata, role: outcome.role, source: metadata.sourcePath)
        }
        var copied: [[UInt8]] = []
        while outcome.byteCount < metadata.byteCount {
            try Task.checkCancellation()
            let wantedByteCount = min(buffer.capacity, metadata.byteCount - outcome.byteCount)
            buffer.fill { target in
                let wanted = UnsafeMutableRawBufferPointer(rebasing: target[..<wantedByteCount])
                fill(wanted, from: file, &outcome)
                return wantedByteCount
            }
            if outcome.byteCount == 0 { copied = buffer.withUnsafeBytes { BoltMeta.both(in: $0) } }
            try archiving { try buffer.withUnsafeBytes { try writer.write($0) } }
            outcome.byteCount += wantedByteCount
        }
        try archiving { try writer.end() }
        captured?.note(metadata, role: outcome.role, isNamed: entry.isNamed, bytes: nil)
        let isWhole = try state.isWhole(file, before, byteCount: outcome.byteCount, copied)
        outcome.isTorn = outcome.isTorn || !isWhole
    }

    /// Fills `target` with the next bytes of the file, and with zeros behind its end.
    private func fill(_ target: UnsafeMutableRawBufferPointer, from file: OpenFile, _ outcome: inout Outcome) {
        var count = 0
        do {
            count = try file.read(at: outcome.byteCount, into: target)
            if count < target.count { outcome.isTorn = true }
        } catch {
            outcome.readError = error
        }
        UnsafeMutableRawBufferPointer(rebasing: target[count...]).initializeMemory(as: UInt8.self, repeating: 0)
    }
}

/// Runs calls of the archive's writer; their errors end a capture, and must not be taken for those of a file.
public func archiving(_ body: () throws -> Void) throws(Failure) {
    do {
        try body()
    } catch {
        throw Failure(wrapping: error)
    }
}
