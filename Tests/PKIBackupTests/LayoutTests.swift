import Foundation
import SealedArchive
import TestSupport
import Testing

@testable import NodeFiles
@testable import PKIBackup

/// Trees shaped like those of distributions, captured without any configuration.
@Suite(.timeLimit(.minutes(45))) struct LayoutTests {
    /// Captures what discovery finds and gives the class of each file.
    private func classes(_ tree: NodeTree) throws -> (layout: NodeLayout, classes: [String: String]) {
        let layout = tree.discover()
        let laboratory = try Laboratory()
        let (_, manifest) = try laboratory.archive { writer in
            let capture = ControlPlaneCapture(into: writer, root: tree.root, excludedPaths: layout.excludedPaths)
            try capture.capture(layout.references)
            #expect(capture.report.findings.isEmpty, "\(capture.report.findings)")
        }
        let files = manifest.entries.filter { $0.kind == .file && $0.path.hasPrefix("files/") }
        return (layout, Dictionary(uniqueKeysWithValues: files.map { (String($0.path.dropFirst(5)), $0.role) }))
    }

    private func expect(
        _ tree: NodeTree, _ expected: [String: CaptureClass], distribution: String, except: Set<String> = [],
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> NodeLayout {
        try tree.touch(expected.keys.sorted())
        for (path, captureClass) in expected where captureClass == .encryptionConfiguration {
            try tree.write(#"{"kind":"EncryptionConfiguration","resources":[]}"#, to: path)
        }
        let (layout, classes) = try classes(tree)
        #expect(layout.distributions == [distribution], sourceLocation: sourceLocation)
        #expect(try tree.files().subtracting(except) == Set(classes.keys), sourceLocation: sourceLocation)
        for (path, captureClass) in expected where !except.contains(path) {
            #expect(classes[path] == captureClass.rawValue, "\(path)", sourceLocation: sourceLocation)
        }
        return layout
    }

    @Test func kubeadmFixtureIsCapturedWhole() throws {
        let tree = try NodeTree.kubeadm()
        let (_, classes) = try classes(tree)
        #expect(try Set(classes.keys) == tree.files())
        let pki = "/etc/kubernetes/pki"
        let expected: [String: CaptureClass] = [
            "\(pki)/ca.crt": .caCertificate, "\(pki)/ca.key": .caKey, "\(pki)/front-proxy-ca.crt": .caCertificate,
            "\(pki)/front-proxy-ca.key": .caKey, "\(pki)/etcd/ca.crt": .caCertificate, "\(pki)/etcd/ca.key": .caKey,
            "\(pki)/sa.key": .serviceAccountKey, "\(pki)/sa.pub": .serviceAccountKey,
            "\(pki)/apiserver.crt": .certificate,
            "\(pki)/apiserver.key": .privateKey, "\(pki)/apiserver-kubelet-client.crt": .certificate,
            "\(pki)/apiserver-kubelet-client.key": .privateKey, "\(pki)/apiserver-etcd-client.crt": .certificate,
            "\(pki)/apiserver-etcd-client.key": .privateKey, "\(pki)/front-proxy-client.crt": .certificate,
            "\(pki)/front-proxy-client.key": .privateKey, "\(pki)/etcd/server.crt": .certificate,
            "\(pki)/etcd/server.key": .privateKey, "\(pki)/etcd/peer.crt": .certificate,
            "\(pki)/etcd/peer.key": .privateKey,
            "\(pki)/etcd/healthcheck-client.crt": .certificate, "\(pki)/etcd/healthcheck-client.key": .privateKey,
            "/etc/kubernetes/admin.conf": .kubeconfig, "/etc/kubernetes/super-admin.conf": .kubeconfig,
            "/etc/kubernetes/kubelet.conf": .kubeconfig, "/etc/kubernetes/controller-manager.conf": .kubeconfig,
            "/etc/kubernetes/scheduler.conf": .kubeconfig, "/etc/kubernetes/manifests/etcd.yaml": .staticPod,
            "/etc/kubernetes/manifests/kube-apiserver.yaml": .staticPod,
            "/etc/kubernetes/manifests/kube-controller-manager.yaml": .staticPod,
            "/etc/kubernetes/manifests/kube-scheduler.yaml": .staticPod,
        ]
        #expect(classes == expected.mapValues(\.rawValue))
    }

    @Test func whatElseKubeadmNodesHave() throws {
        let tree = try NodeTree.kubeadm()
        try tree.write("kind: EncryptionConfiguration\nresources: []\n", to: "/etc/kubernetes/enc/secrets.yaml")
        try tree.write("apiVersion: audit.k8s.io/v1\nkind: Policy\n", to: "/etc/kubernetes/policy.yaml")
        let expected: [String: CaptureClass] = [
            "/etc/kubernetes/kubeadm-config.yaml": .kubeadmConfiguration,
            "/var/lib/kubelet/config.yaml": .kubeletConfiguration,
            "/var/lib/kubelet/kubeadm-flags.env": .kubeletConfiguration,
            "/var/lib/kubelet/pki/kubelet-client-current.pem": .kubeletPKI,
            "/var/lib/kubelet/pki/kubelet.key": .kubeletPKI,
            "/etc/cni/net.d/10-calico.conflist": .cniConfiguration, "/var/lib/cni/networks/x/10.0.0.2": .cniState,
            "/etc/calico/calicoctl.cfg": .cniConfiguration, "/var/lib/calico/nodename": .cniState,
            "/etc/openvswitch/conf.db": .cniState, "/run/flannel/subnet.env": .cniState, "/etc/resolv.conf": .network,
            "/etc/hosts": .network, "/etc/keepalived/keepalived.conf": .network, "/etc/haproxy/haproxy.cfg": .network,
            "/etc/netplan/00.yaml": .network, "/etc/NetworkManager/system-connections/a.nmconnection": .network,
            "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf": .systemd,
            "/usr/lib/systemd/system/kubelet.service": .systemd, "/etc/containerd/config.toml": .containerRuntime,
            "/etc/crictl.yaml": .containerRuntime, "/etc/os-release": .host, "/etc/machine-id": .host,
            "/etc/default/kubelet": .kubeletConfiguration, "/etc/modules-load.d/k8s.conf": .network,
        ]
        try tree.touch(expected.keys.sorted())
        // Not of the control plane, or not of use.
        let left = [
            "/etc/passwd", "/usr/lib/systemd/system/cron.service", "/var/lib/etcd/member/snap/db",
            "/etc/ssl/certs/x.pem",
            "/etc/kubernetes/tmp/kubeadm-backup-etcd/db", "/var/lib/kubelet/pods/x/secret", "/var/log/audit.log",
        ]
        try tree.touch(left)
        try tree.make("ln -s usr/lib lib")
        let (layout, classes) = try classes(tree)
        #expect(layout.findings.isEmpty, "\(layout.findings)")
        #expect(try Set(classes.keys) == tree.files().subtracting(left))
        for (path, captureClass) in expected { #expect(classes[path] == captureClass.rawValue, "\(path)") }
        #expect(classes["/etc/kubernetes/enc/secrets.yaml"] == "encryption-configuration")
        #expect(classes["/etc/kubernetes/policy.yaml"] == "audit-policy")
    }

    /// Names as k3s' `CreateRuntimeCertFiles` has them.
    private func rancherFiles(_ name: String, _ data: String) -> [String: CaptureClass] {
        let tls = "\(data)/server/tls"
        return [
            "\(tls)/client-ca.crt": .caCertificate, "\(tls)/client-ca.key": .caKey,
            "\(tls)/server-ca.crt": .caCertificate,
            "\(tls)/server-ca.key": .caKey, "\(tls)/request-header-ca.crt": .caCertificate,
            "\(tls)/request-header-ca.key": .caKey, "\(tls)/service.key": .serviceAccountKey,
            "\(tls)/service.current.key": .serviceAccountKey, "\(tls)/client-ca.nochain.crt": .caCertificate,
            "\(tls)/client-admin.crt": .certificate, "\(tls)/client-admin.key": .privateKey,
            "\(tls)/serving-kube-apiserver.crt": .certificate, "\(tls)/serving-kube-apiserver.key": .privateKey,
            "\(tls)/etcd/server-ca.crt": .caCertificate, "\(tls)/etcd/server-ca.key": .caKey,
            "\(tls)/etcd/peer-ca.key": .caKey, "\(tls)/etcd/client.crt": .certificate,
            "\(tls)/etcd/client.key": .privateKey,
            "\(data)/server/cred/encryption-config.json": .encryptionConfiguration,
            "\(data)/server/cred/encryption-state.json": .distribution,
            "\(data)/server/cred/admin.kubeconfig": .kubeconfig, "\(data)/server/cred/passwd": .joinToken,
            "\(data)/server/cred/ipsec.psk": .distribution, "\(data)/server/token": .joinToken,
            "\(data)/server/agent-token": .joinToken, "\(data)/server/manifests/coredns.yaml": .staticPod,
            "\(data)/server/etc/egress-selector-config.yaml": .egressSelector,
            "\(data)/server/etc/cloud-config.yaml": .cloudProvider, "\(data)/agent/kubelet.kubeconfig": .kubeconfig,
            "\(data)/agent/client-kubelet.crt": .kubeletPKI, "\(data)/agent/client-kubelet.key": .kubeletPKI,
            "/etc/rancher/\(name)/registries.yaml": .containerRuntime, "/etc/rancher/\(name)/\(name).yaml": .kubeconfig,
            "/etc/rancher/node/password": .joinToken,
        ]
    }

    @Test func k3sWithEtcd() throws {
        let tree = try NodeTree()
        let data = "/var/lib/rancher/k3s"
        let left: Set = [
            "\(data)/server/db/etcd/member/snap/db", "\(data)/server/db/snapshots/s", "\(data)/data/abc/bin/k3s",
            "\(data)/agent/containerd/io/blob", "\(data)/server/static/charts/x.tgz",
        ]
        try tree.touch(left.sorted())
        try tree.make("ln -s token .\(data)/server/node-token")
        try tree.write("cluster-init: true\n", to: "/etc/rancher/k3s/config.yaml")
        try tree.write("K3S_TOKEN=secret\n", to: "/etc/systemd/system/k3s.service.env")
        try tree.touch(["/etc/systemd/system/k3s.service"])
        let layout = try expect(tree, rancherFiles("k3s", data), distribution: "k3s", except: left)
        #expect(layout.findings.isEmpty, "\(layout.findings)")
        let tls = "\(data)/server/tls/etcd"
        #expect(
            layout.etcds == [
                DiscoveredEtcd(
                    name: "etcd", endpoints: ["https://127.0.0.1:2379", "https://[::1]:2379"],
                    caPath: "\(tls)/server-ca.crt",
                    certificatePath: "\(tls)/client.crt", keyPath: "\(tls)/client.key",
                    dataDirectory: "\(data)/server/db/etcd", source: "k3s layout")
            ])
    }

    @Test func k3sWithSQLite() throws {
        let tree = try NodeTree()
        let data = "/data/k3s"
        try tree.write(
            """
            data-dir: \(data)
            token: do-not-tell
            kube-apiserver-arg:
            - audit-policy-file=/etc/audit.yaml
            - "oidc-ca-file=/etc/oidc.crt"
            datastore-cafile: ""
            """, to: "/etc/rancher/k3s/config.yaml")
        try tree.touch(["/etc/audit.yaml", "/etc/oidc.crt"])
        try tree.make("mkdir -p .\(data)/server/db")
        try run(
            "sqlite3",
            [tree.path + "\(data)/server/db/state.db", "CREATE TABLE kine (id INTEGER); INSERT INTO kine VALUES (1);"])
        let layout = try expect(tree, rancherFiles("k3s", data), distribution: "k3s")
        #expect(layout.etcds.isEmpty && layout.findings.isEmpty)
        #expect(layout.reference("/etc/audit.yaml")?.captureClass == .auditPolicy)
        #expect(!layout.components.contains { $0.flags.description.contains("do-not-tell") })
    }

    @Test func rke2() throws {
        let tree = try NodeTree()
        let data = "/var/lib/rancher/rke2"
        try tree.write(
            """
            kind: Pod
            metadata: {name: etcd}
            spec:
              containers:
              - name: etcd
                image: index.docker.io/rancher/hardened-etcd:v3.5
                args: [--config-file=\(data)/server/db/etcd/config]
                command: [etcd]
                volumeMounts:
                - {mountPath: \(data)/server/db/etcd, name: dir0}
                - {mountPath: \(data)/server/tls/etcd/server-ca.crt, name: file0}
              volumes:
              - {name: dir0, hostPath: {path: \(data)/server/db/etcd, type: DirectoryOrCreate}}
              - {name: file0, hostPath: {path: \(data)/server/tls/etcd/server-ca.crt, type: File}}
            """, to: "\(data)/agent/pod-manifests/etcd.yaml")
        try tree.write(
            """
            advertise-client-urls: https://10.0.0.1:2379
            listen-client-urls: https://127.0.0.1:2379,https://10.0.0.1:2379
            data-dir: \(data)/server/db/etcd
            client-transport-security: {cert-file: \(data)/server/tls/etcd/server-client.crt}
            """, to: "\(data)/server/db/etcd/config")
        let left: Set = ["\(data)/server/db/etcd/member/snap/db"]
        try tree.touch(["\(data)/server/db/etcd/member/snap/db"])
        let layout = try expect(tree, rancherFiles("rke2", data), distribution: "rke2", except: left)
        #expect(layout.etcds.map(\.endpoints) == [["https://127.0.0.1:2379", "https://10.0.0.1:2379"]])
        #expect(layout.etcds.first?.certificatePath == "\(data)/server/tls/etcd/client.crt")
        #expect(layout.component("etcd")?.image == "index.docker.io/rancher/hardened-etcd:v3.5")
    }

    @Test func k0s() throws {
        let tree = try NodeTree()
        let pki = "/var/lib/k0s/pki"
        let left: Set = ["/var/lib/k0s/etcd/member/snap/db", "/var/lib/k0s/bin/etcd", "/var/lib/k0s/containerd/blob"]
        try tree.touch(left.sorted())
        let layout = try expect(
            tree,
            [
                "\(pki)/ca.crt": .caCertificate, "\(pki)/ca.key": .caKey, "\(pki)/sa.key": .serviceAccountKey,
                "\(pki)/sa.pub": .serviceAccountKey, "\(pki)/front-proxy-ca.key": .caKey,
                "\(pki)/server.crt": .certificate,
                "\(pki)/admin.conf": .distribution, "\(pki)/etcd/ca.crt": .caCertificate, "\(pki)/etcd/ca.key": .caKey,
                "\(pki)/etcd/server.key": .privateKey, "\(pki)/etcd/jwt.key": .privateKey,
                "\(pki)/etcd/jwt.pub": .etcdConfiguration, "\(pki)/apiserver-etcd-client.crt": .certificate,
                "\(pki)/apiserver-etcd-client.key": .privateKey, "/etc/k0s/k0s.yaml": .distribution,
                "/etc/k0s/k0stoken": .joinToken, "/var/lib/k0s/manifests/calico/a.yaml": .staticPod,
                "/var/lib/k0s/kubelet.conf": .kubeconfig,
            ], distribution: "k0s", except: left)
        #expect(layout.etcds.map(\.caPath) == ["\(pki)/etcd/ca.crt"])
        #expect(layout.etcds.map(\.certificatePath) == ["\(pki)/apiserver-etcd-client.crt"])
    }

    @Test func microShift() throws {
        let tree = try NodeTree()
        let certs = "/var/lib/microshift/certs"
        let left: Set = ["/var/lib/microshift/etcd/member/snap/db"]
        try tree.touch(left.sorted())
        let layout = try expect(
            tree,
            [
                "\(certs)/etcd-signer/ca.crt": .caCertificate, "\(certs)/etcd-signer/ca.key": .caKey,
                "\(certs)/etcd-signer/apiserver-etcd-client/client.crt": .certificate,
                "\(certs)/etcd-signer/apiserver-etcd-client/client.key": .privateKey,
                "\(certs)/ca-bundle/ca-bundle.crt": .caCertificate, "/etc/microshift/config.yaml": .distribution,
                "/var/lib/microshift/resources/kubeadmin/kubeconfig": .kubeconfig,
            ], distribution: "microshift", except: left)
        #expect(layout.etcds.map(\.endpoints) == [["https://localhost:2379"]])
    }

    @Test func openShift() throws {
        let tree = try NodeTree()
        let resources = "/etc/kubernetes/static-pod-resources"
        try tree.write(
            """
            {"kind": "Pod", "metadata": {"name": "etcd"}, "spec": {"containers": [{"name": "etcd",
            "command": ["/bin/sh", "-c", "#!/bin/sh\\nset -euo pipefail\\nexec nice -n -19 etcd \\\\\\n  --cert-file=/etc/kubernetes/static-pod-certs/s.crt --data-dir=/var/lib/etcd --listen-client-urls=https://0.0.0.0:2379"],
            "volumeMounts": [{"mountPath": "/etc/kubernetes/static-pod-certs", "name": "c"}]}],
            "volumes": [{"hostPath": {"path": "\(resources)/etcd-certs"}, "name": "c"}]}}
            """, to: "/etc/kubernetes/manifests/etcd-pod.yaml")
        let layout = try expect(
            tree,
            [
                "\(resources)/etcd-certs/s.crt": .certificate, "\(resources)/etcd-certs/s.key": .privateKey,
                "\(resources)/kube-apiserver-pod-3/secrets/service-account/service-account.pub": .serviceAccountKey,
                "\(resources)/kube-apiserver-pod-3/configmaps/trusted-ca-bundle/ca-bundle.crt": .caCertificate,
            ], distribution: "openshift")
        #expect(layout.etcds.map(\.name) == ["etcd"])
        #expect(layout.reference("\(resources)/etcd-certs/s.crt")?.referrer == "etcd --cert-file")
    }
}
