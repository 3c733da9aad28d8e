import Crypto
import Foundation
import TestSupport
import Testing

extension Integration {
    /// Whole backups of a node of kubeadm with encryption at rest, whose etcd holds values that are really sealed.
    @Suite(.timeLimit(.minutes(45))) struct KubeadmEncryptionTests {
        /// A key of a provider.
        struct Key {
            let provider: String
            let name: String
            var secret = SymmetricKey(size: .bits256)

            /// As a provider of a configuration.
            var entry: String { Self.entry(provider, [self]) }

            /// The secret as a configuration has it.
            var base64: String { secret.withUnsafeBytes { Data($0) }.base64EncodedString() }

            static func entry(_ provider: String, _ keys: [Key]) -> String {
                let list = keys.map { "{name: '\($0.name)', secret: \($0.base64)}" }
                return "\(provider): {keys: [\(list.joined(separator: ", "))]}"
            }

            func seal(_ plaintext: Data, at path: String) throws -> Data {
                switch provider {
                case "aescbc": try SealedValue.aescbc(plaintext, key: secret, name: name)
                case "aesgcm": try SealedValue.aesgcm(plaintext, key: secret, name: name, at: path)
                case "secretbox": try SealedValue.secretbox(plaintext, key: secret, name: name)
                default: throw TestSupportError("no provider \(provider)")
                }
            }
        }

        static let path = "/etc/kubernetes/enc/encryption.yaml"
        static let providers = ["aescbc", "aesgcm", "secretbox"]
        static let plaintext = Data(
            "k8s\0\n\u{0C}\n\u{02}v1\u{12}\u{06}Secret\u{12}\u{00}\u{1A}\u{00}\"\u{00}".utf8)
        static let missing = "error encryption-key-missing \(path)"
        static let wrong = "error encryption-key-wrong \(path)"
        static let external = "note kms-external \(path)"

        /// A node whose API server has a configuration of these rules.
        func node(_ rules: (resources: String, providers: [String])...) throws -> KubeadmNode {
            try KubeadmNode.running("base", changes: Self.script(rules))
        }

        /// A script that gives the API server a configuration, as Kubernetes' documentation on encryption at rest says.
        static func script(_ rules: [(resources: String, providers: [String])]) -> String {
            let lines = rules.flatMap { rule in
                ["- resources: [\(rule.resources)]", "  providers:"] + rule.providers.map { "  - \($0)" }
            }
            return """
                mkdir etc/kubernetes/enc; umask 077
                cat >etc/kubernetes/enc/encryption.yaml <<'END'
                apiVersion: apiserver.config.k8s.io/v1
                kind: EncryptionConfiguration
                resources:
                \(lines.joined(separator: "\n"))
                END
                sed -i -e 's#^    - --allow-priv.*#&\\n    - --encryption-provider-config=\(path)#' \
                    -e 's#^    volumeMounts:#&\\n    - {mountPath: /etc/kubernetes/enc, name: enc, readOnly: true}#' \
                    -e 's#^  volumes:#&\\n  - {hostPath: {path: /etc/kubernetes/enc, type: DirectoryOrCreate}, name: enc}#' \
                    etc/kubernetes/manifests/kube-apiserver.yaml
                """
        }

        func put(_ key: Key, _ names: String..., resource: String = "secrets", in node: KubeadmNode) throws {
            for name in names {
                let path = "/registry/\(resource)/default/\(name)"
                try node.put(path, key.seal(Self.plaintext, at: path))
            }
        }

        // MARK: Healthy

        @Test(arguments: providers, [SymmetricKeySize.bits128, .bits192, .bits256].map(\.bitCount))
        func everyProviderWithEveryLengthOfKey(_ provider: String, bitCount: Int) throws {
            guard provider != "secretbox" || bitCount == 256 else { return }
            let key = Key(
                provider: provider, name: "key1", secret: SymmetricKey(size: SymmetricKeySize(bitCount: bitCount)))
            let node = try node(("secrets, configmaps", [key.entry, "identity: {}"]))
            try put(key, "a", "b", in: node)
            try put(key, "c", resource: "configmaps", in: node)
            try node.expect([], provider)
        }

        @Test func onlyIdentity() throws {
            let node = try node(("secrets", ["identity: {}"]))
            try node.put("/registry/secrets/default/a", Self.plaintext)
            try node.expect([])
        }

        /// What is written from now on is in the clear, what was written before is not.
        @Test func encryptionThatWasTurnedOff() throws {
            let key = Key(provider: "aescbc", name: "key1")
            let node = try node(("secrets", ["identity: {}", key.entry]))
            try put(key, "old", in: node)
            try node.put("/registry/secrets/default/new", Self.plaintext)
            try node.expect([])
        }

        @Test(arguments: providers) func inTheMiddleOfARotation(_ provider: String) throws {
            let old = Key(provider: provider, name: "key1")
            let new = Key(provider: provider, name: "key2")
            let node = try node(("secrets", [Key.entry(provider, [new, old]), "identity: {}"]))
            try put(old, "a", "b", in: node)
            try put(new, "b", "c", in: node)
            try node.expect([], provider)
        }

        /// Each value is written again under the new key before the old one is taken out.
        ///
        /// etcd keeps what was replaced until the API server has it compacted, five minutes later. Nothing is lost.
        @Test(arguments: [true, false]) func afterARotation(isCompacted: Bool) throws {
            let old = Key(provider: "aesgcm", name: "key1")
            let new = Key(provider: "aesgcm", name: "key2")
            let node = try node(("secrets", [new.entry, "identity: {}"]))
            try put(old, "a", "b", in: node)
            try put(new, "a", "b", in: node)
            if isCompacted { try node.compact() }
            let outcome = try node.backup()
            #expect(outcome.status == 0, "\(outcome.findings)")
            #expect(outcome.findings.filter { !$0.hasPrefix("note ") } == [])
            if isCompacted { #expect(outcome.findings == []) }
        }

        /// Names are the user's, and may hold what separates them from the value.
        @Test func namesWithColonsAndOneNameTwice() throws {
            let first = Key(provider: "aescbc", name: "team:2026:a")
            let second = Key(provider: "secretbox", name: "team:2026:a")
            let node = try node(("secrets", [first.entry]), ("configmaps", [second.entry]))
            try put(first, "a", in: node)
            try put(second, "a", resource: "configmaps", in: node)
            try node.expect([])
        }

        /// The first rule that names a resource is the one that counts for it, so a name may stand for two secrets.
        @Test(arguments: providers) func oneNameWithASecretForEachResource(_ provider: String) throws {
            let first = Key(provider: provider, name: "key1")
            let second = Key(provider: provider, name: "key1")
            let node = try node(("secrets", [first.entry]), ("'*.*'", [second.entry, "identity: {}"]))
            try put(first, "a", in: node)
            try put(second, "a", resource: "configmaps", in: node)
            try node.expect([], provider)
        }

        @Test func aKMSOfEitherProtocolIsAState() throws {
            let socket = "endpoint: 'unix:///var/run/kms/socket.sock'"
            let first = try node(("secrets", ["kms: {apiVersion: v1, name: vault, \(socket)}", "identity: {}"]))
            try first.put("/registry/secrets/default/a", SealedValue.kmsV1(Self.plaintext, plugin: "vault"))
            try first.expect([Self.external], "v1")
            let second = try node(("secrets", ["kms: {apiVersion: v2, name: vault, \(socket)}", "identity: {}"]))
            let path = "/registry/secrets/default/a"
            try second.put(path, SealedValue.kmsV2(Self.plaintext, plugin: "vault", at: path))
            try second.expect([Self.external], "v2")
        }

        /// Values of a real API server under three providers.
        @Test func aDatabaseOfARealAPIServer() throws {
            let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
                .appendingPathComponent("Fixtures/etcd").path
            let text = try String(contentsOfFile: "\(fixtures)/k8s-enc-key.b64", encoding: .utf8)
            let secret = try #require(Data(base64Encoded: text.trimmingCharacters(in: .whitespacesAndNewlines)))
            func entry(_ provider: String, _ name: String, _ secret: Data) -> String {
                Key(provider: provider, name: name, secret: SymmetricKey(data: secret)).entry
            }
            func start(_ secret: Data) throws -> KubeadmNode {
                let rules = [
                    ("secrets", [entry("aescbc", "key1", secret)]),
                    ("serviceaccounts", [entry("aesgcm", "g1", secret)]),
                    ("configmaps", [entry("secretbox", "sb1", secret)]),
                ].map { (resources: $0.0, providers: $0.1 + ["identity: {}"]) }
                let node = try KubeadmNode("base", changes: Self.script(rules))
                try node.restore("\(fixtures)/k8s-1.36-on-3.6.14.db")
                try node.startEtcd()
                return node
            }
            let good = try start(secret)
            try expectDrill(of: good.expect([]), 0, "passed", "opened with the restored encryption configuration")
            let bad = try start(Data(secret.reversed()))
            try expectDrill(of: bad.expect([Self.wrong]), 7, "failed", "are not opened by the key of that name")
            withExtendedLifetime([good, bad]) {}
        }

        /// What a real etcd returns of a backup is opened with the files of the same backup.
        private func expectDrill(
            of backup: KubeadmNode.Outcome, _ status: Int32, _ outcome: String, _ words: String
        ) throws {
            let scratch = try TemporaryDirectory()
            let result = try SnapTool.attempt(
                [
                    "drill", backup.report.path.string, "-i", Laboratory.shared().key().path, "--scratch", scratch.path,
                    "--etcd", EtcdVersion.v3_5.path(of: "etcd"), "-o", "json",
                ])
            #expect(result.status == status, "\(result.errorText)")
            let stages = try JSON(result.output).stages.array
            let stage = try #require(stages.first { $0.name.string == "secrets" })
            #expect(stage.outcome.string == outcome && stage.detail.string.contains(words), "\(stage.detail.string)")
            #expect(
                stages.contains { $0.name.string == "compaction" && $0.outcome.string == "passed" } == (status == 0))
            #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path) == [])
        }

        // MARK: Defects

        @Test(arguments: providers) func aKeyThatWasTakenOutTooEarly(_ provider: String) throws {
            let old = Key(provider: provider, name: "key1")
            let new = Key(provider: provider, name: "key2")
            let node = try node(("secrets", [new.entry, "identity: {}"]))
            try put(old, "a", in: node)
            try put(new, "b", in: node)
            try node.expect([Self.missing], provider)
        }

        /// The name of a key proves nothing.
        @Test(arguments: providers) func anotherSecretUnderTheRightName(_ provider: String) throws {
            let key = Key(provider: provider, name: "key1")
            let node = try node(("secrets", [Key(provider: provider, name: "key1").entry]))
            try put(key, "a", "b", in: node)
            try node.expect([Self.wrong], provider)
        }

        /// One of two keys is right, and the other is needed too.
        @Test(arguments: providers) func aWrongSecretBesideARightOne(_ provider: String) throws {
            let old = Key(provider: provider, name: "key1")
            let new = Key(provider: provider, name: "key2")
            let other = Key(provider: provider, name: "key1")
            let node = try node(("secrets", [Key.entry(provider, [new, other])]))
            try put(new, "a", in: node)
            try put(old, "b", in: node)
            try node.expect([Self.wrong], provider)
        }

        @Test func theWholeConfigurationIsGone() throws {
            let key = Key(provider: "secretbox", name: "key1")
            let node = try node(("secrets", [key.entry]))
            try put(key, "a", in: node)
            let root = try node.copy("rm etc/kubernetes/enc/encryption.yaml")
            try node.expect(["error reference-missing \(Self.path)"], of: root, "file")
            let flagless = try node.copy(
                "rm -r etc/kubernetes/enc; sed -i -e '/encryption-provider/d' -e '/name: enc/d' etc/kubernetes/manifests/*"
            )
            let manifest = "/etc/kubernetes/manifests/kube-apiserver.yaml"
            try node.expect(["error encryption-configuration-missing \(manifest)"], of: flagless, "flag")
        }

        @Test func keysThatCanNotBeUsed() throws {
            let key = Key(provider: "aescbc", name: "key1")
            let node = try node(("secrets", [key.entry]))
            try put(key, "a", in: node)
            for (name, secret) in [("no base64", "\"%%%\""), ("short", "c2hvcnQ=")] {
                let root = try node.copy(
                    "sed -i 's#secret: [^}]*#secret: \(secret)#' etc/kubernetes/enc/encryption.yaml")
                try node.expect(["error encryption-key-invalid \(Self.path)"], of: root, name)
            }
            let cut = try node.copy("sed -i 's#secret: .*#secret: [#' etc/kubernetes/enc/encryption.yaml")
            try node.expect(["error encryption-configuration-unreadable \(Self.path)"], of: cut, "cut")
        }

        /// A plugin of that name which speaks the other protocol opens nothing.
        @Test func aKMSThatDoesNotFit() throws {
            let node = try node(("secrets", ["kms: {apiVersion: v2, name: vault, endpoint: 'unix:///run/kms.sock'}"]))
            try node.put("/registry/secrets/default/a", SealedValue.kmsV1(Self.plaintext, plugin: "vault"))
            try node.expect([Self.missing, Self.external])
        }
    }

    /// The sealing of these tests, against NaCl's own.
    @Suite struct SecretBoxTests {
        /// `tests/secretbox.c` of NaCl 20110221.
        @Test func sealsAsNaClDoes() throws {
            let sealed = try SecretBox.seal(
                bytes(
                    """
                    be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c0123
                    3561f41db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924
                    ca1c60902e52f0a089bc76897040e082f937763848645e0705
                    """),
                key: bytes("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389"),
                nonce: bytes("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37"))
            #expect(sealed.starts(with: bytes("f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce")))
            #expect(sealed.count == 16 + 131)
        }

        private func bytes(_ text: String) -> [UInt8] {
            let digits = text.filter(\.isHexDigit)
            return stride(from: 0, to: digits.count, by: 2).compactMap { start in
                UInt8(digits.dropFirst(start).prefix(2), radix: 16)
            }
        }
    }
}
