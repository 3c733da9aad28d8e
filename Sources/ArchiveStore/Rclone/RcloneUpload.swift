import HostIO

/// An object on its way to a remote.
///
/// If this process ends in its middle, rclone's next read fails and it completes nothing; see ``ChildProcess``. What it leaves
/// then has a hidden name, or is an upload that the object store never shows.
final class RcloneUpload: PendingObject {
    private let storage: RcloneStorage
    private let key: String
    private let remote: RcloneRemote
    /// Where it is written.
    private let writtenKey: String
    private var child: ChildProcess?
    private var digest: RunningDigest?
    private var byteCount = 0
    /// Whether rclone was ever started, and something may be under the hidden name.
    private var hasBegun = false
    /// Whether rclone may have completed it: it was told to, or was killed.
    private var mayBeComplete = false
    private var isFinished = false
    /// Whether it may have its name.
    private var mayBeRenamed = false
    private(set) var mayBeLeft = false

    init(_ storage: RcloneStorage, _ key: String, _ remote: RcloneRemote) {
        self.storage = storage
        self.key = key
        self.remote = remote
        writtenKey = remote.placement == .renamed ? HiddenName().key(beside: key) : key
        digest = remote.digest.map { RunningDigest($0) }
    }

    deinit { stop() }

    /// What it is called while it is written; nil if it has its own name from the beginning.
    var hiddenKey: String? { remote.placement == .renamed ? writtenKey : nil }

    /// Whether nothing can be under its own name.
    var isCertainlyUndone: Bool { !hasBegun || remote.placement == .renamed && !mayBeRenamed }

    var interruption: (@Sendable () -> Void)? {
        guard let interrupter = child?.interrupter else { return nil }
        return { interrupter.interrupt() }
    }

    private var action: String { "write \(quoted(key))" }
    private var settings: RcloneSettings { storage.program.settings }

    // MARK: Bytes

    /// Starts rclone, which reads what is written here.
    func start() throws {
        hasBegun = true
        child = try storage.program.start(command, input: .stream)
    }

    /// Small objects would be sent whole once they are read; so read errors of those are found before.
    private var command: [String] { ["rcat", storage.target(writtenKey), "--streaming-upload-cutoff=0"] }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        guard let child else { throw ObjectError(.failed, Failure(.failed, "\(quoted(key)) is written no more")) }
        digest?.update(bytes)
        do {
            if try child.write(bytes, stallSeconds: Double(settings.stallSeconds)) {
                byteCount += bytes.count
                return
            }
        } catch {
            stop()
            throw storage.program.error(error, action, child, seconds: settings.stallSeconds)
        }
        // It reads no more: it has failed, and says why.
        _ = try end()
        throw ObjectError(
            .failed,
            Failure(.failed, "cannot \(action) in \(storage.name): rclone ended after \(byteCount) bytes"),
            retry: .later)
    }

    /// Sends all of a small object at once.
    func send(_ bytes: [UInt8]) throws {
        if remote.placement != .renamed, try storage.object(key) != nil { throw storage.existence(key) }
        hasBegun = true
        mayBeComplete = true
        bytes.withUnsafeBytes { digest?.update($0) }
        byteCount = bytes.count
        child = try storage.program.start(
            ["rcat", storage.target(writtenKey), "--size=\(bytes.count)"], input: .bytes(bytes))
    }

    // MARK: End

    func finish() throws -> StoredObject {
        guard let child else { throw ObjectError(.failed, Failure(.failed, "\(quoted(key)) is written no more")) }
        mayBeComplete = true
        child.endInput()
        try end()
        let digest = self.digest?.hexadecimal
        try check(try storage.entry(writtenKey, digest: remote.digest), digest)
        let object = remote.placement == .renamed ? try rename() : try storage.object(key)
        guard let object else { throw vanished() }
        isFinished = true
        return object
    }

    /// Waits for the end of rclone.
    private func end() throws {
        guard let child else { return }
        let end: ChildProcess.End
        do {
            end = try child.waitForEnd(ChildProcess.Patience(seconds: Double(settings.operationSeconds)))
        } catch {
            stop()
            throw storage.program.error(error, action, child, seconds: settings.operationSeconds)
        }
        self.child = nil
        guard end == .status(0) else {
            let error = RcloneError(action: action, place: storage.name, end: end, errorText: child.errorText)
            throw error.objectError(afterSeconds: settings.operationSeconds)
        }
    }

    /// Compares what the remote has with what was sent.
    private func check(_ entry: RcloneListing.Entry?, _ digest: String?) throws {
        guard let entry else { throw vanished() }
        guard entry.byteCount == byteCount else {
            throw damage("has \(entry.byteCount) bytes there, and \(byteCount) were sent")
        }
        // Not every object of a remote with digests has one.
        guard let kind = remote.digest, let stored = entry.digests?[kind.rawValue], !stored.isEmpty, let digest,
            stored.lowercased() != digest
        else { return }
        throw damage("has the \(kind.rawValue) \(stored) there, and \(digest) was sent")
    }

    private func damage(_ what: String) -> ObjectError {
        ObjectError(.failed, Failure(.integrity, "\(quoted(key)) in \(storage.name) \(what)"), retry: .later)
    }

    private func vanished() -> ObjectError {
        ObjectError(
            .failed,
            Failure(
                .failed, "\(quoted(key)) is not in \(storage.name), though rclone has written it",
                hint: "look whether something removes files there"),
            retry: .later)
    }

    /// Gives the object its name; what is there afterwards counts, and not whether the answer arrived.
    private func rename() throws -> StoredObject? {
        let arguments = [
            "moveto", storage.target(writtenKey), storage.target(key), "--ignore-existing", "--no-traverse",
        ]
        mayBeRenamed = true
        let run = try storage.program.run("rename to \(quoted(key))", arguments, heedsCancellation: false)
        // With one under the name rclone leaves both as they are, and its status is 0.
        if try storage.entry(writtenKey, heedsCancellation: false) != nil {
            mayBeRenamed = false
            let other = try storage.entry(key, heedsCancellation: false)
            try other == nil ? run.check() : ()
            throw storage.existence(key)
        }
        guard let entry = try storage.entry(key, heedsCancellation: false) else {
            try run.check()
            return nil
        }
        try check(entry, nil)
        return entry.object(key)
    }

    // MARK: Discarding

    func discard() {
        stop()
        guard hasBegun else { return }
        hasBegun = false
        if remote.placement == .renamed { removeQuietly(writtenKey) }
        // What is under its own name is this one's only if it has come that far.
        let mayBeThere = remote.placement == .growing || remote.placement == .direct && mayBeComplete
        if isFinished || mayBeThere { removeQuietly(key) }
    }

    private func removeQuietly(_ key: String) {
        do {
            try storage.remove(key, heedsCancellation: false)
        } catch {
            mayBeLeft = true
        }
    }

    /// Ends rclone, which must not take the end of this for the end of the object.
    private func stop() {
        guard let child else { return }
        self.child = nil
        // It gives up what a remote has of the upload when its read fails; killed it could not.
        child.breakInput()
        let end = try? child.waitForEnd(ChildProcess.Patience(seconds: 5, heedsCancellation: false))
        if end == nil || end == .status(0) { mayBeComplete = true }
        child.kill()
    }
}
