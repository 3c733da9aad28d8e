import HostIO
import Protobuf

/// Where an entry stands in the log that the members of a cluster share.
public struct LogPosition: Sendable, Hashable {
    /// The term in which it was proposed.
    public var term: UInt64
    /// Its number in the log.
    public var index: UInt64

    /// Creates a position.
    public init(term: UInt64, index: UInt64) {
        self.term = term
        self.index = index
    }
}

/// What the write-ahead log of a member that does not run says.
public struct SurvivingLog: Sendable {
    /// A record at the end that was not written whole.
    public struct TornRecord: Sendable {
        /// Where it begins.
        public var offset: Int
        /// Why it is none.
        public var reason: String
        /// The bytes from there on that are not zero, which are lost; a crash leaves one write at most.
        public var byteCount: Int
    }

    /// The paths of its files, in order.
    public internal(set) var files: [String] = []
    /// The cluster's ID.
    public internal(set) var clusterID: UInt64 = 0
    /// The member's ID.
    public internal(set) var memberID: UInt64 = 0
    /// The first entry that is there; nil if there is none.
    public internal(set) var firstIndex: UInt64?
    /// The last entry, or where a snapshot from another member leaves off.
    public internal(set) var last = LogPosition(term: 0, index: 0)
    /// The last entry that the member knew to be committed.
    public internal(set) var commit: UInt64 = 0
    /// The newest term that the member has seen.
    public internal(set) var term: UInt64 = 0
    /// Whom it voted for in that term.
    public internal(set) var vote: UInt64 = 0
    /// The places of raft's own snapshots that etcd can start from: those that are committed.
    public internal(set) var snapshots: [LogPosition] = []
    /// The torn record at the end, if there is one.
    public internal(set) var torn: TornRecord?

    /// Where the last whole record ends in the last file.
    var endOffset = 0
    /// The checksum of all data.
    var crc = CRC32C()

    /// Reads the files of a log.
    ///
    /// - Throws: ``Failure`` with the code `integrity` for a log that etcd would not start on, with file and offset.
    public init(directory: OpenDirectory) throws {
        let names = try Self.names(in: directory)
        files = names.map { directory.path(of: $0.text) }
        // Files before the first one are gone with what raft's snapshot stands for.
        last.index = names.first.map { $0.index > 0 ? $0.index - 1 : 0 } ?? 0
        var state = Reading(log: self)
        for (index, path) in files.enumerated() {
            let file = LogFile(try RandomAccessFile(path: path), isLast: index == files.count - 1)
            var crc = state.log.crc
            let end = try file.forEachRecord(&crc) { record in
                if let defect = state.take(record) { throw file.damaged(defect) }
            }
            state.log.crc = crc
            state.log.endOffset = file.offset
            if case .torn(let reason) = end {
                state.log.torn = TornRecord(
                    offset: file.offset, reason: reason, byteCount: try file.remainingByteCount())
            }
        }
        self = state.log
        guard state.metadata != nil else {
            throw Failure(
                .integrity, "the write-ahead log in \(quoted(directory.path)) does not say whose it is",
                hint: "take another survivor")
        }
        snapshots.removeAll { $0.index > commit }
        // Where no entry tells it.
        if last.term == 0 { last.term = snapshots.last { $0.index == last.index }?.term ?? term }
    }

    // MARK: Names

    private struct Name {
        var text: String
        var sequence: UInt64
        var index: UInt64
    }

    /// `SEQUENCE-INDEX.wal` in hexadecimal; others are leftovers that etcd does not read either.
    private static func names(in directory: OpenDirectory) throws -> [Name] {
        let names = try directory.utf8Names().compactMap { text -> Name? in
            guard let (sequence, index) = hexadecimalPair(text, suffix: ".wal") else { return nil }
            return Name(text: text, sequence: sequence, index: index)
        }.sorted { $0.sequence < $1.sequence }
        guard !names.isEmpty else {
            throw Failure(
                .notFound, "there is no write-ahead log in \(quoted(directory.path))",
                hint:
                    "one that etcd was given a directory of its own for has to be copied there; without it the database can be "
                    + "restored alone, as the snapshot member/snap/db without its sha-256 trailer",
                settings: [.skipHashCheck])
        }
        for (one, next) in zip(names, names.dropFirst()) where next.sequence != one.sequence + 1 {
            throw Failure(
                .integrity,
                "\(next.sequence - one.sequence - 1) files of the write-ahead log in \(quoted(directory.path)) are missing "
                    + "between \(one.text) and \(next.text)", hint: "take another survivor")
        }
        return names
    }

    /// The numbers of a name such as `0000000000000001-00000000000000a0.snap`.
    static func hexadecimalPair(_ name: String, suffix: String) -> (UInt64, UInt64)? {
        guard name.hasSuffix(suffix) else { return nil }
        let parts = name.dropLast(suffix.count).split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ $0.utf8.count == 16 && $0.allSatisfy(\.isHexDigit) }),
            let first = UInt64(parts[0], radix: 16), let second = UInt64(parts[1], radix: 16)
        else { return nil }
        return (first, second)
    }
}

/// A log that is being read: records in, what is wrong with one out.
private struct Reading {
    var log: SurvivingLog
    var metadata: [UInt8]?

    /// A cluster that ran for years has few: older ones go with their files.
    private static let snapshotCountLimit = 100_000

    mutating func take(_ record: LogRecord) -> String? {
        let data = record.data ?? UnsafeRawBufferPointer(start: nil, count: 0)
        switch record.type {
        case .metadata: return takeMetadata(data)
        case .entry: return takeEntry(data)
        case .state: return takeState(data)
        case .snapshot: return takeSnapshot(data)
        case .crc: return nil
        }
    }

    /// {1 node ID, 2 cluster ID}, the same in all files.
    private mutating func takeMetadata(_ data: UnsafeRawBufferPointer) -> String? {
        let bytes = [UInt8](data)
        guard let numbers = Self.numbers(data) else { return "the metadata can't be read" }
        let (member, cluster) = (numbers[1] ?? 0, numbers[2] ?? 0)
        guard let metadata, metadata != bytes else {
            self.metadata = bytes
            (log.memberID, log.clusterID) = (member, cluster)
            return nil
        }
        return
            "it is of member \(String(member, radix: 16)) of cluster \(String(cluster, radix: 16)), and what is before of "
            + "member \(String(log.memberID, radix: 16)) of cluster \(String(log.clusterID, radix: 16))"
    }

    /// {1 type, 2 term, 3 index, 4 data}; it takes the place of what has its index or a later one.
    private mutating func takeEntry(_ data: UnsafeRawBufferPointer) -> String? {
        guard let numbers = Self.numbers(data), let index = numbers[3], index > 0 else {
            return "an entry can't be read"
        }
        if index > log.last.index + 1 {
            return "entry \(index) follows entry \(log.last.index)"
        }
        log.firstIndex = min(log.firstIndex ?? index, index)
        log.last = LogPosition(term: numbers[2] ?? 0, index: index)
        return nil
    }

    /// {1 term, 2 vote, 3 commit}; the last one holds.
    private mutating func takeState(_ data: UnsafeRawBufferPointer) -> String? {
        guard let numbers = Self.numbers(data) else { return "raft's state can't be read" }
        (log.term, log.vote, log.commit) = (numbers[1] ?? 0, numbers[2] ?? 0, numbers[3] ?? 0)
        return nil
    }

    /// {1 index, 2 term, 3 conf state}; one beyond the last entry came from another member, and stands for all before.
    private mutating func takeSnapshot(_ data: UnsafeRawBufferPointer) -> String? {
        guard let numbers = Self.numbers(data), log.snapshots.count < Self.snapshotCountLimit else {
            return "a snapshot's place can't be read"
        }
        let place = LogPosition(term: numbers[2] ?? 0, index: numbers[1] ?? 0)
        log.snapshots.append(place)
        if place.index > log.last.index {
            log.last = place
            log.firstIndex = nil
        }
        return nil
    }

    /// The integers of a message by their fields.
    private static func numbers(_ data: UnsafeRawBufferPointer) -> [UInt64: UInt64]? {
        var numbers: [UInt64: UInt64] = [:]
        let isMessage = ProtobufReader.forEachField(in: data) { field in
            if case .varint(let number) = field.payload { numbers[field.number] = number }
            return true
        }
        return isMessage ? numbers : nil
    }
}
