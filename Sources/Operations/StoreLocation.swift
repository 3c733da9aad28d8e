public import ArchiveStore
import HostIO
import S3

/// Where a store is, as people write it.
public enum StoreLocation: Sendable, Equatable {
    /// A directory of this host.
    case directory(String)
    /// A place in a bucket: `s3://BUCKET/PREFIX`.
    case s3(String)
    /// A place in a remote of rclone's: `rclone:REMOTE:PATH`.
    case rclone(String)

    /// Reads a location; what is no place elsewhere is a path, which the caller has to look at.
    public init(_ text: String) {
        let begins = { (scheme: String) in text.prefix(scheme.count).lowercased() == scheme }
        self = begins(S3Location.scheme) ? .s3(text) : begins(RcloneLocation.scheme) ? .rclone(text) : .directory(text)
    }

    /// Whether it is in S3.
    public var isInS3: Bool {
        if case .s3 = self { return true }
        return false
    }

    /// What kind of place it is, for people.
    fileprivate var kind: String {
        switch self {
        case .directory: "a directory"
        case .s3: "a bucket"
        case .rclone: "a remote of rclone"
        }
    }

    /// Whether it is on this host.
    public var isDirectory: Bool {
        if case .directory = self { return true }
        return false
    }
}

/// What it takes to open a store beside its location.
public struct StoreOpening: Sendable {
    /// The section of the configuration with the flags before it.
    public var s3: Configuration.S3
    /// The section of the configuration.
    public var rclone: Configuration.Rclone
    /// For how long what is written is locked.
    public var lock: Configuration.Lock?
    /// The environment.
    public var variables: [String: String]
    /// Whether this user is root.
    public var isRoot: Bool
    /// Who is told what goes on.
    public var observer: Observer
    /// For how long what fails and may pass is tried again, where the section says nothing of that.
    public var patience: Duration

    /// The patience of a backup that nobody watches: a server that is started anew takes minutes.
    public static let unwatchedPatience = Duration.seconds(300)
    /// The patience of what somebody waits for.
    public static let watchedPatience = Duration.seconds(60)

    /// An opening from its parts.
    public init(
        s3: Configuration.S3, rclone: Configuration.Rclone = .init(), lock: Configuration.Lock? = nil,
        variables: [String: String], isRoot: Bool, observer: Observer, patience: Duration = Self.watchedPatience
    ) {
        self.s3 = s3
        self.rclone = rclone
        self.lock = lock
        self.variables = variables
        self.isRoot = isRoot
        self.observer = observer
        self.patience = patience
    }

    /// Opens the store at a location; nothing is asked of a server yet.
    ///
    /// - Throws: ``Failure`` with the code `usage` for settings that can't be.
    public func open(_ location: StoreLocation) throws -> any Store {
        let observer = observer
        let home = StoreHome(variables: variables, isRoot: isRoot)
        let lock = try lock?.settings()
        if lock != nil, !location.isInS3 {
            throw Failure(
                .usage, "what is written to \(location.kind) can't be locked from here, and is to be",
                hint: "take the lock out, and set a retention where the place has one of its own")
        }
        switch location {
        case .directory(let path): return LocalStore(root: path)
        case .s3(let text):
            var settings = try s3.settings()
            settings.lock = lock
            if lock != nil, !settings.sendsChecksums {
                throw Failure(
                    .usage, "what is to be locked has to be sent with its checksum, and checksums are off",
                    hint: "take checksums: false out, or the lock")
            }
            let objects = try S3Objects(
                S3Location(text), settings, variables: variables,
                retries: retries(try s3.patience() ?? patience), report: { observer.warn($0) })
            return ObjectStore(objects, home: home)
        case .rclone(let text):
            let storage = try RcloneStorage(RcloneLocation(text), rclone.settings())
            return ObjectStore(RetryingObjects(storage, retries(patience)), home: home)
        }
    }

    private func retries(_ patience: Duration) -> RetryPolicy {
        let observer = observer
        return RetryPolicy(patience: patience) { failure, wait in
            // What passes in a moment nobody has to know of.
            guard wait >= .seconds(1) else { return }
            observer.warn("trying again in \(Self.seconds(wait)) s: \(failure.message)")
        }
    }

    private static func seconds(_ wait: Duration) -> String {
        let tenths = (wait / .milliseconds(100)).rounded()
        return "\(tenths / 10)"
    }
}
