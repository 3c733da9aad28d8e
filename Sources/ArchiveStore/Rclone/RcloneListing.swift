import FoundationEssentials
import HostIO

/// What `rclone lsjson` prints: `[`, an object a line with a comma behind all but the last, `]`.
///
/// It is taken in as it comes, for a list may have hundreds of thousands of lines, and believed only when the program has ended
/// well: on a failure it is a part.
struct RcloneListing {
    /// An entry.
    struct Entry: Decodable {
        var path: String
        var byteCount: Int
        var modifiedAt: String?
        var isDirectory: Bool
        var digests: [String: String]?

        private enum CodingKeys: String, CodingKey {
            case path = "Path"
            case byteCount = "Size"
            case modifiedAt = "ModTime"
            case isDirectory = "IsDir"
            case digests = "Hashes"
        }
    }

    /// Something else was printed.
    struct Malformed: Error {
        var line: Int
    }

    private var rest: [UInt8] = []
    private var batch: [UInt8] = []
    private var batchLineCount = 0
    private var lineCount = 0
    private var isOpen = false
    private var isClosed = false
    /// The entries so far.
    private(set) var entries: [Entry] = []
    private let decoder = JSONDecoder()

    /// The longest line: a key has at most 1024 bytes.
    private static let lineLimit = 256 << 10

    /// Whether the list ended as one does.
    var isComplete: Bool { isClosed && rest.isEmpty }
    /// Whether nothing was listed, whether the list was ended or not.
    var isEmpty: Bool { entries.isEmpty && batchLineCount == 0 }

    /// Takes in what comes next.
    mutating func append(_ bytes: UnsafeRawBufferPointer) throws(Malformed) {
        var start = bytes.startIndex
        while let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) {
            rest.append(contentsOf: bytes[start..<end])
            try takeLine()
            rest.removeAll(keepingCapacity: true)
            start = end + 1
        }
        rest.append(contentsOf: bytes[start...])
        guard rest.count <= Self.lineLimit else { throw Malformed(line: lineCount + 1) }
    }

    private mutating func takeLine() throws(Malformed) {
        lineCount += 1
        switch rest {
        case []: return
        case [UInt8(ascii: "[")] where !isOpen: isOpen = true
        case [UInt8(ascii: "]")] where isOpen && !isClosed:
            try takeBatch()
            isClosed = true
        default:
            guard isOpen, !isClosed, rest.first == UInt8(ascii: "{") else { throw Malformed(line: lineCount) }
            if rest.last == UInt8(ascii: ",") { rest.removeLast() }
            batch.append(UInt8(ascii: batchLineCount == 0 ? "[" : ","))
            batch += rest
            batchLineCount += 1
            if batchLineCount == 256 { try takeBatch() }
        }
    }

    private mutating func takeBatch() throws(Malformed) {
        guard batchLineCount > 0 else { return }
        batch.append(UInt8(ascii: "]"))
        guard let decoded = try? decoder.decode([Entry].self, from: Data(batch)), decoded.count == batchLineCount else {
            throw Malformed(line: lineCount)
        }
        entries += decoded
        batch.removeAll(keepingCapacity: true)
        batchLineCount = 0
    }
}

extension RcloneListing.Entry {
    /// The entry that `rclone lsjson --stat` prints; nil if it is something else.
    init?(stat bytes: [UInt8]) {
        guard let entry = try? JSONDecoder().decode(Self.self, from: Data(bytes)) else { return nil }
        self = entry
    }

    /// The object of a key that this is.
    func object(_ key: String) -> StoredObject {
        StoredObject(key: key, byteCount: byteCount, modifiedAt: modifiedAt.flatMap { rcloneTime($0) })
    }
}

/// A time as Go's RFC3339Nano has it, such as `2026-11-27T06:25:06.673515450Z`; nil for others, and for those of remotes that
/// know no times.
func rcloneTime(_ text: String) -> Date? {
    let zone = text.drop { $0 != "T" }.lastIndex { "Z+-".contains($0) }
    guard let zone, let date = try? Date(text.prefix(19) + text[zone...], strategy: .iso8601) else { return nil }
    // Zero times of Go and of rclone (`fs.ModTimeNotSupported`).
    return date.timeIntervalSince1970 > 946_684_800 ? date : nil
}
