import FoundationEssentials
import HTTP
import HostIO
public import S3
import Synchronization

/// Objects in a bucket of S3, below a prefix.
///
/// What is asked of a server and it does not know, such as a condition, is left out from then on, and that is reported.
public final class S3Objects: ObjectStorage {
    /// Where they are.
    public let location: S3Location
    let settings: S3Settings
    let connection: S3Connection
    let sender: RetryingS3Sender
    let report: @Sendable (String) -> Void
    let adaption = Mutex(Adaption())

    /// What is known of the server meanwhile.
    struct Adaption: Sendable {
        var createsConditionally: Bool?
        var keepsVersions: Bool?
        var mayLock: Bool?
        var isReachable = false
    }

    /// A store's place in S3; nothing is sent yet.
    ///
    /// - Parameters:
    ///   - variables: the environment, of which only what is not secret is read, unless keys are to be taken from it.
    ///   - retries: how long requests that fail are repeated.
    ///   - report: told what a person should know though nothing failed.
    /// - Throws: ``Failure`` with the code `usage` for settings that can't be, or a file that can't be read.
    public init(
        _ location: S3Location, _ settings: S3Settings, variables: [String: String],
        retries: RetryPolicy = RetryPolicy(), report: @escaping @Sendable (String) -> Void = { _ in }
    ) throws {
        self.location = location
        self.settings = settings
        self.report = report
        let profile = try S3CredentialSearch.profile(settings, variables)
        let endpoint = try settings.endpoint(profile)
        let server = settings.endpointURL ?? profile?.endpointURL
        place = location.description + (server.map { " at \($0)" } ?? "")
        let http = try settings.http(profile, variables)
        let search = S3CredentialSearch(
            settings: settings, variables: variables, profile: profile, region: endpoint.region, http: http)
        connection = S3Connection(
            S3Bucket(location.bucket, at: endpoint), try HTTPClient(http), try search.provider(), report: report)
        sender = RetryingS3Sender(sender: connection, policy: retries)
    }

    private init(_ other: S3Objects, _ sender: RetryingS3Sender) {
        location = other.location
        settings = other.settings
        place = other.place
        connection = other.connection
        report = other.report
        self.sender = sender
    }

    /// The same objects over the same connection.
    public func waiting(atMost patience: Duration) -> any ObjectStorage {
        S3Objects(self, sender.waiting(atMost: patience))
    }

    /// `s3://BUCKET/PREFIX`.
    public var name: String { location.description }

    /// With the server, where it is not Amazon's: there a bucket has a name of its own.
    public let place: String

    /// A request over a network takes about as long as so many bytes.
    public var readByteCount: Int { 128 << 10 }

    /// The bucket has no limit that it would tell.
    public func availableByteCount() throws -> Int? { nil }

    /// For how many days archives and their sidecars are locked.
    public var lockDays: Int? { settings.lock?.days }

    func key(_ key: String) throws -> S3Key { try location.key(key) }

    /// The prefix of keys in the bucket.
    func prefix(_ prefix: String) -> String { location.prefix.isEmpty ? prefix : "\(location.prefix)/\(prefix)" }

    /// The key below this place; nil for what is not below it.
    func relative(_ key: S3Key) -> String? {
        guard !location.prefix.isEmpty else { return key.text }
        let start = location.prefix + "/"
        return key.text.hasPrefix(start) ? String(key.text.dropFirst(start.count)) : nil
    }

    /// Runs what sends requests, and says what fails as errors of objects.
    func translating<Result>(_ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let error as S3Error {
            throw ObjectError(error)
        } catch let error as HTTPError {
            throw ObjectError(error)
        }
    }

    // MARK: - Reading

    /// All objects below a prefix, sorted.
    public func objects(below prefix: String, behind key: String?) throws -> [StoredObject] {
        let start = try key.map { try self.key($0).text }
        var objects: [StoredObject] = []
        try forEachPage(ListObjects(prefix: self.prefix(prefix), startAfter: start)) { page in
            objects += page.objects.compactMap { listed in
                relative(listed.key).map {
                    StoredObject(
                        key: $0, byteCount: listed.byteCount, tag: listed.entityTag, modifiedAt: listed.lastModified)
                }
            }
        }
        return objects.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
    }

    /// The names behind a prefix up to the next slash.
    public func directories(below prefix: String) throws -> [String] {
        var names: Set<String> = []
        try forEachPage(ListObjects(prefix: self.prefix(prefix), delimiter: "/")) { page in
            for common in page.commonPrefixes {
                guard let key = relative(common), key.hasPrefix(prefix), key.hasSuffix("/") else { continue }
                names.insert(String(key.dropFirst(prefix.count).dropLast()))
            }
        }
        return names.sorted()
    }

    private func forEachPage(_ first: ListObjects, _ body: (ListObjects.Page) throws -> Void) throws {
        try translating {
            var next: ListObjects? = first
            while let list = next {
                let page = try sender.send(list)
                try body(page)
                next = list.next(after: page)
            }
        }
    }

    /// What there is under a key.
    public func object(_ key: String) throws -> StoredObject? {
        do {
            return StoredObject(key, try translating { try sender.send(HeadObject(self.key(key))) })
        } catch let error as ObjectError where error.kind == .absent {
            return nil
        }
    }

    /// Reads a range.
    public func read(
        _ object: StoredObject, at offset: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws -> Int {
        let end = min(offset + buffer.count, object.byteCount)
        guard offset < end else { return 0 }
        let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<(end - offset)])
        let (facts, count) = try translating {
            try sender.read(GetObject(key(object.key), range: offset..<end, entityTag: object.tag), into: part)
        }
        guard count == part.count, facts.byteCount.map({ $0 == object.byteCount }) != false else {
            throw ObjectError(
                .changed,
                Failure(
                    .integrity,
                    "\(quoted("\(name)/\(object.key)")) has \(facts.byteCount ?? offset + count) bytes, and "
                        + "\(object.byteCount) were expected",
                    hint: "it was replaced or cut: compare it with another copy of the store"))
        }
        return count
    }

    /// The bytes of a small object.
    public func bytes(of key: String, limit: Int) throws -> (object: StoredObject, bytes: [UInt8]) {
        var facts: S3ObjectFacts?
        var count = 0
        let bytes = try [UInt8](unsafeUninitializedCapacity: limit) { buffer, initialized in
            (facts, count) = try translating {
                try sender.read(GetObject(self.key(key)), into: UnsafeMutableRawBufferPointer(buffer))
            }
            initialized = count
        }
        return (StoredObject(key: key, byteCount: count, tag: facts?.entityTag, modifiedAt: facts?.lastModified), bytes)
    }

    /// Until when an object is locked.
    public func lock(of key: String) throws -> ObjectLock? {
        let facts: S3ObjectFacts
        do {
            facts = try translating { try sender.send(HeadObject(self.key(key))) }
        } catch let error as ObjectError where error.kind == .absent {
            return nil
        }
        if facts.isOnLegalHold { return ObjectLock(until: nil, mode: "a legal hold") }
        guard let until = facts.lockedUntil, until > connection.now else { return nil }
        return ObjectLock(until: until, mode: facts.lockMode?.rawValue.lowercased() ?? "a retention")
    }

    /// Whether objects of the bucket can be locked; who may not ask takes it for possible.
    public func mayLock() -> Bool {
        if let known = adaption.withLock({ $0.mayLock }) { return known }
        let mayLock = (try? sender.send(GetObjectLockConfiguration()))?.isEnabled ?? true
        adaption.withLock { $0.mayLock = mayLock }
        return mayLock
    }

    /// Asks for one entry below the prefix: whoever may not list is told so by a server that knows who asks.
    public func checkReachable() throws {
        guard adaption.withLock({ !$0.isReachable }) else { return }
        do {
            _ = try translating { try sender.send(ListObjects(prefix: prefix(""), pageCount: 1)) }
        } catch let error as ObjectError where error.kind == .denied {
            // It knows who asks.
        }
        adaption.withLock { $0.isReachable = true }
    }
}

extension StoredObject {
    fileprivate init(_ key: String, _ facts: S3ObjectFacts) {
        self.init(
            key: key, byteCount: facts.byteCount ?? 0, tag: facts.entityTag, modifiedAt: facts.lastModified)
    }
}
