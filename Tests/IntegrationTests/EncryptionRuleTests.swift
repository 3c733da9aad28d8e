import Crypto
import CryptoExtras
import Foundation
import TestSupport
import Testing

extension Integration.KubeadmEncryptionTests {
    /// Which rule counts for a value, and for which API server, as the API server itself decides it.
    @Suite(.timeLimit(.minutes(45))) struct RuleTests {
        private let tests = Integration.KubeadmEncryptionTests()
        private typealias Key = Integration.KubeadmEncryptionTests.Key
        private static let missing = Integration.KubeadmEncryptionTests.missing
        private static let wrong = Integration.KubeadmEncryptionTests.wrong
        private static let path = Integration.KubeadmEncryptionTests.path

        /// Each secret is there, under the right name, for the other resource.
        @Test func secretsThatAreSwapped() throws {
            let first = Key(provider: "aescbc", name: "key1")
            let second = Key(provider: "aescbc", name: "key1")
            let node = try tests.node(("secrets", [second.entry]), ("configmaps", [first.entry]))
            try tests.put(first, "a", in: node)
            try tests.put(second, "a", resource: "configmaps", in: node)
            try node.expect([Self.wrong])
        }

        /// The key is there, and not for these values.
        @Test(arguments: ["not listed", "identity before the rest", "another group"])
        func aResourceWithoutTheKey(_ how: String) throws {
            let key = Key(provider: "secretbox", name: "key1")
            let node =
                switch how {
                case "not listed": try tests.node(("secrets", [key.entry, "identity: {}"]))
                case "another group": try tests.node(("secrets, '*.apps'", [key.entry, "identity: {}"]))
                default: try tests.node(("configmaps", ["identity: {}"]), ("'*.*'", [key.entry, "identity: {}"]))
                }
            try tests.put(key, "a", in: node)
            try node.expect([], how)
            try tests.put(key, "c", resource: "configmaps", in: node)
            try node.expect([Self.missing], how)
        }

        @Test func patternsThatNameTheResource() throws {
            let core = Key(provider: "aesgcm", name: "core")
            let apps = Key(provider: "aesgcm", name: "apps")
            let custom = Key(provider: "aesgcm", name: "custom")
            let rest = Key(provider: "aesgcm", name: "rest")
            let node = try tests.node(
                ("'*.'", [core.entry, "identity: {}"]), ("'*.apps'", [apps.entry]),
                ("widgets.example.org", [custom.entry]),
                ("'*.*'", [rest.entry, "identity: {}"]))
            for resource in ["secrets", "configmaps", "services/specs", "minions"] {
                try tests.put(core, "a", resource: resource, in: node)
            }
            try tests.put(apps, "a", resource: "deployments", in: node)
            try tests.put(custom, "a", resource: "example.org/widgets", in: node)
            for resource in ["leases", "example.org/gadgets", "apiregistration.k8s.io/apiservices"] {
                try tests.put(rest, "a", resource: resource, in: node)
            }
            try node.expect([])
            try tests.put(core, "b", resource: "deployments", in: node)
            try node.expect([Self.missing])
        }

        /// Without a provider for it nothing in clear is read.
        @Test func valuesInClearWithoutIdentity() throws {
            let key = Key(provider: "aescbc", name: "key1")
            let node = try tests.node(("secrets", [key.entry]))
            try tests.put(key, "a", in: node)
            try node.put("/registry/configmaps/default/a", Integration.KubeadmEncryptionTests.plaintext)
            try node.expect([])
            try node.put("/registry/secrets/default/b", Integration.KubeadmEncryptionTests.plaintext)
            try node.expect(["error encryption-identity-missing \(Self.path)"])
        }

        /// The command that gives every key of a configuration another secret.
        private static func withAnotherSecret(_ name: String) -> String {
            let secret = Key(provider: "aescbc", name: "key1").secret.withUnsafeBytes { Data($0) }.base64EncodedString()
            return "sed -i 's#secret: [^}]*#secret: \(secret)#' etc/kubernetes/enc/\(name)"
        }

        /// Of a flag that is given twice the last value counts.
        @Test func theFlagGivenTwice() throws {
            let key = Key(provider: "aescbc", name: "key1")
            let node = try tests.node(("secrets", [key.entry, "identity: {}"]))
            try tests.put(key, "a", in: node)
            let second = "/etc/kubernetes/enc/second.yaml"
            let again =
                "sed -i 's#^    - --encryption-provider.*#&\\n    - --encryption-provider-config=\(second)#' "
                + "etc/kubernetes/manifests/kube-apiserver.yaml; cp etc/kubernetes/enc/encryption.yaml "
                + "etc/kubernetes/enc/second.yaml; "
            try node.expect([], of: node.copy(again), "the same key")
            try node.expect(
                ["error encryption-key-wrong \(second)"],
                of: node.copy(again + Self.withAnotherSecret("second.yaml")), "the last")
            try node.expect([], of: node.copy(again + Self.withAnotherSecret("encryption.yaml")), "the first")
        }

        /// Each API server of a node must be able to read what is stored.
        @Test(arguments: ["another secret", "no such key", "no configuration"])
        func aSecondAPIServerThatCanNotRead(_ how: String) throws {
            let key = Key(provider: "aescbc", name: "key1")
            let node = try tests.node(("secrets", [key.entry, "identity: {}"]))
            try tests.put(key, "a", in: node)
            let manifests = "etc/kubernetes/manifests"
            let second =
                "sed -e 's/^  name: kube-apiserver/&-2/' -e 's#enc/encryption.yaml#enc/second.yaml#' "
                + "\(manifests)/kube-apiserver.yaml >\(manifests)/kube-apiserver-2.yaml; "
                + "cp etc/kubernetes/enc/encryption.yaml etc/kubernetes/enc/second.yaml; "
            try node.expect([], of: node.copy(second), "the same key")
            let configuration = "/etc/kubernetes/enc/second.yaml"
            switch how {
            case "another secret":
                let root = try node.copy(second + Self.withAnotherSecret("second.yaml"))
                try node.expect(["error encryption-key-wrong \(configuration)"], of: root, how)
            case "no such key":
                let root = try node.copy(second + "sed -i 's#name: .key1.#name: other#' etc/kubernetes/enc/second.yaml")
                try node.expect(["error encryption-key-missing \(configuration)"], of: root, how)
            default:
                let root = try node.copy(second + "sed -i /encryption-provider/d \(manifests)/kube-apiserver-2.yaml")
                try node.expect(
                    ["error encryption-configuration-missing /\(manifests)/kube-apiserver-2.yaml"], of: root, how)
            }
        }

        /// Each secret of a name is tried.
        ///
        /// Of what opens nothing neither it nor what it should have opened is said.
        @Test(arguments: Integration.KubeadmEncryptionTests.providers)
        func aRightSecretBehindAWrongOneOfItsName(_ provider: String) throws {
            let (wrong, right) = (Key(provider: provider, name: "key1"), Key(provider: provider, name: "key1"))
            let node = try tests.node(("secrets", [Key.entry(provider, [wrong, right])]))
            let canary = "canary-5b1e9c-and-no-other-text-like-it"
            let plaintext = Data(
                "k8s\0\n\u{0C}\n\u{02}v1\u{12}\u{06}Secret\u{12}\u{27}\(canary)\u{1A}\u{00}\"\u{00}".utf8)
            let path = "/registry/secrets/default/a"
            try node.put(path, right.seal(plaintext, at: path))
            try node.expect([], "both")
            let second = ", {name: 'key1', secret: \(right.base64)}"
            let root = try node.copy("sed -i \"s#\(second)##\" etc/kubernetes/enc/encryption.yaml")
            try node.expect([Self.wrong], of: root, "the wrong one")
            let secrets = [wrong, right].flatMap { key in
                let bytes = key.secret.withUnsafeBytes { Data($0) }
                let digits = bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
                return [bytes, Data(key.base64.utf8), Data(digits.utf8), Data(digits.uppercased().utf8)]
            }
            for output in try outputs(of: node, root) {
                for secret in secrets + [Data(canary.utf8)] { #expect(output.range(of: secret) == nil) }
            }
        }

        /// All that a node with a wrong key is answered with, and what an archive of it says of itself.
        private func outputs(of node: KubeadmNode, _ root: String) throws -> [Data] {
            let key = try Laboratory.shared().key()
            let flags = ["--store", node.directory.file("told"), "--cluster", "test", "--node", "node"]
            var outputs: [Data] = []
            for format in ["table", "json"] {
                for command in ["doctor", "backup"] {
                    let more = ["-v", "--root", root, "-r", key.recipient, "-o", format]
                    let result = try node.run([command] + more + flags)
                    #expect([0, 3].contains(result.status), "\(result.errorText)")
                    // A look at the node takes no snapshot, and so tries nothing.
                    let isSaid = (result.text + result.errorText).contains("encryption-key-wrong")
                    #expect(isSaid == (command == "backup"), "\(command) \(format)")
                    outputs += [result.output, Data(result.errorText.utf8)]
                }
                let described = try node.run(["describe", "latest", "-i", key.path, "-o", format] + flags)
                #expect(described.text.contains("encryption-key-wrong"), "\(described.errorText)")
                outputs += [described.output, Data(described.errorText.utf8)]
            }
            // The configuration itself is in the archive, and its keys with it.
            let documents = try shell(
                """
                age -d -i "$1" "$(ls "$2"/test/node/*.age | tail -n 1)" | zstd -qd \
                    | tar xO --wildcards etcd-snap.json manifest.json 'host/*'
                """, key.path, node.directory.file("told"))
            #expect(documents.text.contains("encryption-key-wrong"))
            return outputs + [documents.output]
        }

        /// A wrong secret whose padding looks right by chance is wrong.
        @Test func aSecretThatGivesAPaddingByChance() throws {
            let key = Key(provider: "aescbc", name: "key1")
            let sealed = try SealedValue.aescbc(
                Integration.KubeadmEncryptionTests.plaintext, key: key.secret, name: key.name)
            let block = sealed.suffix(32)
            var other = Key(provider: "aescbc", name: "key1")
            // About 255 of them are tried.
            while !Self.unpads(Data(block), other.secret) { other = Key(provider: "aescbc", name: "key1") }
            let node = try tests.node(("secrets", [other.entry, "identity: {}"]))
            try node.put("/registry/secrets/default/a", sealed)
            try node.expect([Self.wrong])
        }

        private static func unpads(_ blocks: Data, _ secret: SymmetricKey) -> Bool {
            guard let vector = try? AES._CBC.IV(ivBytes: Array(blocks.prefix(16))) else { return false }
            return (try? AES._CBC.decrypt(Array(blocks.suffix(16)), using: secret, iv: vector)) != nil
        }
    }
}
