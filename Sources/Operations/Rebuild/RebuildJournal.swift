import FoundationEssentials
import HostIO
import NodeFiles
import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// What a rebuild has done on a host, and is about to do: `/var/lib/etcd-snap-rebuild/journal.jsonl` of its root.
///
/// A record is durable before what it announces is done, and another one after. A record that a crash has cut announces
/// nothing. The file is locked by `flock(2)` while its process lives. It has paths and times and no content of any file.
final class RebuildJournal {
    /// A line of the file.
    struct Record: Codable {
        enum Kind: String, Codable {
            /// A rebuild begins; everything below is of it.
            case begin
            /// A step begins.
            case stepBegins = "step-begins"
            /// A directory is about to be made.
            case makes
            /// A path is about to be replaced, what was there is kept.
            case places
            /// The data directory is about to be made.
            case makesData = "makes-data"
            /// A step is done.
            case stepEnds = "step-ends"
            /// All is done.
            case end
            /// All is about to be taken back.
            case undoes
        }

        var kind: Kind
        var at: Date
        /// Its place in the file, counted from 1: a line that is missing shows; nil in files of the first version that wrote any.
        var number: Int?
        var version: Int?
        var node: String?
        var planSHA256: String?
        var step: RebuildStep?
        var path: String?
        var before: ReversiblePlacement.Before?
        var data: DataBefore?

        init(_ kind: Kind) {
            self.kind = kind
            at = Date()
        }

        /// Whether it has what its kind needs to be taken back.
        var isWhole: Bool {
            switch kind {
            case .begin: version != nil && node != nil && planSHA256 != nil
            case .stepBegins, .stepEnds: step != nil
            case .makes: path != nil
            case .places: path != nil && before != nil
            case .makesData: path != nil && data != nil
            case .end, .undoes: true
            }
        }
    }

    /// What was where the data directory is to be.
    struct DataBefore: Codable, Equatable {
        enum Kind: String, Codable {
            case absent
            /// An empty directory, which is removed.
            case empty
            /// A file system of its own, which is filled.
            case mount
            /// Data, which is moved to ``movedTo``.
            case moved
        }

        var kind: Kind
        var mode: UInt16?
        var owner: String?
        var movedTo: String?
    }

    static let version = 1
    static let name = "journal.jsonl"
    static let planName = "plan.json"
    /// What the journal is called once nothing is left to take back.
    private static let undoneName = "undone"
    static let keptName = "kept"
    static let requestsName = "requests"

    /// The root that it is of.
    let root: String
    /// The directory that the journal is in.
    let directory: OpenDirectory
    private(set) var records: [Record] = []
    /// Called behind each record, as a test's way to end there.
    var didWrite: ((Record) throws -> Void)?
    /// The directories above it that were not there before this rebuild.
    let madeParents: [String]
    private let descriptor: FileDescriptor
    private var byteCount = 0

    deinit { try? descriptor.close() }

    /// Opens the journal of a root.
    ///
    /// - Parameter makes: whether it is made if there is none.
    /// - Throws: ``Failure`` with the code `locked` while another process has it.
    init?(root: OpenDirectory, makes: Bool) throws {
        guard let (directory, madeParents) = try Self.directory(root, makes: makes) else { return nil }
        self.root = root.path
        self.directory = directory
        self.madeParents = madeParents
        let path = directory.path(of: Self.name)
        let flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC | (makes ? O_CREAT : 0)
        let raw = openat(directory.descriptor.rawValue, Self.name, flags, 0o600)
        guard raw >= 0 else {
            let error = SystemCallError("open", path)
            if error.errno == .noSuchFileOrDirectory, !makes { return nil }
            throw error
        }
        descriptor = FileDescriptor(rawValue: raw)
        guard try tryLockExclusively(descriptor, name: path) else {
            throw Failure(
                .locked, "another rebuild goes on below \(quoted(root.path))",
                hint: "wait for it to end; its lock goes with its process")
        }
        try read(path)
    }

    private static func directory(
        _ root: OpenDirectory, makes: Bool
    ) throws -> (directory: OpenDirectory, madeParents: [String])? {
        let names = RebuildDirectory.path.split(separator: "/").compactMap { EntryName(Array($0.utf8)) }
        var directory = root
        var parents: [OpenDirectory] = []
        var made: [String] = []
        for (index, name) in names.enumerated() {
            let isOwn = index == names.count - 1
            if try directory.existingAttributes(of: name) == nil {
                guard makes else { return nil }
                let new = try directory.makeDirectory(name)
                try OpenFileAttributes(of: new.descriptor, name: new.path).setMode(isOwn ? 0o700 : 0o755)
                try directory.sync()
                if !isOwn { made.append("/" + names[...index].map(\.description).joined(separator: "/")) }
            } else if isOwn, made.isEmpty {
                made = try leftAlone(parents, names)
            }
            directory = try directory.openDirectory(name)
            if !isOwn { parents.append(directory) }
        }
        return (directory, made)
    }

    /// The directories above that hold nothing but this: made by a run that was killed before its first record.
    private static func leftAlone(_ parents: [OpenDirectory], _ names: [EntryName]) throws -> [String] {
        var made: [String] = []
        for index in parents.indices.reversed() {
            guard try parents[index].names() == [names[index + 1].bytes] else { break }
            made.insert("/" + names[...index].map(\.description).joined(separator: "/"), at: 0)
        }
        return made
    }

    private func read(_ path: String) throws {
        let size = try attributesOf(descriptor, name: path).byteCount
        let bytes = try [UInt8](unsafeUninitializedCapacity: min(size, 64 << 20)) { buffer, count in
            count = try readFully(descriptor, name: path, at: 0, into: UnsafeMutableRawBufferPointer(buffer))
        }
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .iso8601
        struct Head: Decodable { var version: Int? }
        for line in bytes.split(separator: 0x0A, omittingEmptySubsequences: false).dropLast() {
            if records.isEmpty, let version = (try? decoder.decode(Head.self, from: Data(line)))?.version,
                version > Self.version
            {
                throw Failure(
                    .integrity, "\(quoted(path)) has the version \(version), and this program knows \(Self.version)",
                    hint: "use the etcd-snap that wrote it")
            }
            guard let record = try? decoder.decode(Record.self, from: Data(line)), record.isWhole else {
                throw damaged("line \(records.count + 1) of \(quoted(path)) is no record of a rebuild")
            }
            guard record.number == nil || record.number == records.count + 1 else {
                throw damaged(
                    "line \(records.count + 1) of \(quoted(path)) has the number \(record.number ?? 0): a line is missing"
                )
            }
            guard !records.isEmpty || record.kind == .begin else {
                throw damaged("\(quoted(path)) does not begin with the beginning of a rebuild")
            }
            records.append(record)
            byteCount += line.count + 1
        }
        // What is kept is never there without a record of where it was.
        guard records.isEmpty, try Self.keepsSomething(directory) else { return }
        throw damaged("\(quoted(path)) has no record of the rebuild whose replaced files are kept beside it")
    }

    private static func keepsSomething(_ directory: OpenDirectory) throws -> Bool {
        guard directory.isDirectory(keptName) else { return false }
        return try !directory.openDirectory(keptName).names().isEmpty
    }

    func damaged(_ what: String) -> Failure { Self.damaged(what, directory) }

    private static func damaged(_ what: String, _ directory: OpenDirectory) -> Failure {
        Failure(
            .integrity, what,
            hint:
                "use the etcd-snap that wrote it, if a newer one did; else it is damaged, and nothing was changed by this: "
                + "put \(name) back from a copy, or put back by hand what is in "
                + "\(quoted(directory.path(of: keptName))), where each line before tells of a path, or set the host up "
                + "anew; then remove \(quoted(directory.path)), and a new rebuild can begin")
    }

    /// Writes records, and returns when they are durable.
    func write(_ new: [Record]) throws {
        guard !new.isEmpty else { return }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .iso8601
        var bytes: [UInt8] = []
        var numbered = new
        for index in numbered.indices {
            numbered[index].number = records.count + index + 1
            bytes += Array(try encoder.encode(numbered[index])) + [0x0A]
        }
        let path = directory.path(of: Self.name)
        var written = 0
        while written < bytes.count {
            written += try bytes[written...].withUnsafeBytes { rest in
                try retryingInterrupts("write to", path) {
                    pwrite(descriptor.rawValue, rest.baseAddress, rest.count, off_t(byteCount + written))
                }
            }
        }
        try retryingInterrupts("truncate", path) { ftruncate(descriptor.rawValue, off_t(byteCount + bytes.count)) }
        try retryingInterrupts("sync", path) { fsync(descriptor.rawValue) }
        if byteCount == 0 { try directory.sync() }
        byteCount += bytes.count
        records += numbered
        if let last = numbered.last { try didWrite?(last) }
    }

    func write(_ kind: Record.Kind, _ change: (inout Record) -> Void = { _ in }) throws {
        var record = Record(kind)
        change(&record)
        try write([record])
    }

    // MARK: What it says

    var begin: Record? { records.first { $0.kind == .begin } }
    var isDone: Bool { records.contains { $0.kind == .end } && !isUndoing }
    var isUndoing: Bool { records.contains { $0.kind == .undoes } }
    var finishedSteps: Set<RebuildStep> { Set(records.filter { $0.kind == .stepEnds }.compactMap(\.step)) }
    var data: DataBefore? { records.lazy.compactMap(\.data).first }
    /// The data directory, once something was done about it.
    var dataDirectory: String? { records.first { $0.kind == .makesData }?.path }

    /// Paths with what was there, in the order of the first time.
    var places: [(path: String, before: ReversiblePlacement.Before)] {
        records.compactMap { record in
            guard record.kind == .places, let path = record.path, let before = record.before else { return nil }
            return (path, before)
        }
    }

    /// Directories that were not there, in the order of their making.
    var madeDirectories: [String] { records.filter { $0.kind == .makes }.compactMap(\.path) }

    /// Removes what is kept once there is nothing to take back, and leaves the journal as a trace of that, which
    /// ``removeRemains(root:)`` removes.
    func close() throws {
        for name in try directory.names().compactMap({ EntryName($0) }) where name.description != Self.name {
            try directory.removeTree(name)
        }
        try directory.sync()
        try directory.rename(Self.name, to: Self.undoneName, replacing: true)
        try directory.sync()
    }

    /// Whether what is left was taken back; nil where nothing is left, or a journal is there.
    ///
    /// - Throws: ``Failure`` with the code `integrity` where replaced files are kept and the journal that tells of them is gone.
    static func remainsAreUndone(root: OpenDirectory) throws -> Bool? {
        guard let (directory, _) = try directory(root, makes: false), !directory.contains(name) else { return nil }
        if directory.contains(undoneName) { return true }
        guard try !keepsSomething(directory) else {
            throw damaged(
                "the journal of the rebuild whose replaced files are kept in \(quoted(directory.path)) is gone",
                directory)
        }
        return false
    }

    private static func removeUnlessMounted(_ name: String, in parent: OpenDirectory) throws -> Bool {
        do {
            try parent.removeTree(name)
            return true
        } catch {
            guard error.errno == .resourceBusy else { throw error }
            return false
        }
    }

    /// Removes the directory where there is no journal in it: what a killed run has left before its first record, or after
    /// its last.
    ///
    /// Nothing follows on the removal, so that whoever is killed before the end finds a trace of it.
    ///
    /// - Returns: whether there was one.
    static func removeRemains(root: OpenDirectory) throws -> Bool {
        guard let (directory, madeParents) = try directory(root, makes: false) else { return false }
        guard !directory.contains(name) else { return true }
        let isUndone = directory.contains(undoneName)
        let parts = RebuildDirectory.path.split(separator: "/").map(String.init)
        var parents = [root]
        for part in parts.dropLast() { parents.append(try parents[parents.count - 1].openDirectory(part)) }
        // A file system of its own stays, with nothing in it.
        guard try removeUnlessMounted(parts[parts.count - 1], in: parents[parts.count - 1]) else { return true }
        for index in (0..<parts.count - 1).reversed() where !isUndone {
            guard madeParents.contains("/" + parts[...index].joined(separator: "/")) else { break }
            try parents[index].removeEmptyDirectory(parts[index])
        }
        return true
    }
}
