import HostIO

/// What can be wrong with an etcd database, a restore plan or the place where a member is built.
public enum StorageError: Error, Sendable, CustomStringConvertible, FailureConvertible {
    /// The bytes are not a bbolt database at all; `reason` says what they look like.
    case notADatabase(name: String, reason: String)
    /// The bytes end before the database does.
    case truncated(name: String, expectedByteCount: Int, foundByteCount: Int)
    /// The structure of the database does not hold.
    case damaged(name: String, PageFinding)
    /// The SHA-256 trailer is not the digest of the bytes before it.
    case trailerMismatch(name: String, expected: String, found: String)
    /// There is no SHA-256 trailer to check the bytes against.
    case trailerMissing(name: String)
    /// What follows the database is no whole SHA-256 trailer.
    case trailerCut(name: String, byteCount: Int)
    /// What was asked for can't be told from the stream alone and needs the bytes a second time.
    case needsRereading(name: String, page: UInt64)
    /// A revision that was asked for is compacted or not reached yet.
    case revisionUnavailable(name: String, revision: Int64, compactRevision: Int64, currentRevision: Int64)
    /// The plan of a restore is not possible; `reason` is a sentence, `hint` says what to change.
    case invalidPlan(reason: String, hint: String)
    /// What was written and read back is not what was to be written.
    case writtenWrong(path: String, String)
    /// Reading or writing failed underneath.
    case inputOutput(Failure)

    /// One sentence for a person.
    public var description: String { failure.description }

    /// The failure with its exit code and a hint.
    public var failure: Failure {
        switch self {
        case .notADatabase(let name, let reason):
            Failure(.integrity, "\(quoted(name)) is not an etcd database: \(reason)", hint: Self.anotherBackupHint)
        case .truncated(let name, let expected, let found):
            Failure(
                .integrity, "\(quoted(name)) is truncated: the database has \(expected) bytes, the file \(found)",
                hint: Self.anotherBackupHint)
        case .damaged(let name, let finding):
            Failure(.integrity, "\(quoted(name)) is damaged: \(finding)", hint: Self.anotherBackupHint)
        case .trailerMismatch(let name, let expected, let found):
            Failure(
                .integrity,
                "\(quoted(name)): the sha-256 trailer does not match (expected \(expected), found \(found))",
                hint: Self.anotherBackupHint)
        case .trailerMissing(let name):
            Failure(
                .integrity, "\(quoted(name)) has no sha-256 trailer, so changed values can't be noticed",
                hint: "a copy of a stopped member's db file has none: say that it is one", settings: [.skipHashCheck])
        case .trailerCut(let name, let byteCount):
            Failure(
                .integrity, "\(quoted(name)) ends with \(byteCount) bytes that are no sha-256 trailer, which has 32",
                hint: Self.anotherBackupHint)
        case .needsRereading(let name, let page):
            Failure(
                .failed, "\(quoted(name)): page \(page) must be read a second time", hint: "verify the stored bytes")
        case .revisionUnavailable(let name, let revision, let compactRevision, let currentRevision):
            Failure(
                .notFound,
                "\(quoted(name)) has no state at revision \(revision): "
                    + "it is compacted at \(compactRevision) and ends at \(currentRevision)",
                hint: "name a revision between the two")
        case .invalidPlan(let reason, let hint): Failure(.usage, reason, hint: hint)
        case .writtenWrong(let path, let problem):
            Failure(
                .integrity, "\(quoted(path)) was written and does not read back as it should: \(problem)",
                hint:
                    "nothing was published; restore to another disk, and if that fails too, keep the snapshot and report it"
            )
        case .inputOutput(let failure): failure
        }
    }

    private static let anotherBackupHint = "use another snapshot; `etcd-snap list` shows the ones there are"
}

/// One thing that does not hold in a database, with the place where it was seen.
public struct PageFinding: Error, Sendable, Hashable, CustomStringConvertible {
    /// The number of the page.
    public var page: UInt64
    /// The byte offset in the file.
    public var offset: UInt64
    /// What does not hold, with the expected and the found value.
    public var problem: String

    /// Creates a finding from its parts.
    public init(page: UInt64, offset: UInt64, problem: String) {
        self.page = page
        self.offset = offset
        self.problem = problem
    }

    /// `page 7 at offset 28672: …`.
    public var description: String { "page \(page) at offset \(offset): \(problem)" }
}

/// What does not hold within one page, before it is known where the page lies in the file.
struct PageDefect: Error, Equatable {
    /// Bytes from the start of the page.
    var offset: Int
    var problem: String

    /// Wraps around for a page number that no file can have.
    func finding(page: UInt64, pageByteCount: Int) -> PageFinding {
        PageFinding(page: page, offset: page &* UInt64(pageByteCount) &+ UInt64(offset), problem: problem)
    }
}

/// A number as `0x…` for messages.
func hex(_ value: some FixedWidthInteger & UnsignedInteger) -> String { "0x" + String(value, radix: 16) }

/// Runs `body` and turns whatever it throws into a storage error.
func wrappingErrors<Result>(_ body: () throws -> Result) throws(StorageError) -> Result {
    do {
        return try body()
    } catch let error as StorageError {
        throw error
    } catch {
        throw .inputOutput(Failure(wrapping: error))
    }
}
