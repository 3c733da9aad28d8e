import Crypto
import FoundationEssentials
import HostIO
import SealedArchive
import SystemPackage

/// Where this host keeps what it has to remember of stores elsewhere: whoever only may write there can't ask.
public struct StoreHome: Sendable {
    /// The directory of what must not be lost.
    public var stateDirectory: String
    /// The directory of what can be fetched again.
    public var cacheDirectory: String

    /// Directories that need not exist.
    public init(stateDirectory: String, cacheDirectory: String) {
        self.stateDirectory = stateDirectory
        self.cacheDirectory = cacheDirectory
    }

    /// What systemd gives a unit (`StateDirectory=`, `CacheDirectory=`), the system's for root, and otherwise the user's own
    /// (XDG Base Directory Specification 0.8).
    public init(variables: [String: String], isRoot: Bool) {
        let home = variables["HOME"] ?? "/"
        let directory = { (unit: String, system: String, user: String, fallback: String) -> String in
            if let given = variables[unit]?.split(separator: ":").first { return String(given) }
            if isRoot { return system }
            return joinPath(variables[user] ?? joinPath(home, fallback), "etcd-snap")
        }
        stateDirectory = directory("STATE_DIRECTORY", "/var/lib/etcd-snap", "XDG_STATE_HOME", ".local/state")
        cacheDirectory = directory("CACHE_DIRECTORY", "/var/cache/etcd-snap", "XDG_CACHE_HOME", ".cache")
    }

    /// No directory of a cluster in a store begins with a dot.
    private static let remoteName = ".remote"

    /// The directory of a store: a part of its name for people, and a digest of the whole.
    private static func directoryName(_ store: String) -> String {
        let readable = store.utf8.map { StoreScope.canBeName(String(decoding: [$0], as: UTF8.self)) ? $0 : 0x2D }
        let digest = Array(SHA256.hash(data: Array(store.utf8)).prefix(8)).hexadecimal
        return String(decoding: readable.prefix(60), as: UTF8.self) + "-" + digest
    }

    /// Where the state of a scope is.
    func statePath(of store: String, _ scope: StoreScope) -> String {
        joinPath(joinPath(stateDirectory, Self.remoteName), "\(Self.directoryName(store))/\(scope)")
    }

    /// Where what was read of a scope is.
    func cachePath(of store: String, _ scope: StoreScope) -> String {
        joinPath(cacheDirectory, "\(Self.directoryName(store))/\(scope)")
    }
}

/// The uploads that runs have begun: each is noted before, so that a later run can end it if its own is killed, or can't.
struct UnfinishedUploads: Codable, Sendable {
    /// One that was begun.
    struct Upload: Codable, Sendable, Equatable {
        /// The key of the object.
        var key: String
        /// How the place calls it; nil if it has not said, or has no name for it.
        var upload: String?
    }

    /// The last begun last.
    private(set) var uploads: [Upload] = []

    private static let fileName = "uploads.json"
    private static let maximumByteCount = 1 << 16
    /// More than so many are never left where anything can be removed.
    private static let maximumCount = 100

    /// What is noted; nothing if that can't be read.
    static func read(in directory: OpenDirectory) -> UnfinishedUploads {
        guard let file = try? RandomAccessFile(path: directory.path(of: fileName)), file.byteCount <= maximumByteCount,
            let bytes = try? file.bytes(at: 0, count: file.byteCount)
        else { return UnfinishedUploads() }
        return (try? DocumentCoding.decode(UnfinishedUploads.self, from: bytes, name: file.name)) ?? UnfinishedUploads()
    }

    /// Notes one, in place of what was known of its key before; returns when that is durable.
    static func note(_ upload: Upload, in directory: OpenDirectory) throws {
        var noted = read(in: directory)
        noted.uploads.removeAll { $0.key == upload.key }
        noted.uploads = noted.uploads.suffix(maximumCount - 1) + [upload]
        try noted.write(in: directory)
    }

    /// Forgets one; where that fails, it is looked for once more, and is not there.
    static func forget(_ key: String, in directory: OpenDirectory) {
        var noted = read(in: directory)
        noted.uploads.removeAll { $0.key == key }
        if noted.uploads.isEmpty {
            _ = try? directory.removeFile(fileName)
        } else {
            try? noted.write(in: directory)
        }
    }

    private func write(in directory: OpenDirectory) throws {
        let file = try PendingFile(in: directory, name: Self.fileName)
        try file.write(DocumentCoding.encode(self))
        try file.publish(replacing: true)
    }
}
