import Crypto
import CryptoExtras
import Foundation
import HostIO
import Testing

@testable import EncryptionAtRest

/// Which key of which rule counts for a value, as `transformerFromOverrides` of Kubernetes decides it.
@Suite struct EncryptionReaderTests {
    private static func secret(_ fill: UInt8) -> String { Data(repeating: fill, count: 32).base64EncodedString() }

    private static func gcm(_ name: String, _ fill: UInt8) -> String {
        "aesgcm: {keys: [{name: \(name), secret: \(secret(fill))}]}"
    }

    private static func reader(
        _ rules: [(resources: String, providers: [String])], prefix: String = "/registry", subject: String = "/e"
    ) throws -> EncryptionReader {
        let entries = rules.map { rule in
            "- resources: [\(rule.resources)]\n  providers:\n" + rule.providers.map { "  - \($0)\n" }.joined()
        }
        let text = "kind: EncryptionConfiguration\nresources:\n" + entries.joined()
        let configuration = try EncryptionConfiguration(parsing: Array(text.utf8), path: "/e", keepingSecrets: true)
        return EncryptionReader(subject: subject, prefix: prefix, configuration: configuration)
    }

    /// A value sealed with the secret of one byte.
    private static func sealed(_ name: String, _ fill: UInt8, at key: String) throws -> [UInt8] {
        let secret = SymmetricKey(data: Data(repeating: fill, count: 32))
        let box = try AES.GCM.seal(Data("k8s\0".utf8), using: secret, authenticating: Data(key.utf8))
        return Array("k8s:enc:aesgcm:v1:\(name):".utf8) + Array(box.combined ?? Data())
    }

    /// What readers make of a value: `0 opens NAME`, `1 missing`, each with its reader.
    private static func judge(_ readers: [EncryptionReader], _ value: [UInt8], at key: String) -> [String] {
        var results: [String] = []
        value.withUnsafeBytes { value in
            Array(key.utf8).withUnsafeBytes { key in
                _ = EncryptionReaders(readers).judge(value, of: key) { judgement in
                    let name = judgement.name.map { String(decoding: $0, as: UTF8.self) } ?? "-"
                    let resource = String(decoding: judgement.resource, as: UTF8.self)
                    results.append(
                        "\(judgement.reader) \(judgement.problem?.rawValue ?? "opens") \(name) \(resource)")
                }
            }
        }
        return results
    }

    private static func judge(_ reader: EncryptionReader, _ fill: UInt8, at key: String) throws -> String {
        judge([reader], try sealed("k", fill, at: key), at: key).joined(separator: "; ")
    }

    /// Keys in etcd, and which of the secrets 1 (`secrets`), 2 (`*.apps`), 3 (`widgets.example.org`), 4 (`*.other.org`),
    /// 5 (`*.`) and 6 (`*.*`) opens what lies there.
    static let places: [(key: String, fill: UInt8)] = [
        ("/registry/secrets/default/a", 1), ("/registry/deployments/default/a", 2),
        ("/registry/controllerrevisions/kube-system/a", 2), ("/registry/example.org/widgets/default/a", 3),
        ("/registry/example.org/gadgets/default/a", 6), ("/registry/other.org/things/a", 4),
        ("/registry/configmaps/default/a", 5), ("/registry/services/specs/default/a", 5),
        ("/registry/services/endpoints/default/a", 5), ("/registry/minions/cp0", 5), ("/registry/pods/default/a", 5),
        ("/registry/leases/kube-system/a", 6), ("/registry/ingress/default/a", 6),
        ("/registry/apiregistration.k8s.io/apiservices/v1.", 6),
    ]

    @Test(arguments: places) func theNearestRuleCounts(key: String, fill: UInt8) throws {
        let reader = try Self.reader([
            ("secrets", [Self.gcm("k", 1)]), ("'*.apps', widgets.example.org", [Self.gcm("x", 9)]),
            ("'*.other.org'", [Self.gcm("k", 4)]), ("'*.'", [Self.gcm("k", 5)]), ("'*.*'", [Self.gcm("k", 6)]),
            // Rules of one name are joined.
            ("'*.apps'", [Self.gcm("k", 2)]), ("widgets.example.org", [Self.gcm("k", 3)]),
        ])
        for other in 1...6 as ClosedRange<UInt8> {
            let result = try Self.judge(reader, other, at: key)
            #expect(result.hasPrefix(other == fill ? "0 opens aesgcm:v1:k " : "0 refused aesgcm:v1:k "), "\(other)")
        }
    }

    @Test func whatNoRuleNamesIsReadWithoutKeys() throws {
        let reader = try Self.reader([("secrets, nodes", [Self.gcm("k", 1)])])
        #expect(try Self.judge(reader, 1, at: "/registry/configmaps/d/a") == "0 missing - configmaps")
        #expect(try Self.judge(reader, 1, at: "/registry/example.org/secrets/d/a") == "0 missing - example.org/secrets")
        #expect(try Self.judge(reader, 1, at: "/registry/minions/cp0") == "0 opens aesgcm:v1:k minions")
        #expect(Self.judge([reader], Array("k8s\0".utf8), at: "/registry/configmaps/d/a") == [])
    }

    @Test func aRuleWithoutIdentityReadsNothingInClear() throws {
        let strict = try Self.reader([
            ("secrets", [Self.gcm("k", 1)]), ("configmaps", [Self.gcm("k", 1), "identity: {}"]),
        ])
        let plain = Array("k8s\0".utf8)
        #expect(Self.judge([strict], plain, at: "/registry/secrets/d/a") == ["0 unencrypted - secrets"])
        #expect(Self.judge([strict], plain, at: "/registry/configmaps/d/a") == [])
        #expect(Self.judge([strict], plain, at: "/registry/pods/d/a") == [])
        // A deleted object has no value.
        #expect(Self.judge([strict], [], at: "/registry/secrets/d/a") == [])
    }

    @Test func identityFirstStillReadsWhatIsEncrypted() throws {
        let reader = try Self.reader([("secrets", ["identity: {}", Self.gcm("k", 1)]), ("events", ["identity: {}"])])
        #expect(try Self.judge(reader, 1, at: "/registry/secrets/d/a") == "0 opens aesgcm:v1:k secrets")
        #expect(try Self.judge(reader, 1, at: "/registry/events/d/a") == "0 missing - events")
    }

    @Test func everyReaderIsAsked() throws {
        let readers = [
            try Self.reader([("secrets", [Self.gcm("k", 1)])]), try Self.reader([("secrets", [Self.gcm("k", 2)])]),
            EncryptionReader(subject: "none", prefix: "/registry", configuration: nil),
            try Self.reader([("secrets", [Self.gcm("k", 1)])], prefix: "openshift.io"),
        ]
        let key = "/registry/secrets/d/a"
        #expect(
            Self.judge(readers, try Self.sealed("k", 1, at: key), at: key) == [
                "0 opens aesgcm:v1:k secrets", "1 refused aesgcm:v1:k secrets", "2 missing - secrets",
            ])
        let other = "/openshift.io/secrets/d/a"
        #expect(Self.judge(readers, try Self.sealed("k", 1, at: other), at: other) == ["3 opens aesgcm:v1:k secrets"])
    }

    /// What Kubernetes stores beside objects has no resource that a rule could name.
    @Test func whatCanNotBeAssignedMayHaveAnyKey() throws {
        let reader = try Self.reader([("services", [Self.gcm("k", 1)]), ("secrets", [Self.gcm("k", 2)])])
        for fill in [1, 2] as [UInt8] {
            #expect(try Self.judge(reader, fill, at: "/registry/ranges/serviceips").hasPrefix("0 opens"))
        }
        #expect(try Self.judge(reader, 3, at: "/registry/ranges/serviceips").hasPrefix("0 refused"))
        let strict = try Self.reader([("'*.*'", [Self.gcm("k", 1)])])
        for key in ["/registry/masterleases/192.0.2.1", "/registry/ranges/serviceips", "/registry/future/d/a"] {
            #expect(Self.judge([strict], Array("k8s\0".utf8), at: key) == [])
            #expect(try Self.judge(strict, 1, at: key).hasPrefix("0 opens"))
        }
        for key in ["", "/", "/registry", "/registry/", "/registry/health", "compact_rev_key", "/registry//a"] {
            #expect(try Self.judge(reader, 1, at: key) == "")
        }
    }

    @Test func namesMayHaveColonsAndBeginWithOthers() throws {
        let reader = try Self.reader([
            ("secrets", [Self.gcm("key", 1), Self.gcm("'key:2'", 2), Self.gcm("'k-09:46:54+01:00'", 3)])
        ])
        let key = "/registry/secrets/d/a"
        for (name, fill) in [("key", 1), ("key:2", 2), ("k-09:46:54+01:00", 3)] as [(String, UInt8)] {
            let value = try Self.sealed(name, fill, at: key)
            #expect(Self.judge([reader], value, at: key) == ["0 opens aesgcm:v1:\(name) secrets"])
        }
        let wrong = try Self.sealed("key:2", 9, at: key)
        #expect(Self.judge([reader], wrong, at: key) == ["0 refused aesgcm:v1:key:2 secrets"])
    }

    @Test func aKMSIsKnownByItsNameOnly() throws {
        let reader = try Self.reader([("secrets", ["kms: {apiVersion: v2, name: vault, endpoint: 'unix:///k'}"])])
        let key = "/registry/secrets/d/a"
        #expect(Self.judge([reader], Array("k8s:enc:kms:v2:vault:x".utf8), at: key) == ["0 opens kms:v2:vault secrets"])
        #expect(Self.judge([reader], Array("k8s:enc:kms:v1:vault:x".utf8), at: key) == ["0 missing - secrets"])
    }
}
