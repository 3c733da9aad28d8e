public import ArchiveStore
import HostIO
import S3

/// Where a store is, as people write it.
public enum StoreLocation: Sendable, Equatable {
    /// A directory of this host.
    case directory(String)
    /// A place in a bucket: `s3://BUCKET/PREFIX`.
    case s3(String)

    /// Reads a location; what is no place in S3 is a path, which the caller has to look at.
    public init(_ text: String) {
        self = text.prefix(S3Location.scheme.count).lowercased() == S3Location.scheme ? .s3(text) : .directory(text)
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
        s3: Configuration.S3, variables: [String: String], isRoot: Bool, observer: Observer,
        patience: Duration = Self.watchedPatience
    ) {
        self.s3 = s3
        self.variables = variables
        self.isRoot = isRoot
        self.observer = observer
        self.patience = patience
    }

    /// Opens the store at a location; nothing is asked of a server yet.
    ///
    /// - Throws: ``Failure`` with the code `usage` for settings that can't be.
    public func open(_ location: StoreLocation) throws -> any Store {
        switch location {
        case .directory(let path): return LocalStore(root: path)
        case .s3(let text):
            let observer = observer
            let retries = RetryPolicy(patience: try s3.patience() ?? patience) { failure, wait in
                // What passes in a moment nobody has to know of.
                guard wait >= .seconds(1) else { return }
                observer.warn("trying again in \(Self.seconds(wait)) s: \(failure.message)")
            }
            let objects = try S3Objects(
                S3Location(text), s3.settings(), variables: variables, retries: retries,
                report: { observer.warn($0) })
            return ObjectStore(objects, home: StoreHome(variables: variables, isRoot: isRoot))
        }
    }

    private static func seconds(_ wait: Duration) -> String {
        let tenths = (wait / .milliseconds(100)).rounded()
        return "\(tenths / 10)"
    }
}
