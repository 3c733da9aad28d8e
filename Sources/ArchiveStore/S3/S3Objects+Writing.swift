import FoundationEssentials
import HTTP
import HostIO
import S3
import Synchronization

extension S3Objects {
    /// Whether writes ask that nothing is there yet.
    var createsConditionally: Bool {
        adaption.withLock { $0.createsConditionally ?? settings.createsConditionally }
    }

    /// What new objects are given beside their bytes.
    ///
    /// - Parameters:
    ///   - isArchive: whether it is large, and may be kept where reading costs more.
    ///   - isLocked: whether it is locked, where the settings say so.
    func attributes(isArchive: Bool, isLocked: Bool = true) -> S3WriteAttributes {
        let lock = (isLocked ? settings.lock : nil).map { lock in
            S3WriteAttributes.Lock(
                retention: (lock.mode, connection.now.addingTimeInterval(Double(lock.days) * 86_400)))
        }
        return S3WriteAttributes(
            encryption: settings.encryption, storageClass: isArchive ? settings.storageClass : nil, lock: lock,
            contentType: isArchive ? "application/octet-stream" : "application/json")
    }

    /// How long an attempt to write a small object may take: a run that is told to end waits for it.
    private static let smallObjectTimeout = Duration.seconds(20)

    /// Writes a small object, unless there is one of the key.
    public func create(_ key: String, _ bytes: [UInt8], isLocked: Bool) throws {
        let call = S3Call(deadline: Self.smallObjectTimeout)
        do {
            try put(
                key, .bytes(bytes), nil, attributes(isArchive: false, isLocked: isLocked), call: call,
                isOwn: { try self.bytes(of: key, limit: max(1, bytes.count)).bytes == bytes })
        } catch var error as ObjectError {
            error.isCertainlyUndone = !call.mayHaveLostAnswer || error.kind == .exists
            throw error
        }
    }

    /// Begins an object of any size.
    public func begin(
        _ key: String, byteCount: Int?, note: @escaping @Sendable (_ upload: String) throws -> Void
    ) throws -> any PendingObject {
        _ = try MultipartPlan(byteCount: byteCount)
        return S3PendingObject(try self.key(key), key, in: self, note: note)
    }

    /// Ends the uploads of a key: the one that is known, and others, where they may be listed.
    public func removeLeftover(of key: String, upload: String?) throws {
        let name = try self.key(key)
        try translating {
            if let upload { try abort(AbortMultipartUpload(name, uploadID: upload)) }
        }
        do {
            try forEachUpload(prefix: name.text) { listed in
                if listed.key == name { try abort(AbortMultipartUpload(name, uploadID: listed.uploadID)) }
            }
        } catch let error as ObjectError where error.retry == .never {
            // Who may not list them, or whose server can't, knows the one that was noted.
        }
    }

    /// Writes an object in one request, unless there is one of the key.
    ///
    /// - Parameter isOwn: whether what is there is what was to be written: asked where an answer was lost.
    func put(
        _ key: String, _ payload: S3Request.Payload, _ block: ByteBlock?, _ attributes: S3WriteAttributes,
        call: S3Call? = nil, isOwn: () throws -> Bool
    ) throws {
        let name = try self.key(key)
        try explainingLocks {
            try creating(key, isOwn: isOwn) { condition in
                let put = PutObject(
                    name, payload, condition: condition, attributes: attributes, sendsChecksum: settings.sendsChecksums)
                _ = try sender.send(put, block, call)
            }
        }
    }

    /// Servers say nothing of use to who asks for a lock where there can't be one.
    func explainingLocks<Result>(_ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let error as ObjectError
            where settings.lock != nil && error.kind == .failed && error.retry == .never && !mayLock()
        {
            var failure = error.failure
            failure.message = "objects of this bucket can't be locked, and are to be: \(failure.message)"
            failure.hint = "make a bucket with object lock, or take the lock out of the configuration"
            throw ObjectError(.failed, failure)
        }
    }

    /// Runs what creates an object, with the condition that there is none, as far as the server knows conditions.
    func creating(_ key: String, isOwn: () throws -> Bool, _ body: (S3WriteCondition?) throws -> Void) throws {
        try translating {
            do {
                guard createsConditionally else { return try createUnconditionally(key, body) }
                try body(.absent)
            } catch let error as S3Error where error.isPreconditionFailure {
                guard error.isOfRepetition, try isOwnUnlessDenied(isOwn) else { throw exists(key) }
            } catch let error as S3Error where error.status == 501 && createsConditionally {
                adaption.withLock { $0.createsConditionally = false }
                report("the server knows no conditional writes: whether something is there is asked before instead")
                try createUnconditionally(key, body)
            }
        }
    }

    private func createUnconditionally(_ key: String, _ body: (S3WriteCondition?) throws -> Void) throws {
        do {
            if try object(key) != nil { throw exists(key) }
        } catch let error as ObjectError where error.kind == .denied {
            // Nobody can be asked.
        }
        try body(nil)
    }

    /// Whether what is there is this process' own; who may not look takes it for that, for its key has a random part.
    func isOwnUnlessDenied(_ isOwn: () throws -> Bool) throws -> Bool {
        do {
            return try isOwn()
        } catch let error as ObjectError where error.kind == .denied {
            return true
        }
    }

    private func exists(_ key: String) -> ObjectError {
        ObjectError(
            .exists,
            Failure(
                .failed, "\(quoted("\(name)/\(key)")) is there already",
                hint: "another run may write under the same names: give each node its own"))
    }

    // MARK: - Removing

    /// Removes objects with all their versions.
    public func remove(_ keys: [String]) throws -> [ObjectRemovalFailure] {
        try translating {
            let items = try keys.flatMap { try self.items(of: $0) }
            var failures: [ObjectRemovalFailure] = []
            var rest = items[...]
            while !rest.isEmpty {
                let batch = Array(rest.prefix(DeleteObjects.maximumItemCount))
                rest = rest.dropFirst(batch.count)
                failures += try remove(batch).compactMap { failure in
                    relative(failure.item.key).map { ObjectRemovalFailure(key: $0, error: removalError(failure)) }
                }
            }
            return failures
        }
    }

    private typealias Refusal = (item: DeleteObjects.Item, error: S3Error)

    private func remove(_ items: [DeleteObjects.Item]) throws -> [Refusal] {
        guard items.count > Self.singleRemovalCount else { return try removeSingly(items) }
        do {
            let failures = try sender.send(DeleteObjects(items)).failures.filter { !$0.error.isNotFound }
            // The answer is one of success: what may pass is tried again for each.
            let passing = failures.filter { RetryingS3Sender.retry($0.error) != .never }
            let others = failures.filter { RetryingS3Sender.retry($0.error) == .never }
            return try others + removeSingly(passing.map(\.item))
        } catch let error as S3Error where error.status == 501 || error.code == "NotImplemented" {
            return try removeSingly(items)
        }
    }

    /// So many are removed one by one: not every server takes several in one request.
    private static let singleRemovalCount = 3

    private func removeSingly(_ items: [DeleteObjects.Item]) throws -> [Refusal] {
        try items.compactMap { item in
            do {
                _ = try sender.send(DeleteObject(item.key, versionID: item.versionID))
                return nil
            } catch let error as S3Error where error.status < 500 {
                return error.isNotFound ? nil : (item, error)
            }
        }
    }

    /// A version that is locked, or that nobody here has a right to, says the same: look for the lock.
    private func removalError(_ refusal: Refusal) -> ObjectError {
        let error = ObjectError(refusal.error)
        guard error.kind == .denied || error.kind == .locked(until: nil), let key = relative(refusal.item.key),
            let lock = try? lock(of: key)
        else { return error }
        let time = lock.until.map { " until \($0.formatted(.iso8601))" } ?? ""
        return ObjectError(
            .locked(until: lock.until),
            Failure(
                .failed, "\(quoted("\(name)/\(key)")) is locked by \(lock.mode)\(time)",
                hint: "wait until then, or have a legal hold taken away"))
    }

    /// What has to be deleted of a key: its versions, where the bucket keeps such.
    private func items(of key: String) throws -> [DeleteObjects.Item] {
        let name = try self.key(key)
        guard try keepsVersions() else { return [DeleteObjects.Item(name)] }
        var items: [DeleteObjects.Item] = []
        var next: ListVersions? = ListVersions(prefix: name.text)
        do {
            while let list = next {
                let page = try sender.send(list)
                items += page.versions.filter { $0.key == name }.map {
                    DeleteObjects.Item($0.key, versionID: $0.versionID)
                }
                next = list.next(after: page)
            }
        } catch let error as S3Error where ObjectError(error).kind == .denied {
            return [DeleteObjects.Item(name)]
        }
        return items
    }

    private func keepsVersions() throws -> Bool {
        if let known = adaption.withLock({ $0.keepsVersions }) { return known }
        var keeps = false
        do {
            keeps = try sender.send(GetBucketVersioning()) != .off
        } catch let error as S3Error where error.status < 500 {
            // Who may not ask, or whose server has none.
        }
        adaption.withLock { $0.keepsVersions = keeps }
        return keeps
    }

    /// Ends uploads below a prefix that were begun before a time.
    public func removeLeftovers(below prefix: String, before date: Date) throws -> [String] {
        var removed: [String] = []
        try forEachUpload(prefix: self.prefix(prefix)) { upload in
            guard upload.initiated.map({ $0 <= date }) != false, let key = relative(upload.key) else { return }
            try abort(AbortMultipartUpload(upload.key, uploadID: upload.uploadID))
            removed.append(key)
        }
        return removed
    }

    private func forEachUpload(prefix: String, _ body: (ListMultipartUploads.Upload) throws -> Void) throws {
        try translating {
            var next: ListMultipartUploads? = ListMultipartUploads(prefix: prefix)
            while let list = next {
                let page = try sender.send(list)
                try page.uploads.forEach(body)
                next = list.next(after: page)
            }
        }
    }

    /// Ends an upload; one that is not there is no error.
    func abort(_ operation: AbortMultipartUpload) throws {
        do {
            try sender.send(operation)
        } catch let error as S3Error where error.isNotFound {
            return
        }
    }
}
