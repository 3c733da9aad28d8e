import Foundation
import TestSupport
import Testing

@testable import PKIBackup

/// Services and distributions that nothing starts, beside what is the control plane.
@Suite(.timeLimit(.minutes(45))) struct LeftoverServiceTests {
    private static let units = "/etc/systemd/system"
    private let tree: NodeTree

    init() throws { tree = try NodeTree() }

    private func add(_ name: String, _ command: String, isEnabled: Bool = false, in directory: String = units) throws {
        let unit = "[Service]\nExecStart=\(command)\n[Install]\nWantedBy=multi-user.target\n"
        try tree.write(unit, to: "\(directory)/\(name).service")
        guard isEnabled else { return }
        try tree.make(
            """
            mkdir -p .\(Self.units)/multi-user.target.wants
            ln -s \(directory)/\(name).service .\(Self.units)/multi-user.target.wants
            """)
    }

    private static func server(_ configuration: String) -> String {
        "/usr/bin/kube-apiserver --encryption-provider-config=\(configuration)"
    }

    @Test(arguments: ["kube-apiserver-old", "a", "zz"]) func aUnitThatNothingEnablesBesideOneThatIs(
        _ name: String
    ) throws {
        try add("kube-apiserver", Self.server("/srv/e.yaml"), isEnabled: true)
        try add(name, Self.server("/srv/old.yaml"))
        let layout = tree.discover()
        #expect(layout.components.map(\.source) == ["\(Self.units)/kube-apiserver.service"])
        #expect(layout.reference("\(Self.units)/\(name).service")?.captureClass == .systemd)
        #expect(layout.reference("/srv/e.yaml")?.captureClass == .encryptionConfiguration)
        #expect(layout.reference("/srv/old.yaml") == nil)
        // What it names is kept, and not looked into.
        try tree.touch(["/srv/old.yaml"])
        #expect(tree.discover().reference("/srv/old.yaml")?.captureClass == .systemd)
    }

    @Test func aUnitThatNothingEnablesBesideAStaticPod() throws {
        let tree = try NodeTree.kubeadm()
        for name in ["kube-apiserver", "etcd", "kube-scheduler"] {
            try tree.write(
                "[Service]\nExecStart=/usr/bin/\(name) --config-file=/gone --config=/gone --tls-cert-file=/gone\n",
                to: "\(Self.units)/\(name)-old.service")
        }
        let layout = tree.discover()
        #expect(layout.components.filter { $0.source.hasPrefix(Self.units) }.isEmpty)
        #expect(layout.reference("/gone") == nil && layout.codes.isEmpty)
    }

    /// Trees of nodes may have lost their links: the unit of the program's own name is the likely one.
    @Test func ofUnitsThatNothingEnablesTheLikelyOne() throws {
        try add("kube-apiserver-old", Self.server("/srv/old.yaml"))
        try add("kube-apiserver", Self.server("/srv/e.yaml"))
        #expect(tree.discover().components.map(\.source) == ["\(Self.units)/kube-apiserver.service"])
        try tree.make("rm .\(Self.units)/kube-apiserver.service")
        #expect(tree.discover().components.map(\.source) == ["\(Self.units)/kube-apiserver-old.service"])
    }

    // MARK: What is not there

    /// systemd does not start it; without it nothing tells what the API server is told.
    @Test func aFileOfVariablesThatIsNotThere() throws {
        try add("kube-apiserver", "/opt/kube-apiserver $ARGS\nEnvironmentFile=/etc/conf.d/apiserver", isEnabled: true)
        let layout = tree.discover()
        let file = try #require(layout.reference("/etc/conf.d/apiserver"))
        #expect(file.isRequired && layout.codes == [])
        try tree.write("ARGS=--tls-cert-file=/srv/a.crt --etcd-servers=https://127.0.0.1:2379\n", to: file.path)
        #expect(tree.discover().reference("/srv/a.crt") != nil && tree.discover().codes == [])
    }

    @Test(arguments: ["", "\nEnvironmentFile=-/etc/conf.d/apiserver"]) func anAPIServerWithoutArguments(
        _ more: String
    ) throws {
        try add("kube-apiserver", "/opt/kube-apiserver $ARGS\(more)", isEnabled: true)
        #expect(tree.discover().codes == ["component-paths-unknown"])
    }

    @Test func aControlPlaneWhoseAPIServerNothingStarts() throws {
        try add("kube-scheduler", "/opt/kube-scheduler --kubeconfig=/srv/s.conf", isEnabled: true)
        try tree.touch(["/srv/s.conf"])
        #expect(tree.discover().codes == ["component-paths-unknown"])
        try add("kube-apiserver", Self.server("/srv/e.yaml"), isEnabled: true)
        #expect(tree.discover().codes == [])
    }

    // MARK: Distributions

    @Test(arguments: ["unit", "configuration", "both", "datastore"]) func k3sLeftOverOnANodeOfKubeadm(
        _ what: String
    ) throws {
        let tree = try NodeTree.kubeadm()
        let isUnit = what != "configuration"
        if isUnit {
            try tree.write(
                "[Service]\nExecStart=/usr/local/bin/k3s server --tls-cert-file=/gone\n",
                to: "\(Self.units)/k3s.service")
        }
        if what != "unit" {
            try tree.write(
                "token: x\nkube-apiserver-arg: [audit-policy-file=/gone]\n"
                    + (what == "datastore" ? "datastore-endpoint: postgres://u:p@h/k\n" : ""),
                to: "/etc/rancher/k3s/config.yaml")
            try tree.write("kind: Config\n", to: "/etc/rancher/k3s/k3s.yaml")
        }
        let layout = tree.discover()
        #expect(layout.distributions == ["kubeadm"] && layout.idleDistributions == ["k3s"])
        #expect(layout.component("k3s") == nil && layout.datastore == nil && layout.reference("/gone") == nil)
        #expect(layout.etcds.map(\.name) == ["etcd"])
        if isUnit { #expect(layout.reference("\(Self.units)/k3s.service") != nil) }
        // It is kept, and says nothing.
        if what != "unit" { #expect(layout.reference("/etc/rancher/k3s")?.captureClass == .include) }
    }

    @Test(arguments: ["k3s", "rke2", "k0s"]) func anAgentWithTheServersUnitInstalled(_ program: String) throws {
        let agent = program == "k0s" ? "worker" : "agent"
        let server = program == "k0s" ? "controller" : "server"
        try add("\(program)-\(agent)", "/usr/bin/\(program) \(agent)", isEnabled: true, in: "/usr/lib/systemd/system")
        try add("\(program)-\(server)", "/usr/bin/\(program) \(server)", in: Self.units)
        try tree.write("token: x\n", to: "/etc/rancher/\(program)/config.yaml")
        // What it had as a server.
        if program != "k0s" { try tree.write("", to: "/var/lib/rancher/\(program)/server/db/etcd/member/wal/0.wal") }
        let layout = tree.discover()
        #expect(layout.idleDistributions == [program] && layout.component(program) == nil && layout.etcds.isEmpty)
        #expect(layout.reference("\(Self.units)/\(program)-\(server).service") != nil)
        #expect(layout.codes.isEmpty)
    }

    /// Without a link, as in a tree that was copied, the only server is the node's.
    @Test(arguments: ["k3s", "rke2", "k0s"]) func aServerWhoseUnitHasNoLink(_ program: String) throws {
        let server = program == "k0s" ? "controller" : "server"
        try add("\(program)-\(server)", "/usr/bin/\(program) \(server) --data-dir=/srv/d", in: Self.units)
        #expect(tree.discover().component(program)?.flags["data-dir"] == ["/srv/d"])
        // What kubeadm has left behind is not running either, and this has data.
        try tree.touch(["/etc/kubernetes/admin.conf", "/srv/d/server/db/x", "/srv/d/pki/sa.key"])
        #expect(tree.discover().component(program) != nil)
    }
}
