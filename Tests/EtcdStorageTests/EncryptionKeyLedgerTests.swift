import Crypto
import EncryptionAtRest
@testable import EtcdStorage
import Foundation
import HostIO
import TestSupport
import Testing

/// Which keys open the values of a snapshot, and whether what does not open is still needed.
@Suite struct EncryptionKeyLedgerTests {
    private static func put(_ key: String, _ value: String, _ revision: Int64) throws -> PageBuilder.Row {
        SyntheticDatabase.put(
            key, value: try sealed(value, at: key), revision: revision, create: revision, version: 1)
    }

    /// `aesgcm:v1:NAME:good` and `aesgcm:v1:NAME:bad`, really sealed; other text as it is.
    private static func sealed(_ text: String, at key: String) throws -> [UInt8] {
        guard let colon = text.lastIndex(of: ":"), text.hasPrefix("aesgcm:") else { return Array(text.utf8) }
        let fill: UInt8 = text.hasSuffix("good") ? 7 : 8
        let box = try AES.GCM.seal(
            Data("k8s\0".utf8), using: SymmetricKey(data: Data(repeating: fill, count: 32)),
            authenticating: Data(key.utf8))
        return Array("k8s:enc:\(text[...colon])".utf8) + Array(box.combined ?? Data())
    }

    /// Has keys of those names for secrets.
    private static func readers(_ names: String..., identity: Bool = true) throws -> EncryptionReaders {
        let secret = Data(repeating: 7, count: 32).base64EncodedString()
        let keys = names.map { "{name: '\($0)', secret: \(secret)}" }.joined(separator: ", ")
        let text =
            "kind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  providers:\n"
            + "  - aesgcm: {keys: [\(keys)]}\n" + (identity ? "  - identity: {}\n" : "")
        let configuration = try EncryptionConfiguration(parsing: Array(text.utf8), path: "/e", keepingSecrets: true)
        return EncryptionReaders([EncryptionReader(subject: "/e", prefix: "/registry", configuration: configuration)])
    }

    private static func keys(
        _ rows: [PageBuilder.Row], stale: [PageBuilder.Row] = [], _ readers: EncryptionReaders?
    ) throws -> [EncryptionKeyInUse] {
        var database = SyntheticDatabase(pageByteCount: 4096)
        if !stale.isEmpty { database.addStale(stale) }
        database.add(rows, compactedAt: 1, fanOut: 3)
        let verifier = SnapshotVerifier(name: "memory", readBy: readers)
        try verifier.consume(database.finish())
        let keys = try verifier.finish().requireSound(trailer: .optional).encryptionKeys
        #expect(keys.isComplete)
        return keys.keys
    }

    private static func missing(
        _ name: String, _ resources: [String] = ["secrets"], isCurrent: Bool = true
    ) -> EncryptionKeyInUse {
        EncryptionKeyInUse(
            name: name, problem: .missing, reader: "/e", resources: resources, isCurrent: isCurrent)
    }

    @Test func namesMayHaveColonsAndBeginWithOthers() throws {
        let names = ["k-2026-03-09T09:46:54+01:00", "key:2", "key"]
        let rows = try names.enumerated().map {
            try Self.put("/registry/secrets/d/\($0)", "aesgcm:v1:\($1):good", Int64($0 + 2))
        }
        let labels = names.map { "aesgcm:v1:\($0)" }.sorted()
        #expect(try Self.keys(rows, Self.readers(names[0], names[1], names[2])).map(\.name) == labels)
        let missing = try Self.keys(rows, Self.readers("other"))
        #expect(missing.map(\.name).contains(labels[0]))
        #expect(missing.allSatisfy { $0.problem == .missing && $0.isCurrent && $0.resources == ["secrets"] })
    }

    @Test func aValueThatDoesNotOpenIsRefused() throws {
        let rows = [
            try Self.put("/registry/secrets/d/a", "aesgcm:v1:key1:good", 2),
            try Self.put("/registry/secrets/d/b", "aesgcm:v1:key1:bad", 3),
        ]
        #expect(
            try Self.keys(rows, Self.readers("key1")) == [
                EncryptionKeyInUse(name: "aesgcm:v1:key1"),
                EncryptionKeyInUse(name: "aesgcm:v1:key1", problem: .refused, reader: "/e", resources: ["secrets"]),
            ])
        #expect(try Self.keys(rows, nil) == [EncryptionKeyInUse(name: "aesgcm:v1:key1")])
    }

    @Test func aResourceWithoutARuleIsNotRead() throws {
        let rows = [
            try Self.put("/registry/configmaps/d/a", "aesgcm:v1:key1:good", 2),
            try Self.put("/registry/example.org/widgets/d/a", "aesgcm:v1:key1:good", 3),
            try Self.put("/other/secrets/d/a", "aesgcm:v1:key1:good", 4),
        ]
        #expect(
            try Self.keys(rows, Self.readers("key1")) == [
                EncryptionKeyInUse(name: "aesgcm:v1:key1"),
                Self.missing("aesgcm:v1:key1", ["configmaps", "example.org/widgets"]),
            ])
    }

    @Test func valuesInClearNeedIdentity() throws {
        var rows = [try Self.put("/registry/secrets/d/a", "{}", 2), try Self.put("/registry/pods/d/a", "{}", 3)]
        #expect(try Self.keys(rows, Self.readers("key1")) == [])
        let expected = EncryptionKeyInUse(name: "", problem: .unencrypted, reader: "/e", resources: ["secrets"])
        #expect(try Self.keys(rows, Self.readers("key1", identity: false)) == [expected])
        rows.append(try Self.put("/registry/secrets/d/a", "aesgcm:v1:key1:good", 4))
        let replaced = try Self.keys(rows, Self.readers("key1", identity: false))
        #expect(replaced.first?.problem == .unencrypted && replaced.first?.isCurrent == false)
        #expect(replaced.dropFirst() == [EncryptionKeyInUse(name: "aesgcm:v1:key1")])
    }

    /// A rotation writes every value again; until the next compaction the old revisions are still there.
    @Test(arguments: ["put again", "deleted", "written in clear"]) func whatWasReplacedIsNotNeeded(_ how: String) throws
    {
        var rows = [try Self.put("/registry/secrets/d/a", "aesgcm:v1:old:good", 2)]
        switch how {
        case "put again": rows.append(try Self.put("/registry/secrets/d/a", "aesgcm:v1:new:good", 3))
        case "deleted": rows.append(SyntheticDatabase.tombstone("/registry/secrets/d/a", revision: 3))
        default: rows.append(try Self.put("/registry/secrets/d/a", "{}", 3))
        }
        let old = try Self.keys(rows, Self.readers("new")).first { $0.name == "aesgcm:v1:old" }
        #expect(old == Self.missing("aesgcm:v1:old", [], isCurrent: false))
        rows.append(try Self.put("/registry/secrets/d/b", "aesgcm:v1:old:good", 4))
        let needed = try Self.keys(rows, Self.readers("new")).first { $0.name == "aesgcm:v1:old" }
        #expect(needed == Self.missing("aesgcm:v1:old"))
    }

    @Test func freePagesTellNothingOfSecrets() throws {
        let rows = [try Self.put("/registry/secrets/d/a", "aesgcm:v1:key1:good", 5)]
        let stale = [try Self.put("/registry/secrets/d/b", "aesgcm:v1:key1:bad", 3)]
        #expect(
            try Self.keys(rows, stale: stale, Self.readers("key1")) == [EncryptionKeyInUse(name: "aesgcm:v1:key1")])
    }
}
