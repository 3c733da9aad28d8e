import FoundationEssentials
import HostIO

/// The names of the fixed members of an archive, and the version of its layout.
///
/// ```
/// age v1 file
/// └─ zstd frames, each with its content size, then two skippable frames
///    ├─ pax tar
///    │  ├─ etcd-snap.json        ArchiveHeader
///    │  ├─ files/<absolute path> captured files
///    │  ├─ host/…                facts about the host
///    │  ├─ etcd/<name>.db        a snapshot as etcd sent it, SHA-256 trailer included
///    │  └─ manifest.json         Manifest, in zstd frames of its own
///    ├─ skippable frame: ManifestLocator
///    └─ skippable frame: SeekTable
/// ```
public enum ArchiveFormat {
    /// The layout version that this code writes, and the newest that it reads.
    public static let version = FormatRules.version
    /// The first member: what the archive is.
    public static let headerPath = "etcd-snap.json"
    /// The last member: what the archive holds.
    public static let manifestPath = "manifest.json"
    /// The directory of captured files; their absolute paths follow it.
    public static let filesPrefix = "files"
    /// The directory of etcd snapshots.
    public static let etcdPrefix = "etcd"
    /// The ending of an archive's file name.
    public static let archiveSuffix = ".tar.zst.age"
    /// The ending of a sidecar's file name.
    public static let sidecarSuffix = ".json"
}

/// The program that wrote an archive.
public struct Tool: Codable, Sendable, Equatable {
    /// The program's name.
    public var name: String
    /// The program's version.
    public var version: String

    /// This program.
    public static let current = Tool(name: "etcd-snap", version: "0.1.0")
}

/// The first member of an archive, `etcd-snap.json`: what it is and of what.
public struct ArchiveHeader: Codable, Sendable, Equatable {
    /// The layout version, ``ArchiveFormat/version``.
    public var formatVersion = ArchiveFormat.version
    /// What a reader of the archive must know besides, or refuses it; nil means nothing.
    public var requires: [String]? = []
    /// The program that wrote the archive.
    public var tool = Tool.current
    /// The archive's identifier.
    public var id: BackupID
    /// The cluster's name in the store.
    public var cluster: String
    /// The name of the node that the archive was made on.
    public var node: String
    /// When the backup was started.
    public var createdAt: Date

    /// A header of the current version.
    public init(id: BackupID, cluster: String, node: String, createdAt: Date) {
        self.id = id
        self.cluster = cluster
        self.node = node
        self.createdAt = createdAt
    }

    /// `cluster/node/id`, what the archive is called in a store.
    public var reference: String { "\(cluster)/\(node)/\(id)" }

    /// Checks that this is the header of a certain archive.
    ///
    /// - Parameters:
    ///   - expected: the reference of that one.
    ///   - path: the file that has this header, for the message.
    ///   - hint: what to do if it is another one.
    /// - Throws: ``Failure`` with the code `integrity`.
    public func check(isOf expected: String, path: String, hint: String) throws(Failure) {
        guard reference != expected else { return }
        throw Failure(.integrity, "\(quoted(path)) describes \(reference), and not \(expected)", hint: hint)
    }
}

/// The identifier of a backup: `20261123T030000Z-` and 6 random base32 characters, so that it sorts by time.
public struct BackupID: Hashable, Sendable, Comparable, CustomStringConvertible {
    private static let alphabet = Array("abcdefghijklmnopqrstuvwxyz234567")
    private static let randomLength = 6

    /// The identifier's text.
    public let description: String

    /// A new identifier for a backup started at `time`.
    public init(time: Date) {
        let seconds = time.formatted(
            .iso8601.year().month().day().dateSeparator(.omitted).time(includingFractionalSeconds: false)
                .timeSeparator(.omitted))
        let random = String((0..<Self.randomLength).map { _ in Self.alphabet[Int.random(in: 0..<32)] })
        description = "\(seconds)Z-\(random)"
    }

    /// Reads an identifier; nil if the text is not one.
    public init?(_ text: some StringProtocol) {
        let bytes = Array(text.utf8)
        let timeLength = 16
        guard bytes.count == timeLength + 1 + Self.randomLength, bytes[8] == UInt8(ascii: "T") else { return nil }
        let isDigit = { (byte: UInt8) in (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
        guard bytes[..<8].allSatisfy(isDigit), bytes[9..<15].allSatisfy(isDigit),
            bytes[15] == UInt8(ascii: "Z"), bytes[16] == UInt8(ascii: "-")
        else { return nil }
        let alphabet = String(Self.alphabet).utf8
        guard bytes[17...].allSatisfy(alphabet.contains) else { return nil }
        description = String(text)
    }

    /// Whether a text can be the beginning of an identifier, or a whole one.
    public static func canBegin(with text: some StringProtocol) -> Bool {
        let beginning = Array(text.utf8)
        let example = Array("00000000T000000Z-aaaaaa".utf8)
        guard !beginning.isEmpty, beginning.count <= example.count else { return false }
        // With the rest of an example behind it, it would be one.
        return BackupID(String(decoding: beginning + example[beginning.count...], as: UTF8.self)) != nil
    }

    /// Orders by time, then by the random part.
    public static func < (left: BackupID, right: BackupID) -> Bool { left.description < right.description }
}

extension BackupID: Codable {
    /// Reads the text form.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let id = BackupID(text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a backup ID")
        }
        self = id
    }

    /// Writes the text form.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
