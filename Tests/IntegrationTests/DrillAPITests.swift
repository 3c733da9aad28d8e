import Foundation
import TestSupport
import Testing

extension Integration {
    /// Drills that boot a kube-apiserver too, which is a stand-in here, on what kubeadm's node has left.
    @Suite(.timeLimit(.minutes(45))) struct DrillAPITests {
        static let stages = ["kube-apiserver", "api lists", "api token"]

        /// A node with objects, backed up, and how it is drilled.
        private struct Drilled {
            let node: KubeadmNode
            let arguments: [String]
            let scratch: String

            init(_ changes: String = ":", faults: String = "", objects: (KubeadmNode) throws -> Void = { _ in }) throws
            {
                node = try KubeadmNode.running("base", changes: changes)
                for name in ["a", "b", "c"] { try Drilled.put("configmaps", "default", name, in: node) }
                try Drilled.put("serviceaccounts", "default", "robot", in: node)
                try node.put("/registry/services/specs/default/kubernetes", Data("{}".utf8))
                try node.put("/registry/example.org/widgets/default/w", Data("{}".utf8))
                let service = #"{"spec": {"group": "metrics.k8s.io", "version": "v1beta1", "service": {"name": "m"}}}"#
                try node.put(
                    "/registry/apiregistration.k8s.io/apiservices/v1beta1.metrics.k8s.io", Data(service.utf8))
                try node.put("/registry/masterleases/10.0.0.11", Data("{}".utf8))
                try objects(node)
                let path = try node.backup().report.path.string
                scratch = node.directory.file("scratch")
                try run("mkdir", [scratch])
                let wrapper = try node.directory.write(
                    """
                    #!/bin/sh
                    export PATH='\(ProcessInfo.processInfo.environment["PATH"] ?? "")'
                    export STAND_IN_ETCDCTL='\(EtcdVersion.v3_5.path(of: "etcdctl"))' STAND_IN_FAULTS='\(faults)'
                    export STAND_IN_LOG='\(node.directory.file("requests"))'
                    printf '%s\\n' "$@" >>'\(node.directory.file("flags"))'
                    exec '\(APIServer.program)' "$@"
                    """, to: "kube-apiserver")
                chmod(wrapper, 0o700)
                arguments = [
                    "drill", path, "-i", try Laboratory.shared().key().path, "--scratch", scratch,
                    "--etcd", EtcdVersion.v3_5.path(of: "etcd"), "--kube-apiserver", wrapper,
                ]
            }

            static func put(
                _ resource: String, _ namespace: String, _ name: String, _ more: [String: Any] = [:],
                annotations: [String: String] = [:], in node: KubeadmNode
            ) throws {
                let metadata: [String: Any] = [
                    "name": name, "namespace": namespace, "uid": "uid-of-\(name)", "annotations": annotations,
                ]
                let object = more.merging(["metadata": metadata]) { $1 }
                try node.put(
                    "/registry/\(resource)/\(namespace)/\(name)", try JSONSerialization.data(withJSONObject: object))
            }

            func drill(status: Int32 = 0) throws -> (stages: [String: JSON], record: JSON, errorText: String) {
                let result = try SnapTool.attempt(arguments + ["-o", "json"])
                #expect(result.status == status, "\(result.errorText)")
                #expect(try FileManager.default.contentsOfDirectory(atPath: scratch) == [])
                let record = try JSON(result.output)
                let stages = Dictionary(record.stages.array.map { ($0.name.string, $0) }) { $1 }
                for (name, stage) in stages where !name.hasPrefix("kube") && !name.hasPrefix("api") {
                    #expect(stage.outcome.string != "failed", "\(name): \(stage.detail.string)")
                }
                return (stages, record, result.errorText)
            }

            func lines(_ file: String) throws -> [String] {
                try String(contentsOfFile: node.directory.file(file), encoding: .utf8).split(separator: "\n")
                    .map(String.init)
            }
        }

        @Test func passes() throws {
            let drilled = try Drilled()
            let (stages, record, _) = try drilled.drill()
            for name in Self.stages {
                #expect(stages[name]?.outcome.string == "passed", "\(name): \(stages[name]?.detail.string ?? "")")
                #expect(stages[name]?.etcd.string != "")
            }
            #expect(stages["compaction"]?.outcome.string == "passed")
            #expect(record.apiServer.version.string == "v1.36.0-standin")
            let boot = stages["kube-apiserver"]?.detail.string ?? ""
            #expect(boot.contains("the restored certificate") && boot.contains("super-admin.conf"))
            #expect(boot.contains("takes that for kubernetes-super-admin"))
            let lists = stages["api lists"]?.detail.string ?? ""
            #expect(lists.contains("8 objects of") && lists.contains("1 keys are of no type"), "\(lists)")
            let token = stages["api token"]?.detail.string ?? ""
            #expect(token.contains("the database has none") && token.contains("system:serviceaccount:default:robot"))
            let flags = try drilled.lines("flags")
            for flag in [
                "--service-account-issuer=https://kubernetes.default.svc.cluster.local", "--bind-address=127.0.0.1",
                "--service-cluster-ip-range=10.96.0.0/12", "--endpoint-reconciler-type=none",
                "--etcd-servers=unix://client:1",
            ] { #expect(flags.contains(flag), "\(flag)") }
            #expect(flags.contains { $0.hasPrefix("--client-ca-file=\(drilled.scratch)/") })
            #expect(try drilled.lines("requests").allSatisfy { !$0.contains("PATCH") && !$0.contains("DELETE") })
        }

        @Test func whatIsEncryptedIsRead() throws {
            let tests = KubeadmEncryptionTests()
            let key = KubeadmEncryptionTests.Key(provider: "aescbc", name: "key1")
            let script = KubeadmEncryptionTests.script([("secrets", [key.entry, "identity: {}"])])
            let drilled = try Drilled(script) { try tests.put(key, "s", "t", in: $0) }
            let (stages, _, _) = try drilled.drill()
            #expect(stages["api lists"]?.outcome.string == "passed")
            #expect(stages["api lists"]?.detail.string.contains("2 Secrets among them") == true)
            #expect(
                try drilled.lines("flags").contains {
                    $0.hasPrefix("--encryption-provider-config=\(drilled.scratch)/") && $0.hasSuffix("/encryption.yaml")
                })
        }

        /// A Secret of the database that holds a token, as clusters had them for every ServiceAccount until 1.24.
        @Test func aTokenThatWasSignedBeforeCounts() throws {
            let drilled = try Drilled { node in
                let token = try Self.token(
                    [
                        "iss": "kubernetes/serviceaccount", "kubernetes.io/serviceaccount/namespace": "default",
                        "kubernetes.io/serviceaccount/service-account.name": "robot",
                        "kubernetes.io/serviceaccount/service-account.uid": "uid-of-robot",
                    ], key: "\(node.root)\(KubeadmNode.pki)/sa.key", in: node.directory)
                try Drilled.put(
                    "secrets", "default", "robot-token",
                    [
                        "type": "kubernetes.io/service-account-token",
                        "data": ["token": Data(token.utf8).base64EncodedString()],
                    ], annotations: ["kubernetes.io/service-account.name": "robot"], in: node)
            }
            let (stages, record, errorText) = try drilled.drill()
            let token = try #require(stages["api token"])
            #expect(token.outcome.string == "passed" && token.detail.string.contains("signed before the backup"))
            #expect(!"\(record) \(errorText)".contains("eyJ"))
        }

        private static func token(
            _ claims: [String: String], key: String, in directory: TemporaryDirectory
        ) throws
            -> String
        {
            func encoded(_ data: Data) -> String {
                data.base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
            }
            let text =
                encoded(Data(#"{"alg":"RS256"}"#.utf8)) + "."
                + encoded(try JSONSerialization.data(withJSONObject: claims))
            let file = try directory.write(text, to: "claims")
            return text + "." + encoded(try run("openssl", ["dgst", "-sha256", "-sign", key, file]).output)
        }

        /// What the archive lacks, or what has expired, the restored authority issues for an hour.
        @Test func theAuthorityIssuesWhatIsMissing() throws {
            let drilled = try Drilled(
                "rm etc/kubernetes/super-admin.conf etc/kubernetes/admin.conf; cp -p etc/kubernetes/pki/front-proxy-client.crt "
                    + "etc/kubernetes/pki/apiserver.crt")
            let (stages, _, _) = try drilled.drill()
            let boot = stages["kube-apiserver"]?.detail.string ?? ""
            #expect(
                boot.matches(of: #/issued for the drill/#).count == 2 && boot.contains("takes that for etcd-snap-drill")
            )
            for name in Self.stages { #expect(stages[name]?.outcome.string == "passed", "\(name)") }
        }

        @Test func nothingIsClaimedThatCantBe() throws {
            let noKey = try Drilled(
                "rm etc/kubernetes/super-admin.conf etc/kubernetes/admin.conf etc/kubernetes/pki/ca.key")
            let withoutKey = try noKey.drill().stages["kube-apiserver"]
            #expect(
                withoutKey?.outcome.string == "notMade" && withoutKey?.detail.string.contains("nor the key") == true)
            let noServer = try Drilled("rm etc/kubernetes/manifests/kube-apiserver.yaml")
            let withoutServer = try noServer.drill().stages["kube-apiserver"]
            #expect(withoutServer?.outcome.string == "notMade")
            #expect(withoutServer?.detail.string.contains("with which flags") == true)
        }

        @Test(arguments: [
            ("lose", "api lists", Int32(7), "configmaps (2 of 3)"), ("die", "kube-apiserver", 1, "it is to die"),
            ("refuse", "api token", 8, "Unauthorized"),
        ])
        func whatDoesNotHoldIsAFailedStage(_ fault: String, _ stage: String, _ status: Int32, _ words: String) throws {
            let (stages, record, errorText) = try Drilled(faults: fault).drill(status: status)
            #expect(stages[stage]?.outcome.string == "failed" && errorText.contains(words), "\(errorText)")
            #expect(stages["compaction"]?.outcome.string == "notMade" && record.recoverySeconds.value == nil)
        }

        @Test func aServerIsWaitedFor() throws {
            let (stages, _, _) = try Drilled(faults: "slow").drill()
            #expect(stages["kube-apiserver"]?.outcome.string == "passed")
        }

        @Test func whatIsNoServerIsRefused() throws {
            let drilled = try Drilled()
            for (path, status) in [("/bin/true", Int32(1)), ("/nothing/there", 4)] {
                let arguments = Array(drilled.arguments.dropLast()) + [path]
                expectFailure(try SnapTool.attempt(arguments), status, naming: path)
            }
            let preview = try SnapTool.json(drilled.arguments + ["--dry-run"])
            #expect(preview.apiServer.version.string == "v1.36.0-standin")
        }
    }
}
