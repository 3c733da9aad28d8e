import Foundation
import TestSupport
import Testing

@testable import PKIBackup

@Suite(.timeLimit(.minutes(1))) struct ProcessDiscoveryTests {
    private func process(
        _ number: Int, _ words: [String], in directory: TemporaryDirectory, environment: [String] = []
    ) throws {
        try run("mkdir", ["-p", directory.file("\(number)")])
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
