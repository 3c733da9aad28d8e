import Age
import ArchiveStore
import HostIO
import SealedArchive
import SystemPackage

/// An archive that is open, from a store or from anywhere else.
public struct OpenedArchive: Sendable {
    /// The sealed bytes.
    public var file: any RandomAccessBytes
    /// What to call it in reports.
    public var reference: String
    /// Its sidecar, when it is at hand.
    public var sidecar: Sidecar?
    /// The sidecar's bytes as stored.
    public var sidecarBytes: [UInt8]?
    /// What is wrong with the sidecar beside it, if it can't be used.
    public var sidecarFailure: Failure?
    /// Where snapshots of other nodes are looked for that belong to it, the first first.
    public var stores: [any Store] = []

    private static let maximumSidecarByteCount = 16 << 20

    /// What the newest drill of it has proved; nil where none is known.
    var newestDrill: DrillRecord?

    /// Looks up how it is kept from being removed; nil where it is in no store.
    var lookUpLock: (@Sendable () throws -> ObjectLock?)?

    /// An archive from its parts.
    public init(file: any RandomAccessBytes, reference: String, sidecar: Sidecar?) {
        self.file = file
        self.reference = reference
        self.sidecar = sidecar
    }

    /// An archive of a store.
    public init(_ backup: StoredBackup, in store: any Store) throws {
        file = try store.open(backup)
        reference = backup.reference
        sidecar = backup.sidecar
        sidecarBytes = backup.sidecarBytes
        stores = [store]
        newestDrill = backup.drill
        lookUpLock = { try store.lock(of: backup.id, in: backup.scope) }
    }

    /// How it is kept from being removed; nil if it can be, or nothing here may know.
    public func lock() -> ObjectLock? { try? lookUpLock?() }

    /// The archive of a path, which may be that of its sidecar, with the sidecar beside it if there is one.
    ///
    /// - Throws: ``Failure`` with the code `integrity` for what is no regular file or holds something else than an age file;
    ///   ``SystemCallError``.
    public init(path: String) throws {
        let (path, file) = try Self.file(path)
        try FileKind.check(file, is: [.age], whatIsExpected: "a sealed archive")
        self.file = file
        reference = path
        stores = [Self.store(around: path)]
        do {
            guard let bytes = try Self.sidecarBytes(besides: path) else { return }
            let sidecar = try Sidecar.decode(bytes, name: Self.sidecarName(besides: path))
            self.sidecar = sidecar
            sidecarBytes = bytes
            reference = sidecar.archive.reference
        } catch {
            sidecarFailure = Failure(wrapping: error)
        }
    }

    /// The store that a path lies in, or its directory, where archives may lie side by side.
    private static func store(around path: String) -> any Store {
        if let found = try? StorePath.reference(path) { return found.store }
        return LocalStore(root: absolutePath(path).removingLastComponent().string)
    }

    /// The archive of a path, or the one beside the sidecar of that path.
    private static func file(_ path: String) throws -> (path: String, RandomAccessFile) {
        guard path.hasSuffix(ArchiveFormat.sidecarSuffix) else { return (path, try RandomAccessFile(regular: path)) }
        let sidecar = try RandomAccessFile(regular: path)
        let archive = String(path.dropLast(ArchiveFormat.sidecarSuffix.count)) + ArchiveFormat.archiveSuffix
        do {
            return (archive, try RandomAccessFile(regular: archive))
        } catch let error as SystemCallError where error.errno == .noSuchFileOrDirectory {
            let bytes = try sidecar.bytes(at: 0, count: min(sidecar.byteCount, maximumSidecarByteCount))
            let isSidecar = (try? Sidecar.decode(bytes, name: path)) != nil
            throw Failure(
                .notFound,
                isSidecar
                    ? "the archive of the sidecar \(quoted(path)) is not beside it"
                    : "\(quoted(path)) is no archive, and no sidecar of one",
                hint: isSidecar ? "copy \(quoted(archive)) there too" : "name the file of an archive")
        }
    }

    /// The name of the file.
    public var fileName: String { FilePath(file.name).lastComponent?.string ?? file.name }

    /// The name of the sidecar that belongs to an archive's file, in the same directory.
    static func sidecarName(besides name: String) -> String {
        let stem =
            name.hasSuffix(ArchiveFormat.archiveSuffix)
            ? String(name.dropLast(ArchiveFormat.archiveSuffix.count)) : name
        return stem + ArchiveFormat.sidecarSuffix
    }

    private static func sidecarBytes(besides path: String) throws -> [UInt8]? {
        let file: RandomAccessFile
        do {
            file = try RandomAccessFile(path: sidecarName(besides: path))
        } catch let error as SystemCallError where error.errno == .noSuchFileOrDirectory {
            return nil
        }
        guard file.byteCount <= maximumSidecarByteCount else {
            throw Failure(.integrity, "\(quoted(file.name)) has \(file.byteCount) bytes, too many for a sidecar")
        }
        return try file.bytes(at: 0, count: file.byteCount)
    }

    /// Whether its manifest is the one with a digest, wherever it lies and whatever it is called.
    ///
    /// False for what no identity opens.
    public func hasManifest(sha256: String, identities: [any Identity]) -> Bool {
        (try? reader(identities))?.manifestSHA256 == sha256
    }

    /// Opens it, and checks that it is the one that its sidecar describes.
    func reader(_ identities: [any Identity]) throws -> ArchiveReader {
        // Before a key is tried: what a damaged header says is that no key fits.
        try sidecar?.object.checkHeader(of: file)
        let reader = try ArchiveReader(file, identities: identities)
        if let sidecar { try VerifyOperation.check(reader, against: sidecar) }
        return reader
    }
}
