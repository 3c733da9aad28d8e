public import FoundationEssentials
import HostIO
import Synchronization

/// Objects in a remote of the user's own rclone.
///
/// What remotes have in common is little. An object is written under a hidden name, compared with what was sent as far as the
/// remote knows sizes and digests, and renamed; where objects appear when their upload is completed, as in object stores, it is
/// written under its own name. No remote creates an object only if there is none: that is looked at before, and another writer
/// may come between; names have to be unique by themselves. ``capabilities()`` says what else a remote does not do.
public struct RcloneStorage: ObjectStorage {
    /// Where.
    public let location: RcloneLocation
    /// The version of rclone.
    public var version: RcloneVersion { program.version }

    let program: RcloneProgram
    private let knownRemote = KnownRemote()

    /// What is known of the remote, from the first time that it is asked for.
    private final class KnownRemote: Sendable {
        let value = Mutex<RcloneRemote?>(nil)
    }

    /// Finds rclone and looks at its version; asks no remote yet.
    ///
    /// - Throws: ``Failure``, of the code `usage` if rclone is missing or too old, or a setting can't be.
    public init(_ location: RcloneLocation, _ settings: RcloneSettings) throws {
        self.location = location
        place = location.description + (settings.configFile.map { " of \($0)" } ?? "")
        program = try RcloneProgram(settings, place: location.description)
    }

    /// The location.
    public var name: String { location.description }

    /// With the file that says what the remote is, where that is not the user's own.
    public let place: String

    /// A process and a connection for each read cost about as much as this.
    public var readByteCount: Int { 8 << 20 }

    func remote() throws -> RcloneRemote {
        try knownRemote.value.withLock { known in
            if let known { return known }
            let remote = try RcloneRemote(location, program)
            known = remote
            return remote
        }
    }

    // MARK: Lists

    /// All objects below a prefix, but for hidden ones; a directory that does not exist has none.
    public func objects(below prefix: String, behind key: String?) throws -> [StoredObject] {
        let listing = try list(prefix, ["--recursive", "--files-only", "--fast-list"])
        return listing.map { $0.object(prefix + $0.path) }
            .filter { object in !HiddenName.isPart(of: object.key) && key.map { $0.isBefore(object.key) } ?? true }
            .sorted { $0.key.isBefore($1.key) }
    }

    /// The names of directories behind a prefix; where a remote has directories of their own, of empty ones too.
    public func directories(below prefix: String) throws -> [String] {
        try list(prefix, ["--dirs-only", "--no-modtime"]).filter(\.isDirectory).map(\.path)
            .filter { !HiddenName.isPart(of: $0) }.sorted { $0.isBefore($1) }
    }

    private func list(_ prefix: String, _ options: [String]) throws -> [RcloneListing.Entry] {
        let action = prefix.isEmpty ? "list" : "list \(quoted(prefix))"
        var listing = RcloneListing()
        let run: RcloneProgram.Run
        do {
            run = try program.run(
                action, ["lsjson", target(prefix), "--no-mimetype"] + options, stalls: true
            ) { bytes in try listing.append(bytes) }
        } catch let malformed as RcloneListing.Malformed {
            throw malformedAnswer(action, "line \(malformed.line)")
        }
        // Some of it may be missing because a directory was removed meanwhile.
        if run.isAbsent, listing.isEmpty { return [] }
        if run.isAbsent { throw ObjectError(.failed, run.error.objectError(afterSeconds: 0).failure, retry: .later) }
        try run.check()
        guard listing.isComplete else { throw malformedAnswer(action, "its end is missing") }
        return listing.entries
    }

    func target(_ key: String) -> String {
        var key = key[...]
        while key.hasSuffix("/") { key.removeLast() }
        return location.target(String(key))
    }

    private func malformedAnswer(_ action: String, _ what: String) -> ObjectError {
        ObjectError(
            .failed,
            Failure(
                .failed, "cannot \(action) in \(name): rclone's answer is another one than expected (\(what))",
                hint: "look at what `rclone lsjson` prints there"),
            retry: .later)
    }

    // MARK: Objects

    /// What there is under a key; a directory is nothing.
    public func object(_ key: String) throws -> StoredObject? { try entry(key)?.object(key) }

    /// What there is under a key, with its digest where the remote has one.
    func entry(
        _ key: String, digest: RcloneDigest? = nil, heedsCancellation: Bool = true
    ) throws -> RcloneListing.Entry? {
        let action = "look at \(quoted(key))"
        let digests = digest.map { ["--hash", "--hash-type", $0.rawValue] } ?? []
        var bytes: [UInt8] = []
        let run = try program.run(
            action, ["lsjson", "--stat", target(key), "--no-mimetype"] + digests, heedsCancellation: heedsCancellation
        ) { bytes += $0.prefix(max(0, (1 << 20) - bytes.count)) }
        if run.isAbsent { return nil }
        try run.check()
        guard let entry = RcloneListing.Entry(stat: bytes) else { throw malformedAnswer(action, "no entry") }
        // Object stores have a directory of any name.
        return entry.isDirectory ? nil : entry
    }

    /// Reads a range; what comes is counted, for rclone does not say that there is less.
    public func read(
        _ object: StoredObject, at offset: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws -> Int {
        let count = min(buffer.count, object.byteCount - offset)
        guard count > 0 else { return 0 }
        var received = 0
        let run = try program.run(
            "read \(quoted(object.key))",
            ["cat", target(object.key), "--offset=\(offset)", "--count=\(count)"], stalls: true
        ) { bytes in
            guard received + bytes.count <= count else { throw tooMuch(object.key, count) }
            UnsafeMutableRawBufferPointer(rebasing: buffer[received...]).copyMemory(from: bytes)
            received += bytes.count
        }
        try run.check()
        guard received == count else { throw try shortfall(object, received, of: count) }
        return count
    }

    private func tooMuch(_ key: String, _ count: Int) -> ObjectError {
        ObjectError(
            .failed, Failure(.failed, "rclone gave more than the \(count) bytes of \(quoted(key)) in \(name)"),
            retry: .later)
    }

    /// Why a range was short.
    private func shortfall(_ object: StoredObject, _ received: Int, of count: Int) throws -> ObjectError {
        guard let entry = try entry(object.key) else { return absence(object.key) }
        if entry.byteCount != object.byteCount {
            return ObjectError(
                .changed,
                Failure(
                    .failed,
                    "\(quoted(object.key)) in \(name) has \(entry.byteCount) bytes, and had \(object.byteCount)"))
        }
        return ObjectError(
            .failed,
            Failure(.failed, "rclone gave \(received) of \(count) bytes of \(quoted(object.key)) in \(name)"),
            retry: .later)
    }

    private func absence(_ key: String) -> ObjectError {
        ObjectError(.absent, Failure(.notFound, "there is no \(quoted(key)) in \(name)"))
    }

    /// The bytes of a small object.
    public func bytes(of key: String, limit: Int) throws -> (object: StoredObject, bytes: [UInt8]) {
        var bytes: [UInt8] = []
        let run = try program.run(
            "read \(quoted(key))", ["cat", target(key), "--count=\(limit + 1)"], stalls: true
        ) { some in
            bytes += some
            guard bytes.count <= limit else {
                throw ObjectError(
                    .failed,
                    Failure(.integrity, "\(quoted(key)) in \(name) has more than the \(limit) bytes that it may"))
            }
        }
        if run.isAbsent { throw absence(key) }
        try run.check()
        // Object stores have a directory of any name, with nothing in it.
        if bytes.isEmpty, try entry(key) == nil { throw absence(key) }
        return (StoredObject(key: key, byteCount: bytes.count), bytes)
    }

    // MARK: Writing

    /// Writes a small object, of which rclone has all bytes before it starts.
    public func create(_ key: String, _ bytes: [UInt8], isLocked: Bool) throws {
        let upload = RcloneUpload(self, key, try remote())
        do {
            try upload.send(bytes)
            _ = try upload.finish()
        } catch {
            let isUndone = upload.isCertainlyUndone
            upload.discard()
            guard var error = error as? ObjectError else { throw error }
            error.isCertainlyUndone = isUndone || error.kind == .exists
            throw error
        }
    }

    /// Begins an object, after a look whether there is one; notes its hidden key, if it has one.
    public func begin(
        _ key: String, byteCount: Int?, note: @escaping @Sendable (_ upload: String) throws -> Void
    ) throws -> any PendingObject {
        let remote = try remote()
        if try object(key) != nil { throw existence(key) }
        let upload = RcloneUpload(self, key, remote)
        if let hiddenKey = upload.hiddenKey { try note(hiddenKey) }
        try upload.start()
        return upload
    }

    func existence(_ key: String) -> ObjectError {
        ObjectError(
            .exists,
            Failure(.failed, "there is a \(quoted(key)) in \(name) already", hint: "nothing is ever replaced"))
    }

    // MARK: Removal

    /// Removes objects one by one: rclone's command for many takes a list of names, or without one everything.
    public func remove(_ keys: [String]) throws -> [ObjectRemovalFailure] {
        try keys.compactMap { key in
            do {
                try remove(key)
                return nil
            } catch let error as ObjectError {
                return ObjectRemovalFailure(key: key, error: error)
            }
        }
    }

    func remove(_ key: String, heedsCancellation: Bool = true) throws {
        let run = try program.run(
            "remove \(quoted(key))", ["deletefile", target(key)], heedsCancellation: heedsCancellation)
        if run.isDone || run.isAbsent { return }
        // Before version 1.69 one that is missing has the status of any failure.
        if try entry(key, heedsCancellation: heedsCancellation) == nil { return }
        try run.check()
    }

    /// Unknown: rclone shows no retention; a removal that one forbids fails.
    public func lock(of key: String) throws -> ObjectLock? { nil }

    /// Removes the hidden object of a key that was noted; what an object store has not completed is its own to remove.
    public func removeLeftover(of key: String, upload: String?) throws {
        // Only what can be one.
        guard let upload, HiddenName(ofKey: upload)?.key(beside: key) == upload else { return }
        try remove(upload)
    }

    /// Removes hidden objects whose own name and whose time in the remote are both before `date`; parts of uploads that an object
    /// store has not completed are its own to remove, and rclone's command for them takes those of others too.
    public func removeLeftovers(below prefix: String, before date: Date) throws -> [String] {
        let hidden = try list(prefix, ["--recursive", "--files-only", "--fast-list"]).map {
            $0.object(prefix + $0.path)
        }
        .filter { object in
            guard let startedAt = HiddenName(ofKey: object.key)?.startedAt, startedAt < date else { return false }
            return object.modifiedAt.map { $0 < date } ?? true
        }
        .map(\.key).sorted { $0.isBefore($1) }
        if let failure = try remove(hidden).first { throw failure.error }
        return hidden
    }

    // MARK: Place

    /// What `rclone about` says is free, where the remote says anything.
    public func availableByteCount() throws -> Int? {
        guard try remote().countsSpace else { return nil }
        struct Space: Decodable { var free: Int? }
        // The place itself need not exist yet.
        for target in [location.target(""), "\(location.remote):"] {
            var bytes: [UInt8] = []
            let run = try program.run("ask for free space", ["about", target, "--json"]) {
                bytes += $0.prefix(max(0, (64 << 10) - bytes.count))
            }
            if run.isDone { return (try? JSONDecoder().decode(Space.self, from: Data(bytes)))?.free }
        }
        return nil
    }

    /// Checks that the remote is configured and answers.
    public func checkReachable() throws {
        _ = try remote()
        _ = try directories(below: "")
    }
}

extension String {
    /// The order of lists: that of their bytes.
    fileprivate func isBefore(_ other: String) -> Bool { utf8.lexicographicallyPrecedes(other.utf8) }
}
