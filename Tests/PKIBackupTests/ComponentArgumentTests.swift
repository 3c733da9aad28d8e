import Foundation
import SealedArchive
import TestSupport
import Testing

@testable import PKIBackup

/// Arguments that servers hand on to their components, and the paths in them.
@Suite(.timeLimit(.minutes(45))) struct ComponentArgumentTests {
    private let tree: NodeTree

    init() throws {
        tree = try NodeTree()
        try tree.write("kind: Policy\n", to: "/srv/policy.yaml")
    }

    private func expectPolicy(sourceLocation: SourceLocation = #_sourceLocation) {
        let layout = tree.discover()
        #expect(layout.findings.isEmpty, "\(layout.findings)", sourceLocation: sourceLocation)
        #expect(layout.reference("/srv/policy.yaml")?.captureClass == .auditPolicy, sourceLocation: sourceLocation)
    }

    /// k3s, `pkg/util/args.go`, `GetArgs`.
    @Test(arguments: [
        "kube-apiserver-arg: audit-policy-file=/srv/policy.yaml",
        "kube-apiserver-arg: --audit-policy-file=/srv/policy.yaml",
        "kube-apiserver-arg: [\"v=2\", \"--audit-policy-file=/srv/policy.yaml\"]",
        "kube-apiserver-arg+: [\"--audit-policy-file+=/srv/policy.yaml\"]",
        "kube-apiserver-arg:\n- audit_policy_file-=/srv/policy.yaml",
    ])
    func argumentsInK3sConfiguration(_ text: String) throws {
        for place in ["config.yaml", "config.yaml.d/10.yaml"] {
            try tree.make("rm -rf etc/rancher")
            try tree.write(text + "\n", to: "/etc/rancher/rke2/\(place)")
            expectPolicy()
        }
    }

    @Test(arguments: [
        "--kube-apiserver-arg=audit-policy-file=/srv/policy.yaml",
        "--kube-apiserver-arg=--audit-policy-file=/srv/policy.yaml",
        "'--kube-apiserver-arg' '--audit-policy-file=/srv/policy.yaml'",
        "--kube-apiserver-arg audit-policy-file=/srv/policy.yaml",
        "$OPTIONS",
    ])
    func argumentsInTheUnitOfK3s(_ arguments: String) throws {
        try tree.write(
            "[Service]\nEnvironment=OPTIONS=--kube-apiserver-arg=--audit-policy-file=/srv/policy.yaml\nExecStart=/usr/local/bin/k3s server \(arguments)\n",
            to: "/etc/systemd/system/k3s.service")
        expectPolicy()
    }

    @Test func argumentsAreWordsWithoutDashes() {
        let flags = CommandLineFlags.flags(ofArguments: ["--a=b", "a=c=d", "-", "e", "f+=1", "--g-=2", ""])
        #expect(flags == ["a": ["b", "c=d"], "e": ["true"], "f": ["1"], "g": ["2"]])
    }

    @Test(arguments: [
        ("api: {extraArgs: {audit-policy-file: /srv/f}}", CaptureClass.auditPolicy),
        ("api: {rawArgs: [\"--encryption-provider-config=/srv/f\"]}", .encryptionConfiguration),
        ("api: {rawArgs: [--client-ca-file, /srv/f]}", .caCertificate),
        ("controllerManager: {extraArgs: {cluster-signing-key-file: /srv/f}}", .caKey),
        ("scheduler: {rawArgs: [\"--kubeconfig=/srv/f\"]}", .kubeconfig),
        ("storage: {etcd: {extraArgs: {trusted-ca-file: /srv/f}}}", .caCertificate),
        ("storage: {type: etcd, etcd: {rawArgs: [\"--cert-file=/srv/f\"]}}", .certificate),
    ])
    func argumentsInK0sConfiguration(_ spec: String, _ captureClass: CaptureClass) throws {
        try tree.write("x", to: "/srv/f")
        try tree.write("kind: ClusterConfig\nspec: {\(spec)}\n", to: "/etc/k0s/k0s.yaml")
        let layout = tree.discover()
        #expect(layout.reference("/srv/f")?.captureClass == captureClass)
        #expect(layout.reference("/srv/f")?.isRequired == true)
    }

    @Test(arguments: ["microk8s/current", "k8s/common"]) func argumentFilesOfSnaps(_ snap: String) throws {
        try tree.make("mkdir -p var/snap/microk8s/7000; ln -s 7000 var/snap/microk8s/current")
        try tree.write("x", to: "/var/snap/\(snap)/certs/server.key")
        try tree.write(
            "# arguments\n--audit-policy-file=\"/srv/policy.yaml\"\n--tls-private-key-file ${SNAP_\(snap.hasSuffix("common") ? "COMMON" : "DATA")}/certs/server.key\n",
            to: "/var/snap/\(snap)/args/kube-apiserver")
        expectPolicy()
        let layout = tree.discover()
        #expect(layout.reference("/var/snap/\(snap)/certs/server.key")?.captureClass == .privateKey)
        #expect(layout.component("kube-apiserver")?.source == "/var/snap/\(snap)/args/kube-apiserver")
    }

    /// OpenRC, `sh/openrc-run.sh.in`: services that there are several of.
    @Test func severalServicesOfOpenRC() throws {
        try tree.write(
            "#!/sbin/openrc-run\ncommand=/usr/bin/kube-apiserver\ndirectory=/srv\ncommand_args=\"$ALL $ARGS\"\n",
            to: "/etc/init.d/api")
        try tree.make("ln -s api etc/init.d/api.one; rm -f etc/conf.d/api")
        try tree.write("ALL=--audit-policy-file=./policy.yaml\n", to: "/etc/conf.d/api")
        try tree.write("ARGS=--v=2\n", to: "/etc/conf.d/api.one")
        expectPolicy()
    }

    // MARK: Pods without a volume for their files

    private func pod(mounts: String = "", volumes: String = "") throws {
        try tree.write(
            """
            kind: Pod
            metadata: {name: api}
            spec:
              containers:
              - name: api
                command: [kube-apiserver, --audit-policy-file=/srv/policy.yaml, --client-ca-file=/usr/share/ca.crt,
                  --oidc-ca-file=/image/oidc.crt, --unknown=/srv/other]
                volumeMounts: [\(mounts)]
              volumes: [\(volumes)]
            """, to: "/etc/kubernetes/manifests/api.yaml")
    }

    @Test func whatIsOnTheNodeUnderAnImagesPathIsTaken() throws {
        try tree.touch(["/usr/share/ca.crt", "/srv/other"])
        try pod()
        expectPolicy()
        let layout = tree.discover()
        #expect(layout.reference("/srv/other")?.captureClass == .component)
        #expect(layout.reference("/usr/share/ca.crt") == nil && layout.reference("/image/oidc.crt") == nil)
        #expect(layout.skipped.contains { $0.path == "/image/oidc.crt" && $0.reason.contains("in the image") })
    }

    /// What an empty volume shows is not what the node has there; nor is that within one of the node's.
    @Test func whatAnotherVolumeShowsIsNotTheNodes() throws {
        try pod(mounts: "{name: e, mountPath: /srv}", volumes: "{name: e, emptyDir: {}}")
        var layout = tree.discover()
        #expect(layout.reference("/srv/policy.yaml") == nil && layout.findings.isEmpty)
        #expect(layout.skipped.contains { $0.path == "/srv/policy.yaml" && $0.reason.contains("a volume of its own") })
        try pod(
            mounts: "{name: h, mountPath: /}, {name: e, mountPath: /srv/policy.yaml}",
            volumes: "{name: h, hostPath: {path: /srv}}, {name: e, projected: {sources: []}}")
        layout = tree.discover()
        #expect(!layout.references.contains { $0.path.hasSuffix("policy.yaml") })
    }

    @Test func theImageOfAContainerWithoutACommandIsItsProgram() throws {
        try tree.write(
            "kind: Pod\nmetadata: {name: x}\nspec: {containers: [{name: main, image: \"quay.io/coreos/etcd:v3.6\", args: [--cert-file=/srv/c.crt], volumeMounts: [{name: s, mountPath: /srv}]}], volumes: [{name: s, hostPath: {path: /srv}}]}\n",
            to: "/etc/kubernetes/manifests/x.yaml")
        try tree.write("x", to: "/srv/c.crt")
        #expect(tree.discover().reference("/srv/c.crt")?.captureClass == .certificate)
    }
}
