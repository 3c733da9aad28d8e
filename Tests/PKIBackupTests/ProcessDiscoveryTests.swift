import Foundation
import SealedArchive
import TestSupport
import Testing

@testable import NodeFiles
@testable import PKIBackup

@Suite(.timeLimit(.minutes(45))) struct ProcessDiscoveryTests {
    private func process(
        _ number: Int, _ words: [String], in directory: TemporaryDirectory, environment: [String] = [],
        users: String = "0 0 0 0", parent: Int = 1, group: String? = "/system.slice/a.service"
    ) throws {
        try run("mkdir", ["-p", directory.file("\(number)")])
        try directory.write("Name:\tx\nPPid:\t\(parent)\nUid:\t\(users)\nGid:\t0 0 0 0\n", to: "\(number)/status")
        if let group { try directory.write("1:name=systemd:\(group)\n0::\(group)\n", to: "\(number)/cgroup") }
        try directory.write(words.map { $0 + "\0" }.joined(), to: "\(number)/cmdline")
        try directory.write(environment.map { $0 + "\0" }.joined(), to: "\(number)/environ")
    }

    @Test func argumentsOfProcesses() throws {
        let tree = try NodeTree()
        let processes = try TemporaryDirectory()
        try process(
            10, ["/usr/bin/kubelet", "--config=/etc/k/kubelet.yaml", "--bootstrap-kubeconfig", "/etc/k/b.conf"],
            in: processes)
        try process(
            11, ["kube-apiserver", "--client-ca-file=/etc/k/ca.crt", "--etcd-servers=https://10.0.0.1:2379"],
            in: processes)
        try process(
            12, ["/opt/etcd/etcd", "--data-dir", "/srv/etcd"], in: processes,
            environment: ["ETCD_LISTEN_CLIENT_URLS=https://10.0.0.1:2379", "ETCD_CERT_FILE=/etc/k/e.crt", "SECRET=x"])
        try process(13, ["grep", "kube-apiserver", "--token=x"], in: processes)
        try process(14, [], in: processes)
        try tree.write("kind: KubeletConfiguration\nstaticPodPath: /etc/pods\n", to: "/etc/k/kubelet.yaml")
        try tree.write(
            "kind: Pod\nmetadata: {name: s}\nspec: {containers: [{name: s, command: [kube-scheduler]}]}",
            to: "/etc/pods/s.yaml")
        let layout = tree.discover(processes: processes.path)
        #expect(layout.findings.isEmpty, "\(layout.findings)")
        #expect(layout.components.map(\.name) == ["kubelet", "kube-scheduler", "kube-apiserver", "etcd"])
        #expect(layout.component("kube-apiserver")?.source == "process 11")
        #expect(layout.reference("/etc/k/ca.crt")?.captureClass == .caCertificate)
        #expect(layout.reference("/etc/k/kubelet.yaml")?.captureClass == .kubeletConfiguration)
        #expect(layout.reference("/etc/k/b.conf")?.isRequired == false)
        #expect(layout.reference("/etc/k/e.crt")?.captureClass == .certificate)
        #expect(layout.etcds.map(\.endpoints) == [["https://10.0.0.1:2379"]])
        #expect(layout.etcds.first?.dataDirectory == "/srv/etcd")
    }

    /// A relative path counts from where the process is; where that is not shown, it is not passed over.
    @Test func relativePathsOfProcesses() throws {
        let tree = try NodeTree()
        let processes = try TemporaryDirectory()
        try tree.touch(["/srv/policy.yaml"])
        try process(5, ["kube-apiserver", "--audit-policy-file=./policy.yaml", "--cert-dir=a/b"], in: processes)
        #expect(tree.discover(processes: processes.path).codes == ["path-unresolved"])
        try run("ln", ["-s", "/srv", processes.file("5/cwd")])
        let layout = tree.discover(processes: processes.path)
        #expect(layout.findings.isEmpty, "\(layout.findings)")
        #expect(layout.reference("/srv/policy.yaml")?.captureClass == .auditPolicy)
    }

    @Test func aComponentThatRunsAndHasAManifestIsOne() throws {
        let tree = try NodeTree.kubeadm()
        let processes = try TemporaryDirectory()
        try process(7, ["kube-apiserver", "--client-ca-file=/elsewhere/ca.crt"], in: processes)
        try process(8, ["etcd", "--data-dir=/var/lib/etcd"], in: processes)
        try process(
            9, ["etcd", "--data-dir=/var/lib/calico-etcd", "--listen-client-urls=http://127.0.0.1:6666"], in: processes)
        let layout = tree.discover(processes: processes.path)
        #expect(layout.components.count == 5)
        #expect(layout.reference("/elsewhere/ca.crt") == nil)
        #expect(layout.etcds.map(\.name) == ["etcd", "etcd-2"])
    }

    private let spoof = [
        "--data-dir=/srv/etcd", "--listen-client-urls=https://127.0.0.1:9999", "--cert-file=/srv/leak",
    ]

    /// Anybody may start something under the name of a component, also with a program that changes its user.
    @Test(arguments: ["1000 1000 1000 1000", "1000 0 0 0", "0 0 0 1000", ""])
    func whatAnybodyMayStartIsNotTrusted(users: String) throws {
        let tree = try NodeTree()
        let processes = try TemporaryDirectory()
        try tree.touch(["/srv/etcd/member/snap/db", "/srv/leak"])
        try process(20, ["etcd"] + spoof, in: processes, users: users)
        try process(21, ["kube-apiserver", "--etcd-servers=https://127.0.0.1:9998"], in: processes, users: users)
        try process(22, ["kubelet", "--config=/srv/leak"], in: processes, users: users)
        let layout = tree.discover(processes: processes.path)
        #expect(layout.etcds.isEmpty && layout.components.isEmpty && layout.excludedPaths.isEmpty)
        #expect(!layout.references.contains { $0.path.hasPrefix("/srv") })
        #expect(Set(layout.skipped.map(\.path)) == ["process 20", "process 21", "process 22"])
        // Root's are.
        for number in 20...22 {
            try processes.write("PPid:\t1\nUid:\t0\t0\t0\t0\n", to: "\(number)/status")
        }
        let trusted = tree.discover(processes: processes.path)
        #expect(trusted.components.count == 3 && trusted.etcds.count == 2)
        #expect(trusted.excludedPaths.map(\.path) == ["/srv/etcd"] && trusted.reference("/srv/leak") != nil)
    }

    /// An etcd may have a user of its own, whose data then is where only root can have let it be.
    @Test func theOwnerOfTheDataIsTrusted() throws {
        guard isRoot else { return }
        let tree = try NodeTree()
        try tree.touch(["/srv/etcd/member/snap/db", "/home/etcd/member/snap/db", "/tmp/etcd/member/snap/db"])
        try tree.touch(["/open/etcd/member/db"])
        try tree.write("data-dir: /srv/etcd\nlisten-client-urls: https://127.0.0.1:9997\n", to: "/srv/etcd.yaml")
        try tree.make(
            "chown 997 srv/etcd home/etcd tmp/etcd open/etcd; chmod 1777 open; chmod 755 srv; ln -s /home/etcd srv/link"
        )
        let user = "997 997 997 997"
        for (directory, isTrusted) in [
            ("/srv/etcd", true), ("/home/etcd", false), ("/tmp/etcd", false), ("/open/etcd", false),
            ("/srv/link", false),
            ("/srv", false), ("/none", false), ("etcd", false),
        ] {
            let processes = try TemporaryDirectory()
            try process(
                5, ["etcd", "--data-dir", directory, "--listen-client-urls=https://127.0.0.1:9999"], in: processes,
                users: user)
            #expect(tree.discover(processes: processes.path).etcds.count == (isTrusted ? 1 : 0), "\(directory)")
        }
        let processes = try TemporaryDirectory()
        try process(5, ["etcd", "--config-file=/srv/etcd.yaml"], in: processes, users: user)
        #expect(tree.discover(processes: processes.path).etcds.map(\.endpoints) == [["https://127.0.0.1:9997"]])
    }

    /// k0s runs the API server as a user of its own (k0s, `pkg/supervisor`).
    @Test func whatAComponentOfRootStartedIsTrusted() throws {
        let tree = try NodeTree()
        let processes = try TemporaryDirectory()
        try process(30, ["/usr/local/bin/k0s", "controller"], in: processes)
        try process(31, ["kube-apiserver"], in: processes, users: "998 998 998 998", parent: 30)
        try process(40, ["bash"], in: processes)
        try process(41, ["kube-scheduler"], in: processes, users: "998 998 998 998", parent: 40)
        #expect(tree.discover(processes: processes.path).components.map(\.name) == ["k0s", "kube-apiserver"])
    }

    @Test(arguments: [
        ("/kubepods/burstable/pod1/2", false), ("/kubepods.slice/kubepods-pod1.slice/cri-containerd-2.scope", false),
        ("/system.slice/docker-1.scope", false), ("/docker/1", false), ("/kubelet/kubepods/pod1/2", false),
        ("/kubelet.slice/kubelet-kubepods.slice/x", false), ("/machine.slice/libpod-1.scope/container", false),
        ("/system.slice/crio-1.scope", false), ("/system.slice/docker.service", true), ("/", true),
        ("/system.slice/etcd.service", true), ("/system.slice/cri-docker.service", true), (nil, false),
    ])
    func containersAreKnownByTheirControlGroups(group: String?, isHost: Bool) throws {
        let tree = try NodeTree()
        let processes = try TemporaryDirectory()
        try process(1, ["init"], in: processes, group: "/init.scope")
        try process(20, ["etcd"] + spoof, in: processes, group: group)
        #expect(ProcessTable(directory: processes.path).components().map(\.seesNode) == [isHost])
        let layout = tree.discover(processes: processes.path)
        #expect(layout.etcds.count == (isHost ? 1 : 0) && layout.skipped.contains { $0.path == "process 20" } != isHost)
    }

    /// A node that is a container itself has all its processes below its own control group.
    @Test func aNodeMayBeAContainer() throws {
        let processes = try TemporaryDirectory()
        try process(1, ["init"], in: processes, group: "/docker/1/init.scope")
        try process(20, ["kubelet"], in: processes, group: "/docker/1/kubelet.slice/kubelet.service")
        try process(21, ["etcd"], in: processes, group: "/docker/1/kubelet/kubepods/pod1/2")
        #expect(ProcessTable(directory: processes.path).components().map(\.seesNode) == [true, false])
    }

    /// Under a unit with few rights a process shows its command line, but neither its environment nor its root directory.
    @Test func whatIsHiddenIsNotInvented() throws {
        guard isRoot else { return }
        let process = try RunningCommand("bash", ["-c", "exec -a etcd tail -f /dev/null"])
        defer { process.signal(SIGKILL) }
        func found() -> RunningComponent? {
            ProcessTable(directory: "/proc").components().first {
                $0.component.source == "process \(process.processID)"
            }
        }
        for _ in 0..<100 where found() == nil { usleep(20_000) }
        let seen = try #require(found())
        #expect(seen.seesNode && seen.userID == 0 && seen.component.isEnvironmentKnown)
        let hidden = try #require(try withFileUser(65_534) { found() })
        #expect(hidden.seesNode && hidden.userID == 0 && !hidden.component.isEnvironmentKnown)
        var builder = LayoutBuilder(root: try NodeTree().root)
        builder.addProcess(hidden)
        #expect(builder.etcds().isEmpty)
        builder = LayoutBuilder(root: builder.root)
        builder.addProcess(seen)
        #expect(builder.etcds().map(\.endpoints) == [["http://127.0.0.1:2379"]])
    }

    /// A real process of another root directory is seen, but its paths are not the node's.
    @Test func realProcesses() throws {
        let directory = try TemporaryDirectory()
        try run("cp", ["/bin/sleep", directory.file("kube-scheduler")])
        let scheduler = try RunningCommand("bash", ["-c", "exec -a kube-scheduler sleep 100"])
        let named = try RunningCommand("bash", ["-c", "exec \(directory.file("kube-scheduler")) 100"])
        defer {
            scheduler.signal(SIGKILL)
            named.signal(SIGKILL)
        }
        var found: [String] = []
        for _ in 0..<100 where found.count < 2 {
            found = ProcessTable(directory: "/proc").components().map(\.component.source).filter {
                $0 == "process \(scheduler.processID)" || $0 == "process \(named.processID)"
            }
            usleep(20_000)
        }
        #expect(found.count == 2)
        let all = ProcessTable(directory: "/proc").components()
        #expect(
            all.filter { found.contains($0.component.source) }.allSatisfy {
                $0.seesNode && $0.component.name == "kube-scheduler"
            })
    }
}
