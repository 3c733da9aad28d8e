import Crypto
import HostIO
import TestSupport
import Testing

@testable import EtcdSnap

/// What servers must not send, and what is made of it.
@Suite struct MisbehavingServerTests {
    private static let database = (0..<5000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    private static let digest = Array(SHA256.hash(data: database))

    /// The messages of a correct snapshot in three parts, and its digest.
    private static let correct: [[UInt8]] = [
        snapshotMessage(remaining: 3000, blob: Array(database[..<2000]), version: "3.6.0"),
        snapshotMessage(remaining: 1000, blob: Array(database[2000..<4000]), version: "3.6.0"),
        snapshotMessage(remaining: 0, blob: Array(database[4000...]), version: "3.6.0"),
        snapshotMessage(remaining: 0, blob: digest, version: "3.6.0"),
    ]

    private func read(
        _ messages: [[UInt8]], ending: ScriptedServer.Ending = .status(0)
    ) async throws -> (bytes: [UInt8], summary: SnapshotSummary?) {
        let server = try ScriptedServer(messages, ending: ending)
        var configuration = ClientConfiguration(endpoints: [server.endpoint])
        configuration.stallTimeout = .seconds(2)
        let stream = try await Client(configuration).snapshot(from: server.endpoint)
        let bytes = try await collect(stream)
        return (bytes, stream.summary)
    }

    private func error(_ messages: [[UInt8]], ending: ScriptedServer.Ending = .status(0)) async throws -> SnapshotError?
    {
        do {
            let (bytes, _) = try await read(messages, ending: ending)
            Issue.record("accepted as \(bytes.count) bytes")
        } catch let error as SnapshotError {
            return error
        }
        return nil
    }

    @Test func theScriptItselfIsRight() async throws {
        let (bytes, summary) = try await read(Self.correct)
        #expect(bytes == Self.database + Self.digest)
        #expect(summary?.sha256 == Self.digest)
        #expect(summary?.storageVersion == "3.6.0")
    }

    /// protobuf allows any order of fields, repeated ones, of which the last counts, and unknown ones.
    @Test func unusualEncodings() async throws {
        var messages = Self.correct
        let rest = snapshotMessage(remaining: 3000, blob: [])
        messages[0] = snapshotMessage(remaining: 0, blob: [1, 2, 3]) + [0x0A, 0x02, 0x08, 0x07]
        messages[0] += snapshotMessage(remaining: 0, blob: Array(Self.database[..<2000])) + [0xA0, 0x06, 0x01] + rest
        #expect(try await read(messages).bytes == Self.database + Self.digest)
    }

    @Test func emptyMessages() async throws {
        let empty = snapshotMessage(remaining: 1000, blob: [])
        let found = try await error(Self.correct.prefix(2) + Array(repeating: empty, count: 500), ending: .silence)
        guard case .emptyMessage(_, 4000) = found else { return #expect(Bool(false), "\(String(describing: found))") }
        #expect(found?.failure.code == .integrity && found?.isRetryableElsewhere == true)
        let last = try await error(Self.correct.prefix(3) + [[], []], ending: .silence)
        guard case .emptyMessage(_, 5000) = last else { return #expect(Bool(false), "\(String(describing: last))") }
    }

    @Test func damage() async throws {
        var messages = Self.correct
        messages[1][100] ^= 1
        guard case .digestMismatch(_, Self.digest, let found) = try await error(messages), found != Self.digest else {
            return #expect(Bool(false))
        }
        messages = Self.correct
        messages[3][10] ^= 0x80
        guard case .digestMismatch(_, _, Self.digest) = try await error(messages) else { return #expect(Bool(false)) }
    }

    /// A stream that ends early with the status OK, at every message and within the digest.
    @Test func short() async throws {
        for count in 1..<4 {
            guard case .short(_, let received, 5032) = try await error(Array(Self.correct.prefix(count))) else {
                return #expect(Bool(false))
            }
            #expect(received == [2000, 4000, 5000][count - 1])
        }
        let cut = snapshotMessage(remaining: 0, blob: Array(Self.digest.dropLast()))
        guard case .short(_, 5031, 5032) = try await error(Self.correct.dropLast() + [cut]) else {
            return #expect(Bool(false))
        }
    }

    @Test func long() async throws {
        let extra = snapshotMessage(remaining: 0, blob: [0])
        guard case .long(_, 5032) = try await error(Self.correct + [extra]) else { return #expect(Bool(false)) }
    }

    @Test func silence() async throws {
        guard case .stalled(_, 4000, _) = try await error(Array(Self.correct.prefix(2)), ending: .silence) else {
            return #expect(Bool(false))
        }
    }

    @Test func failureInTheMiddle() async throws {
        guard case .serverGone(_, 4000, _) = try await error(Array(Self.correct.prefix(2)), ending: .status(14)) else {
            return #expect(Bool(false))
        }
    }

    /// Sizes that no database has: sums of what several servers claim must not overflow.
    @Test func sizesOfAStatus() async throws {
        for (claimed, believed): (Int64, Int64) in [
            (.max, 1 << 50), (1 << 62, 1 << 50), (1 << 50, 1 << 50), (8192, 8192), (-1, 0), (.min, 0),
        ] {
            let size = varint(UInt64(bitPattern: claimed))
            // dbSize and dbSizeInUse of etcd's `StatusResponse`.
            let server = try ScriptedServer([[0x18] + size + [0x48] + size])
            let status = try await Client(ClientConfiguration(endpoints: [server.endpoint])).status(of: server.endpoint)
            #expect(status.databaseByteCount == believed && status.databaseInUseByteCount == believed)
        }
    }

    @Test func noMessageAtAll() async throws {
        guard case .malformed = try await error([]) else { return #expect(Bool(false)) }
    }

    /// Truncations that cut a field, at every offset of a message.
    @Test func brokenMessages() async throws {
        let whole = snapshotMessage(remaining: 300, blob: Array(0..<20), version: "3.6.0")
        for length in 1..<whole.count where ![3, 25].contains(length) {
            let found = try await error([Array(whole.prefix(length))], ending: .silence)
            guard case .malformed = found else {
                Issue.record("\(length) bytes: \(String(describing: found))")
                continue
            }
        }
        guard case .malformed = try await error([snapshotMessage(remaining: .max, blob: [1])]) else {
            return #expect(Bool(false))
        }
        for remaining in [UInt64.max - 1, UInt64(Int.max), UInt64(Int.max) - 33, 1 << 62, 1 << 50] {
            guard case .malformed = try await error([snapshotMessage(remaining: remaining, blob: [1])]) else {
                return #expect(Bool(false), "\(remaining)")
            }
        }
    }
}
