@testable import EtcdStorage
import HostIO
import TestSupport
import Testing

/// Which keys open the values of a snapshot, and whether what does not open is still needed.
@Suite struct EncryptionMatcherTests {
    private static func put(_ key: String, _ value: String, _ revision: Int64) -> PageBuilder.Row {
        SyntheticDatabase.put(key, value: Array(value.utf8), revision: revision, create: revision, version: 1)
    }

    /// Opens what begins with `good`.
    private static func matcher(_ labels: [String], resources: Set<String>? = ["secrets"]) -> EncryptionKeyMatcher {
        EncryptionKeyMatcher(labels: labels, resources: resources) { _, sealed, _ in
            sealed.starts(with: Array("good".utf8)) ? .opens : .refused
        }
    }

    private static func keys(
        _ rows: [PageBuilder.Row], stale: [PageBuilder.Row] = [], _ matcher: EncryptionKeyMatcher?
    ) throws -> [EncryptionKeyInUse] {
        var database = SyntheticDatabase(pageByteCount: 4096)
        if !stale.isEmpty { database.addStale(stale) }
        database.add(rows, compactedAt: 1, fanOut: 3)
        let verifier = SnapshotVerifier(name: "memory", matching: matcher)
        try verifier.consume(database.finish())
        let keys = try verifier.finish().requireSound(trailer: .optional).encryptionKeys
        #expect(keys.isComplete)
        return keys.keys
    }

    @Test func namesMayHaveColonsAndBeginWithOthers() throws {
        let labels = ["aescbc:v1:k-2026-03-09T09:46:54+01:00", "aescbc:v1:key:2", "aescbc:v1:key"]
        let rows = labels.enumerated().map {
            Self.put("/registry/secrets/\($0)", "k8s:enc:\($1):good", Int64($0 + 2))
        }
        #expect(try Self.keys(rows, Self.matcher(labels)) == labels.sorted().map { EncryptionKeyInUse(name: $0) })
        let missing = try Self.keys(rows, Self.matcher(["aescbc:v1:other"]))
        #expect(missing.map(\.name).contains(labels[0]) && missing.allSatisfy { !$0.isRefused && $0.isCurrent })
    }

    @Test func aValueThatDoesNotOpenIsRefused() throws {
        let rows = [
            Self.put("/registry/secrets/a", "k8s:enc:aescbc:v1:key1:good", 2),
            Self.put("/registry/secrets/b", "k8s:enc:aescbc:v1:key1:bad", 3),
        ]
        #expect(
            try Self.keys(rows, Self.matcher(["aescbc:v1:key1"])) == [
                EncryptionKeyInUse(name: "aescbc:v1:key1"),
                EncryptionKeyInUse(name: "aescbc:v1:key1", isRefused: true),
            ])
        #expect(try Self.keys(rows, nil) == [EncryptionKeyInUse(name: "aescbc:v1:key1")])
    }

    /// A rotation writes every value again; until the next compaction the old revisions are still there.
    @Test(arguments: ["put again", "deleted", "written in clear"]) func whatWasReplacedIsNotNeeded(_ how: String) throws
    {
        var rows = [Self.put("/registry/secrets/a", "k8s:enc:aescbc:v1:old:good", 2)]
        switch how {
        case "put again": rows.append(Self.put("/registry/secrets/a", "k8s:enc:aescbc:v1:new:good", 3))
        case "deleted": rows.append(SyntheticDatabase.tombstone("/registry/secrets/a", revision: 3))
        default: rows.append(Self.put("/registry/secrets/a", "{}", 3))
        }
        let old = try Self.keys(rows, Self.matcher(["aescbc:v1:new"])).first { $0.name == "aescbc:v1:old" }
        #expect(old?.isCurrent == false)
        rows.append(Self.put("/registry/secrets/b", "k8s:enc:aescbc:v1:old:good", 4))
        let needed = try Self.keys(rows, Self.matcher(["aescbc:v1:new"])).first { $0.name == "aescbc:v1:old" }
        #expect(needed?.isCurrent == true)
    }

    @Test func freePagesTellNothingOfSecrets() throws {
        let rows = [Self.put("/registry/secrets/a", "k8s:enc:aescbc:v1:key1:good", 5)]
        let stale = [Self.put("/registry/secrets/b", "k8s:enc:aescbc:v1:key1:bad", 3)]
        #expect(
            try Self.keys(rows, stale: stale, Self.matcher(["aescbc:v1:key1"])) == [
                EncryptionKeyInUse(name: "aescbc:v1:key1")
            ])
    }

    @Test func resourcesOfGroupsAreKnown() {
        func selects(_ resources: Set<String>?, _ key: String) -> Bool {
            Array(key.utf8).withUnsafeBytes { Self.matcher([], resources: resources).selects($0) }
        }
        #expect(selects(["secrets"], "/registry/secrets/a/b") && !selects(["secrets"], "/registry/pods/a/secrets"))
        #expect(selects(["widgets"], "/registry/example.org/widgets/a/b") && selects(nil, "/registry/pods/a/b"))
        #expect(!selects(["secrets"], "") && !selects(["secrets"], "/"))
    }
}
