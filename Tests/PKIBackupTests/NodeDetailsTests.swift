import Foundation
import SealedArchive
import TestSupport
import Testing

@testable import PKIBackup

/// What a node has besides what its flags name, and what is not to be taken for it.
@Suite(.timeLimit(.minutes(45))) struct NodeDetailsTests {
    private let tree: NodeTree

    init() throws { tree = try NodeTree() }

    private func pod(_ name: String, _ words: [String], mounts: [(String, String, Bool)]) throws {
        let list = words.map { "\"\($0)\"" }.joined(separator: ", ")
        let volumeMounts = mounts.enumerated().map {
            "{name: v\($0.offset), mountPath: \($0.element.1), readOnly: \($0.element.2)}"
        }
        let volumes = mounts.enumerated().map { "{name: v\($0.offset), hostPath: {path: \($0.element.0)}}" }
        try tree.write(
            """
            kind: Pod
            metadata: {name: \(name)}
            spec:
              containers: [{name: \(name), command: [\(list)], volumeMounts: [\(volumeMounts.joined(separator: ", "))]}]
              volumes: [\(volumes.joined(separator: ", "))]
            """, to: "/etc/kubernetes/manifests/\(name).yaml")
    }

    /// What a capture would take.
    private func captured(_ layout: NodeLayout) throws -> [String: CaptureClass] {
        var classes: [String: CaptureClass] = [:]
        _ = try CaptureSurvey.survey(layout.references, root: tree.root, excludedPaths: layout.excludedPaths) {
            classes[$0.path] = $0.captureClass
        }
        return classes
    }

    // MARK: Outputs

    @Test func whatFlagsNameAsOutputIsLeftOut() throws {
        try pod(
            "kube-apiserver",
            [
                "kube-apiserver", "--audit-log-path=/etc/kubernetes/audit/audit.log", "--log-dir=/etc/kubernetes/logs",
                "--audit-policy-file=/etc/kubernetes/audit/policy.yaml", "--profile-output=/etc/kubernetes/cpu.prof",
            ], mounts: [("/etc/kubernetes", "/etc/kubernetes", false)])
        let left: Set = [
            "/etc/kubernetes/audit/audit.log", "/etc/kubernetes/audit/audit-2026-11-26T10-00-00.000.log",
            "/etc/kubernetes/audit/audit-2026-11-25T10-00-00.000.log.gz", "/etc/kubernetes/audit/audit.log.1",
            "/etc/kubernetes/audit/audit.log.2.gz", "/etc/kubernetes/audit/audit.log-20261125",
            "/etc/kubernetes/logs/kube-apiserver.INFO", "/etc/kubernetes/cpu.prof",
        ]
        let taken: Set = [
            "/etc/kubernetes/audit/policy.yaml", "/etc/kubernetes/audit/audit-rules.yaml",
            "/etc/kubernetes/audit/audit.logic", "/etc/kubernetes/manifests/kube-apiserver.yaml",
        ]
        try tree.touch(left.union(taken).filter { !$0.hasSuffix("apiserver.yaml") }.sorted())
        let layout = tree.discover()
        #expect(try Set(captured(layout).keys) == taken)
        #expect(Set(layout.excludedPaths.map(\.path)).contains("/etc/kubernetes/audit/audit.log"))
    }

    /// A path that is a log to one and a policy to another is no output.
    @Test func whatIsSomethingElseTooIsTaken() throws {
        try pod(
            "kube-apiserver",
            [
                "kube-apiserver", "--audit-log-path=/etc/k/ca.crt", "--client-ca-file=/etc/k/ca.crt",
                "--log-dir=/etc/k",
                "--audit-log-path=-",
            ], mounts: [("/etc/k", "/etc/k", false)])
        try tree.touch(["/etc/k/ca.crt", "/etc/k/other"])
        #expect(try Set(captured(tree.discover()).keys).isSuperset(of: ["/etc/k/ca.crt", "/etc/k/other"]))
    }

    // MARK: Static pods of others

    @Test func volumesOfOtherStaticPods() throws {
        try pod(
            "haproxy", ["haproxy", "-f", "/usr/local/etc/haproxy/haproxy.cfg"],
            mounts: [("/srv/haproxy/haproxy.cfg", "/usr/local/etc/haproxy/haproxy.cfg", true)])
        try pod(
            "kms-plugin", ["kms-plugin", "--config=/etc/vault/config.yaml"],
            mounts: [
                ("/opt/kms", "/etc/vault", true), ("/var/run/kms", "/var/run/kms", false), ("/etc/kms", "/x", false),
            ])
        try pod("registry", ["registry"], mounts: [("/srv/images", "/data", false), ("/srv/many", "/many", false)])
        // What it may write to is taken where it is so little that it can't be data.
        try pod("aws-kms", ["aws-encryption-provider"], mounts: [("/opt/aws", "/aws", false)])
        try tree.touch([
            "/srv/haproxy/haproxy.cfg", "/opt/kms/config.yaml", "/opt/kms/token", "/var/run/kms/x", "/etc/kms/a",
            "/opt/aws/credentials/default",
        ])
        try tree.make(
            "mkdir -p srv/images srv/many; truncate -s 5M srv/images/blob; cd srv/many; seq 300 | xargs touch")
        let layout = tree.discover()
        let paths = try Set(captured(layout).keys)
        #expect(
            paths.isSuperset(of: ["/srv/haproxy/haproxy.cfg", "/opt/kms/config.yaml", "/opt/kms/token", "/etc/kms/a"]))
        #expect(paths.contains("/opt/aws/credentials/default") && !paths.contains("/srv/many/1"))
        #expect(!paths.contains("/srv/images/blob") && !paths.contains("/var/run/kms/x"))
        #expect(Set(layout.skipped.map(\.path)).isSuperset(of: ["/srv/images", "/srv/many", "/var/run/kms"]))
    }

    @Test func whatTheHostHas() throws {
        let expected: [String: CaptureClass] = [
            "/var/lib/kubelet/config.json": .kubeletConfiguration,
            "/var/lib/kubelet/seccomp/a.json": .kubeletConfiguration,
            "/etc/apparmor.d/k8s-deny": .host, "/etc/iscsi/initiatorname.iscsi": .host, "/etc/nvme/hostnqn": .host,
            "/etc/multipath.conf": .host, "/usr/local/share/ca-certificates/own.crt": .host,
            "/etc/pki/ca-trust/source/anchors/own.pem": .host, "/etc/environment": .host,
            "/etc/systemd/system.conf.d/proxy.conf": .host, "/etc/etcd/etcd.conf": .etcdConfiguration,
            "/etc/profile.d/http-proxy.sh": .host,
        ]
        try tree.touch(expected.keys.sorted() + ["/etc/apparmor.d/cache/x", "/etc/profile.d/bash.sh"])
        #expect(try captured(tree.discover()) == expected)
    }

    // MARK: etcd's addresses

    @Test func addressesOfEitherFamily() {
        #expect(EtcdURL.list("https://[::]:2379") == ["https://[::1]:2379", "https://127.0.0.1:2379"])
        #expect(EtcdURL.list("http://0.0.0.0:1,unixs://x,https://u:p@h:2/") == ["http://127.0.0.1:1", "https://h:2"])
        #expect(
            EtcdURL.unique([
                "https://127.0.0.1:2379", "https://[::1]:2379", "https://localhost:2379", "http://[::1]:2379",
            ])
                == ["https://127.0.0.1:2379", "https://[::1]:2379"])
    }

    @Test func anIPv6OnlyNode() throws {
        let server = "/var/lib/rancher/k3s/server"
        try tree.touch(["\(server)/tls/server-ca.crt", "\(server)/db/etcd/member/snap/db"])
        #expect(tree.discover().etcds.first?.endpoints == ["https://127.0.0.1:2379", "https://[::1]:2379"])
        try tree.write(
            "listen-client-urls: https://[::1]:2379,https://[fd00::1]:2379\ndata-dir: \(server)/db/etcd\nname: a\n",
            to: "\(server)/db/etcd/config")
        #expect(tree.discover().etcds.first?.endpoints == ["https://[::1]:2379", "https://[fd00::1]:2379"])
        let other = try NodeTree()
        try other.touch(["/var/lib/k0s/pki/ca.crt", "/var/lib/k0s/etcd/member/snap/db"])
        try other.write("spec: {storage: {etcd: {peerAddress: 'fd00::1'}}}\n", to: "/etc/k0s/k0s.yaml")
        #expect(other.discover().etcds.first?.endpoints == ["https://[::1]:2379", "https://127.0.0.1:2379"])
    }

    @Test(arguments: [
        ("", nil), ("sqlite", Datastore.file("/d/sqlite")), ("sqlite:///var/a.db?x=y", .file("/var/a.db")),
        ("sqlite:/var/a.db", .file("/var/a.db")), ("sqlite://", .file("/d/db/state.db")),
        ("file:./a.db?x", .file("/d/a.db")),
        ("mysql://u:p@tcp(h:1)/d", .elsewhere("mysql")), ("postgres://u:p@h/d", .elsewhere("postgres")),
        ("nats://u:p@h", .elsewhere("nats")), ("https://u:p@a:1,https://b:2", .etcd(["https://a:1", "https://b:2"])),
    ])
    func datastores(_ endpoint: String, _ datastore: Datastore?) {
        #expect(Datastore(endpoint: endpoint, directory: "/d") == datastore)
        #expect(!Datastore.redacted(endpoint).contains("u:p"))
    }

    /// kine by itself looks like an etcd to the API server, and gives no snapshots.
    @Test func kineIsNoEtcd() throws {
        try pod("kube-apiserver", ["kube-apiserver", "--etcd-servers=http://127.0.0.1:2379"], mounts: [])
        #expect(tree.discover().etcds.count == 1)
        try tree.write(
            "[Service]\nEnvironmentFile=/etc/kine.env\nExecStart=/usr/local/bin/kine --endpoint=${DSN}",
            to: "/etc/systemd/system/kine.service")
        try tree.write("DSN='mysql://u:p@tcp(h:3306)/d'\n", to: "/etc/kine.env")
        let layout = tree.discover()
        #expect(layout.etcds.isEmpty && layout.datastore == .elsewhere("mysql"))
        #expect(layout.datastoreOrigin == "/etc/systemd/system/kine.service")
        #expect(!"\(layout.components)".contains("u:p"))
    }

    // MARK: Components that are not seen

    private func process(
        _ number: Int, _ words: [String], in directory: TemporaryDirectory, users: String = "0 0 0 0", group: String
    ) throws {
        try run("mkdir", ["-p", directory.file("\(number)")])
        try directory.write("PPid:\t1\nUid:\t\(users)\n", to: "\(number)/status")
        try directory.write("0::\(group)\n", to: "\(number)/cgroup")
        try directory.write(words.map { $0 + "\0" }.joined(), to: "\(number)/cmdline")
        try directory.write("", to: "\(number)/environ")
    }

    private static let pod = "/kubepods.slice/kubepods-pod1.slice/cri-containerd-2.scope"

    @Test func componentsThatNothingTellsOfAreFound() throws {
        let processes = try TemporaryDirectory()
        let group = "/system.slice/a.service"
        try process(
            20, ["kube-apiserver", "--tls-cert-file=/a.crt"], in: processes, users: "998 998 998 998", group: group)
        try process(21, ["kube-scheduler"], in: processes, group: "/system.slice/docker-1.scope")
        try process(22, ["etcd", "--data-dir=/d"], in: processes, group: Self.pod)
        try process(23, ["kube-proxy"], in: processes, group: Self.pod)
        let layout = tree.discover(processes: processes.path)
        #expect(
            layout.findings.map { "\($0.severity.rawValue) \($0.code) \($0.subject)" } == [
                "error component-paths-unknown kube-apiserver", "error component-paths-unknown kube-scheduler",
                "error component-paths-unknown etcd",
            ])
    }

    /// A service tells what a process of another user runs with, and a pod beside the node's own control plane is a guest's.
    @Test func componentsThatAreKnownAreNoFinding() throws {
        let processes = try TemporaryDirectory()
        try process(
            20, ["kube-apiserver", "--tls-cert-file=/etc/k/a.crt"], in: processes, users: "998 998 998 998",
            group: "/system.slice/kube-apiserver.service")
        try process(21, ["etcd", "--data-dir=/guest"], in: processes, group: Self.pod)
        try process(22, ["k3s", "server"], in: processes, group: Self.pod)
        try tree.write(
            "[Service]\nUser=kube\nExecStart=/usr/local/bin/kube-apiserver --tls-cert-file=/etc/k/a.crt",
            to: "/etc/systemd/system/kube-apiserver.service")
        try tree.touch(["/etc/k/a.crt"])
        let layout = tree.discover(processes: processes.path)
        #expect(layout.findings.isEmpty, "\(layout.findings)")
        #expect(layout.reference("/etc/k/a.crt")?.referrer == "kube-apiserver --tls-cert-file")
    }

    /// Under a unit with few rights the environment of a process can't be read; that of its service can.
    @Test func theServiceTellsWhatAProcessHides() throws {
        guard isRoot else { return }
        let processes = try TemporaryDirectory()
        try process(20, ["etcd", "--data-dir=/srv/etcd"], in: processes, group: "/system.slice/etcd.service")
        try run("rm", [processes.file("20/environ")])
        try tree.write("ETCD_NAME=cp0\nETCD_LISTEN_CLIENT_URLS=https://10.0.0.1:2379\n", to: "/etc/etcd.env")
        try tree.write(
            "[Service]\nEnvironmentFile=/etc/etcd.env\nExecStart=/usr/bin/etcd --data-dir=/srv/etcd",
            to: "/etc/systemd/system/etcd.service")
        let layout = tree.discover(processes: processes.path)
        #expect(layout.etcds.map(\.endpoints) == [["https://10.0.0.1:2379"]])
        #expect(layout.component("etcd")?.flags["name"] == ["cp0"])
    }
}
