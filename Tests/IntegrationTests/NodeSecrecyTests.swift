import Foundation
import TestSupport
import Testing

extension Integration {
    /// No secret of a node leaves the program but sealed: one in every class of files, watched by strace.
    @Suite struct NodeSecrecyTests {
        private static let canary = "canary-2d7c41f8-and-no-other-text-like-it"
        private let store: TestStore
        private let node: ControlPlaneNode
        private let configuration: String
        private let classes: [String]

        init() throws {
            let server = try Laboratory.shared().server(.v3_5)
            store = try TestStore(server)
            node = try ControlPlaneNode(in: store.directory, runs: server)
            // The program itself says which classes there are.
            let text = try SnapTool.attempt(["restore", "files", "--only", "?"]).errorText
            let list = text.split(separator: "\n").first?.split(separator: ":").last ?? ""
            classes = list.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
            let included = classes.map { "  - { path: /secrets/\($0), class: \($0) }\n" }.joined()
            configuration = try store.directory.write("include:\n\(included)", to: "secrets.yaml")
            for name in classes { try addSecrets(of: name) }
            try addSecretsOfComponents()
        }

        /// In random bytes, where zstd leaves text as it is; as a key, a kubeconfig and a configuration; and where a reader
        /// that quotes what it can't read would show it.
        private func addSecrets(of name: String) throws {
            try shell(
                #"""
                mkdir -p "$1"; cd "$1"
                (head -c 30000 /dev/urandom; printf %s "$2"; head -c 30000 /dev/urandom) >random
                printf -- '-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----\n' "$2" >some.key
                printf -- '-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n' "$2" >ca.crt
                printf 'kind: Config\nclusters: []\nusers: [{name: "%s", user: {token: "%s"}}]\n' "$2" "$2" >kubeconfig
                printf 'kind: EncryptionConfiguration\nresources: [%s: {\n' "$2" >broken.yaml
                printf '%s' "$2" >token
                """#, node.file("/secrets/\(name)"), "\(Self.canary)-\(name)")
        }

        /// Where the components of this node read them.
        private func addSecretsOfComponents() throws {
            try shell(
                #"""
                cd "$1/etc/kubernetes"; secret=$2
                printf 'apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  providers:\n  - secretbox: {keys: [{name: k, secret: "%s"}]}\n' "$secret" >encryption.yaml
                sed -i "s#- kube-apiserver#&\n    - --encryption-provider-config=/etc/kubernetes/encryption.yaml\n    - --token-auth-file=/etc/kubernetes/tokens.csv#" manifests/kube-apiserver.yaml
                printf '%s,admin,admin,"system:masters"\n' "$secret" >tokens.csv
                sed -i "s#client-key-data: .*#client-key-data: $(printf %s "$secret" | base64 -w0)#" admin.conf
                printf -- '-----BEGIN RSA PRIVATE KEY-----\n%s\n-----END RSA PRIVATE KEY-----\n' "$secret" >pki/sa.key
                printf 'garbage %s' "$secret" >pki/apiserver.crt
                mkdir -p "$1/var/lib/rancher/k3s/server"; printf 'K10::server:%s' "$secret" >"$1/var/lib/rancher/k3s/server/token"
                """#, node.root, Self.canary)
        }

        private struct Trace {
            var reads: [Substring] = []
            var writes: [Substring] = []
            /// The paths that were opened for writing.
            var written: [String] = []
        }

        /// Runs a command under strace, with a directory for temporary files that has to stay empty.
        private func trace(_ arguments: [String]) throws -> Trace {
            let temporary = store.directory.file("temporary")
            let file = store.directory.file("trace")
            try run("mkdir", ["-p", temporary])
            let calls =
                "trace=openat,open,creat,read,pread64,readv,write,pwrite64,writev,pwritev,pwritev2,sendto,sendmsg,mmap"
            let options = ["-f", "-qq", "-s", "4194304", "-o", file, "-e", calls]
            let result = try RunningCommand(
                "strace", options + [SnapTool.executable()] + arguments, environment: ["TMPDIR": temporary]
            ).wait(seconds: 180)
            #expect(result.status == 3, "\(result.errorText)")
            #expect(!holdsSecret(result.errorText) && !holdsSecret(result.text))
            #expect(try FileManager.default.contentsOfDirectory(atPath: temporary) == [])
            let lines = String(decoding: try Data(contentsOf: URL(fileURLWithPath: file)), as: UTF8.self)
                .split(separator: "\n")
            var trace = Trace()
            for line in lines {
                if isCall(line, ["read", "pread64", "readv"]) { trace.reads.append(line) }
                if isCall(line, ["write", "pwrite64", "writev", "pwritev", "pwritev2", "sendto", "sendmsg"]) {
                    trace.writes.append(line)
                }
                if isCall(line, ["openat", "open", "creat"]), !line.contains(" = -1 "),
                    line.contains("O_WRONLY") || line.contains("O_RDWR") || line.contains(" creat(")
                {
                    trace.written.append(line.split(separator: "\"").dropFirst().first.map(String.init) ?? "?")
                }
                // Memory shared with a file is written without a call.
                if isCall(line, ["mmap"]), line.contains("MAP_SHARED"), !line.contains("MAP_ANONYMOUS") {
                    #expect(!line.contains("PROT_WRITE"), "\(line)")
                }
            }
            return trace
        }

        private func isCall(_ line: Substring, _ names: [String]) -> Bool {
            names.contains { line.contains(" \($0)(") || line.contains("<... \($0) resumed>") }
        }

        private func holdsSecret(_ text: some StringProtocol) -> Bool {
            let encoded = Data(Self.canary.utf8).base64EncodedString().prefix(48)
            return text.contains(Self.canary) || text.contains(encoded)
        }

        private func expectSecrecy(_ trace: Trace) {
            // That each is seen where it is read says that strace would have shown it elsewhere.
            for name in classes {
                #expect(trace.reads.contains { $0.contains("\(Self.canary)-\(name)") }, "\(name) was not read")
            }
            for line in trace.writes where holdsSecret(line) { Issue.record("\(line.prefix(500))") }
            // Nor compressed, in the clear: the magic number of zstd.
            #expect(!trace.writes.contains { $0.contains("(\\265/\\375") })
        }

        @Test func aBackupWritesNothingInTheClear() throws {
            #expect(classes.count >= 28)
            let arguments = ["backup", "-v", "--root", node.root, "--config", configuration, "-r", store.key.recipient]
            let trace = try trace(arguments + store.server.flags() + store.flags)
            expectSecrecy(trace)
            #expect(trace.writes.contains { $0.contains("age-encryption.org/v1") })
            for path in trace.written {
                let isOurs = path.hasPrefix(".pending-") || path == ".lock"
                #expect(isOurs || path == "/dev/null" || path.hasPrefix("/proc/"), "\(path)")
            }
            #expect(try RunningCommand("grep", ["-r", "-a", "-l", Self.canary, store.root]).wait().status == 1)
            // A control: there it has to be, once a class and file.
            let entries = try SnapTool.json(["describe", "-i", store.key.path] + store.flags).manifest.entries.array
            for name in classes {
                let role = entries.first { $0.path.string == "files/secrets/\(name)/random" }?.role.string
                #expect(role == name)
            }
            // Findings are in the manifest, which is sealed, and on the terminal, which is not.
            let manifest = try SnapTool.run(["describe", "-i", store.key.path, "-o", "json"] + store.flags).text
            #expect(!holdsSecret(manifest))
        }

        @Test func aLookAtTheNodeWritesNothing() throws {
            let flags = ["--root", node.root, "--config", configuration]
            for format in ["table", "json"] {
                let trace = try trace(
                    ["doctor", "-v", "-o", format, "-r", store.key.recipient] + flags + store.server.flags()
                        + store.flags)
                for line in trace.writes where holdsSecret(line) { Issue.record("\(line.prefix(500))") }
                #expect(trace.reads.contains { $0.contains(Self.canary) })
                #expect(trace.written.filter { $0 != "/dev/null" && !$0.hasPrefix("/proc/") } == [])
            }
            let certificates = try SnapTool.attempt(["certs", "-v"] + flags)
            #expect(certificates.status == 0 && !holdsSecret(certificates.text + certificates.errorText))
        }
    }
}
