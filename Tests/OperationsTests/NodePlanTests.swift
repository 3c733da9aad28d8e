import Foundation
import HostIO
import NodeFiles
import PKIBackup
import SealedArchive
import TestSupport
import Testing

@testable import Operations

@Suite struct NodePlanTests {
    private func configuration(_ text: String) throws -> Configuration {
        try Configuration.parse(Array(text.utf8), name: "config.yaml")
    }

    @Test func joinsWhatIsFoundWithWhatIsAskedFor() throws {
        let configuration = try configuration(
            """
            include: [/opt/a, {path: /opt/b, class: cloud-provider}]
            exclude: ['*.bak']
            fileByteLimits: {cni-state: 7}
            expiryWarningDays: 5
            hostFacts: false
            """)
        let plan = try NodePlan.make(
            configuration, include: ["/opt/c"], exclude: ["*.tmp"], root: NodeRoot(prefix: kubeadmRoot))
        #expect(plan.included.map(\.path) == ["/opt/a", "/opt/b", "/opt/c"])
        #expect(plan.included.map(\.captureClass) == [.include, .cloudProvider, .include])
        #expect(plan.exclude == ["*.bak", "*.tmp"])
        #expect(plan.limits.byteCount(for: .cniState) == 7 && plan.limits.byteCount(for: .caKey) > 7)
        #expect(plan.expiryWarningDays == 5 && !plan.collectsFacts)
        #expect(plan.layout.distributions == ["kubeadm"] && !plan.usesOtherDatastore)
        #expect(plan.references.contains { $0.path == "/etc/kubernetes/pki/ca.key" && $0.captureClass == .caKey })
    }

    @Test func looksAtNothingWhenToldSo() throws {
        let plan = try NodePlan.make(try configuration("discover: false"), root: NodeRoot(prefix: kubeadmRoot))
        #expect(plan.references.isEmpty && plan.layout.components.isEmpty)
        #expect(plan.rediscovered().references.isEmpty)
    }

    @Test func leavesTheStoreOut() throws {
        let scratch = try TemporaryDirectory()
        try run("mkdir", ["-p", scratch.file("node/data/store/prod"), scratch.file("node/data/kept")])
        for file in ["data/store/prod/old.tar.zst.age", "data/kept/file", "data/store2"] {
            try scratch.write("x", to: "node/\(file)")
        }
        try run("ln", ["-s", "data/store", scratch.file("node/link")])
        let root = NodeRoot(prefix: scratch.file("node"))
        for store in ["node/data/store", "node/data/../data//store/", "node/link", "node/data/store/prod"] {
            let plan = try NodePlan.make(
                try configuration("discover: false"), include: ["/data"], root: root, storePaths: [scratch.file(store)])
            var paths: [String] = []
            let report = try plan.survey { paths.append($0.path) }
            #expect(paths == ["/data/kept/file", "/data/store2"], "\(store)")
            #expect(report.skipped.map(\.reason) == ["the store of the backups"])
        }
        #expect(NodeRoot(prefix: "/srv/node/").path(of: "/srv/node/a/../b") == "/b")
        #expect(NodeRoot(prefix: "/srv/node").path(of: "/srv/node2") == nil)
        #expect(NodeRoot().path(of: "store")?.hasSuffix("/store") == true)
    }

    @Test func refusesAClassThatIsNone() throws {
        for text in ["include: [{path: /a, class: keys}]", "fileByteLimits: {keys: 1}"] {
            let configuration = try configuration(text)
            let error = #expect(throws: Failure.self) {
                try NodePlan.make(configuration, root: NodeRoot(prefix: kubeadmRoot))
            }
            #expect(error?.code == .usage && error?.hint?.contains("ca-key") == true)
        }
    }

    @Test func aClusterWithoutEtcdNeedsNone() throws {
        #expect(try EtcdSource.resolveAll(Configuration.Etcd(), found: [], mayHaveNone: true).isEmpty)
        var given = Configuration.Etcd()
        given.endpoints = ["http://127.0.0.1:1"]
        #expect(try EtcdSource.resolveAll(given, found: [], mayHaveNone: true).count == 1)
        var plan = try NodePlan.make(try configuration("discover: false"))
        #expect(!plan.usesOtherDatastore && plan.datastoreFinding == nil)
        plan.layout.datastore = .elsewhere("postgres")
        plan.layout.datastoreOrigin = "/etc/rancher/k3s/config.yaml"
        #expect(plan.usesOtherDatastore && plan.datastoreFinding?.code == "datastore-elsewhere")
        #expect(plan.datastoreFinding?.subject == "/etc/rancher/k3s/config.yaml")
        plan.layout.datastore = .file("/var/lib/rancher/k3s/server/db/state.db")
        #expect(plan.usesOtherDatastore && plan.datastoreFinding == nil)
        plan.layout.datastore = .etcd(["https://10.0.0.1:2379"])
        #expect(!plan.usesOtherDatastore && plan.datastoreFinding == nil)
    }

    @Test func anEnvironmentFileOfCommentsIsNoEtcd() throws {
        let scratch = try TemporaryDirectory()
        try run("mkdir", ["-p", scratch.file("etc/default")])
        let discovery = NodeDiscovery(root: NodeRoot(prefix: scratch.path))
        try scratch.write("# ETCD_NAME=\"a\"\n", to: "etc/default/etcd")
        #expect(discovery.discover().etcds.isEmpty)
        try scratch.write("ETCD_LISTEN_CLIENT_URLS=http://127.0.0.1:2379\n", to: "etc/default/etcd")
        #expect(discovery.discover().etcds.map(\.endpoints) == [["http://127.0.0.1:2379"]])
    }

    /// Only the node itself can tell what starts its backups, and only systemd where it runs.
    @Test func aTimerThatNobodyCanAskForNeedsNoAttention() throws {
        let other = TimerCheck.run(of: NodeRoot(prefix: "/mnt/node"))
        #expect(other.status == .ok && other.message.contains("another node"))
        let isRun = FileManager.default.fileExists(atPath: "/run/systemd/system")
        let here = TimerCheck.run(of: NodeRoot())
        #expect(isRun || here.status == .ok && here.message.contains("see the last backup"), "\(here)")
    }

    @Test func theTimerIsJudgedByWhatSystemdSays() {
        func judge(_ text: String) -> (DoctorReport.Status, String) {
            let check = TimerCheck.judge(text)
            return (check.status, check.message)
        }
        let active = judge(
            "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\nNextElapseUSecRealtime=Tue 2026-11-24 06:00\n"
        )
        #expect(active.0 == .ok && active.1.contains("2026-11-24 06:00"))
        #expect(judge("LoadState=loaded\nActiveState=inactive\nUnitFileState=disabled\n").0 == .warning)
        let absent = judge("LoadState=not-found\nActiveState=inactive\n")
        #expect(absent.0 == .warning && absent.1.contains("not installed"))
        #expect(judge("").0 == .warning && judge("=\n==\nx").0 == .warning)
    }

    @Test func aFindingIsToldOnce() {
        func finding(_ code: String, _ subject: String) -> Finding {
            Finding(.error, code: code, subject: subject, message: "m")
        }
        let captured = [finding("file-missing", "/a"), finding("file-missing", "/b"), finding("link-loop", "/a")]
        let analysed = [finding("ca-key-missing", "/a"), finding("link-loop", "/a"), finding("chain-broken", "/c")]
        #expect(
            captured.joined(with: analysed).map { "\($0.code) \($0.subject)" }
                == ["file-missing /b", "link-loop /a", "ca-key-missing /a", "chain-broken /c"])
    }
}
