import Foundation
import TestSupport
import Testing

extension Integration {
    /// Whole backups of nodes of k0s, kubespray, MicroShift, OpenShift and kubeadm.
    @Suite struct DistributionTests {
        // MARK: k0s

        @Test(arguments: ["/var/lib/k0s", "/data/k0s"]) func k0sWithEtcd(_ data: String) throws {
            let node = try K0sTree(data: data)
            let etcd = try node.tree.startEtcd(
                ca: node.etcdCA.certificate, server: node.etcdServer, client: node.etcdClient)
            defer { etcd.kill() }
            try node.configure(
                storage:
                    "{type: etcd, etcd: {peerAddress: 10.0.0.1, extraArgs: {listen-client-urls: \"\(etcd.clientURL)\"}}}"
            )
            try node.tree.write("", to: "\(data)/etcd/member/snap/db")
            let backup = try DistributionBackup(of: node.tree)
            let report = try backup.expect(findings: [])
            backup.expect(etcds: ["etcd"], in: report)
            #expect(report.skipped.array.map(\.path.string).contains("\(data)/images/bundle.tar"))
            #expect(try backup.classes()["\(data)/pki/etcd/ca.key"] == "ca-key")
            try node.tree.change("openssl genrsa -out .\(data)/pki/sa.key 2048")
            try backup.expect(findings: ["service-account-key-mismatch \(data)/pki/sa.key"])
        }

        @Test func k0sWithAnotherEtcd() throws {
            let node = try K0sTree()
            let etcd = try node.tree.startEtcd(
                ca: node.etcdCA.certificate, server: node.etcdServer, client: node.etcdClient)
            defer { etcd.kill() }
            try node.configure(
                storage: """
                    {etcd: {externalCluster: {endpoints: ["\(etcd.clientURL)"], etcdPrefix: k0s, \
                    caFile: \(node.etcdCA.certificate), clientCertFile: \(node.etcdClient.certificate), \
                    clientKeyFile: \(node.etcdClient.key)}}}
                    """)
            let backup = try DistributionBackup(of: node.tree)
            backup.expect(etcds: ["etcd"], in: try backup.expect(findings: []))
        }

        @Test func k0sWithKine() throws {
            let node = try K0sTree()
            let path = "/var/lib/k0s/db/state.db"
            try node.tree.change("mkdir -p var/lib/k0s/db")
            try run("sqlite3", [node.tree.file(path), "CREATE TABLE kine (id INTEGER); INSERT INTO kine VALUES (1);"])
            let backup = try DistributionBackup(of: node.tree)
            for storage in [
                "{type: kine}", "{type: kine, kine: {dataSource: \"sqlite:\(path)?mode=rwc&_journal=WAL\"}}",
            ] {
                try node.configure(storage: storage)
                backup.expect(etcds: [], in: try backup.expect(findings: []))
                #expect(try backup.classes()[path] == "datastore")
            }
            try node.configure(
                storage: "{type: kine, kine: {dataSource: \"mysql://k0s:pa55-w0rd@tcp(10.0.0.9:3306)/k0s\"}}")
            try backup.expect(findings: ["datastore-elsewhere /etc/k0s/k0s.yaml"])
            let doctor = try backup.doctor(["-v"])
            let said = try backup.manifestText() + doctor.text + doctor.errorText
            #expect(said.contains("mysql") && !said.contains("pa55"))
        }

        // MARK: Others

        @Test func microShift() throws {
            let node = try MicroShiftTree()
            let etcd = try node.tree.startEtcd(
                ca: node.etcdCA.certificate, server: node.etcdServer, client: node.etcdClient)
            defer { etcd.kill() }
            let backup = try DistributionBackup(of: node.tree)
            // Its etcd always listens at port 2379, where another may run here; the certificates are those of the node.
            let endpoints = ["--endpoints", etcd.clientURL]
            let report = try backup.expect(findings: [], endpoints)
            backup.expect(etcds: ["etcd"], in: report)
            let classes = try backup.classes()
            #expect(classes[node.etcdCA.key] == "ca-key" && classes["/etc/microshift/config.yaml"] == "distribution")
            try node.tree.change(
                "openssl genrsa -out .\(node.etcdCA.key) 2048")
            try backup.expect(findings: ["key-mismatch \(node.etcdCA.key)"], endpoints)
        }

        @Test func openShift() throws {
            let node = try OpenShiftTree()
            let etcd = try node.tree.startEtcd(ca: node.etcdCA, server: node.etcdServer, client: node.etcdClient)
            defer { etcd.kill() }
            try node.addPods(etcd)
            let backup = try DistributionBackup(of: node.tree)
            let report = try backup.expect(findings: [])
            backup.expect(etcds: ["etcd"], in: report)
            #expect(try backup.manifest().etcd[0].endpoint.string == etcd.clientURL)
            // The name is a variable of a variable.
            try node.tree.change(
                "sed -i 's/_ETCD_NAME, value: .*}/_ETCD_NAME, value: other}/' etc/kubernetes/manifests/etcd-pod.yaml")
            try backup.expect(findings: ["member-list-mismatch /etc/kubernetes/manifests/etcd-pod.yaml"])
        }

        /// etcd as a service with its settings in an environment file, beside kubeadm's static pods.
        ///
        /// Source: kubespray 2.28, `roles/etcd/templates/etcd.env.j2` and `etcd-host.service.j2`.
        @Test(arguments: [true, false]) func kubespray(_ hasUnit: Bool) throws {
            let tree = try NodeTreeBuilder()
            try tree.addKubeadm()
            let ssl = "/etc/ssl/etcd/ssl"
            let authority = try tree.authority("\(ssl)/ca", "etcd-ca", ending: "pem")
            let member = try tree.issue(
                "\(ssl)/member-cp-1", "/CN=etcd-member-cp-1", by: authority, names: NodeTreeBuilder.loopback,
                ending: "pem")
            let client = try tree.issue("\(ssl)/node-cp-1", "/CN=etcd-node-cp-1", by: authority, ending: "pem")
            let etcd = try tree.startEtcd(ca: authority.certificate, server: member, client: client)
            defer { etcd.kill() }
            try tree.write(
                """
                # Environment file for etcd 3.5
                ETCD_DATA_DIR=/var/lib/etcd
                ETCD_ADVERTISE_CLIENT_URLS=\(etcd.clientURL)
                ETCD_INITIAL_ADVERTISE_PEER_URLS=\(etcd.peerURL)
                ETCD_INITIAL_CLUSTER_STATE=existing
                ETCD_METRICS=basic
                ETCD_LISTEN_CLIENT_URLS=\(etcd.clientURL)
                ETCD_INITIAL_CLUSTER_TOKEN=k8s_etcd
                ETCD_LISTEN_PEER_URLS=\(etcd.peerURL)
                ETCD_NAME=\(etcd.name)
                ETCD_PROXY=off
                ETCD_INITIAL_CLUSTER=\(etcd.name)=\(etcd.peerURL)
                ETCD_TRUSTED_CA_FILE=\(ssl)/ca.pem
                ETCD_CERT_FILE=\(ssl)/member-cp-1.pem
                ETCD_KEY_FILE=\(ssl)/member-cp-1-key.pem
                ETCD_CLIENT_CERT_AUTH=true
                ETCD_PEER_TRUSTED_CA_FILE=\(ssl)/ca.pem
                ETCD_PEER_CERT_FILE=\(ssl)/member-cp-1.pem
                ETCD_PEER_KEY_FILE=\(ssl)/member-cp-1-key.pem
                ETCD_PEER_CLIENT_CERT_AUTH=True
                # CLI settings
                ETCDCTL_ENDPOINTS=https://127.0.0.1:2379
                ETCDCTL_KEY=\(ssl)/admin-cp-1-key.pem
                """, to: "/etc/etcd.env", mode: 0o640)
            if hasUnit {
                try tree.write(
                    """
                    [Service]
                    Type=notify
                    User=etcd
                    EnvironmentFile=/etc/etcd.env
                    ExecStart=/usr/local/bin/etcd
                    NotifyAccess=all
                    """, to: "/etc/systemd/system/etcd.service")
                try tree.change(
                    "mkdir -p etc/systemd/system/multi-user.target.wants; ln -s /etc/systemd/system/etcd.service etc/systemd/system/multi-user.target.wants"
                )
            }
            try tree.write("", to: "/var/lib/etcd/member/snap/db")
            try tree.useExternalEtcd(etcd, ca: authority.certificate, client: client)
            let backup = try DistributionBackup(of: tree)
            let report = try backup.expect(findings: [])
            backup.expect(etcds: ["etcd"], in: report)
            #expect(try backup.classes()["\(ssl)/ca-key.pem"] == "ca-key")
            try tree.change("sed -i 's/^ETCD_NAME=.*/ETCD_NAME=other/' etc/etcd.env")
            try backup.expect(
                findings: ["member-list-mismatch \(hasUnit ? "/etc/systemd/system/etcd.service" : "/etc/etcd.env")"])
        }

        /// kubeadm with its kubelet's unit, drop-in, flags and configuration, and an audit log below `/etc/kubernetes`.
        ///
        /// Source: kubernetes/release, `cmd/krel/templates/latest/kubeadm/10-kubeadm.conf`; kubeadm 1.36, `app/phases/kubelet`.
        @Test func kubeadmWithItsKubelet() throws {
            let tree = try NodeTreeBuilder()
            try tree.addKubeadm()
            let etcd = try tree.startKubeadmEtcd()
            defer { etcd.kill() }
            try tree.write("[Service]\nExecStart=/usr/bin/kubelet\n", to: "/usr/lib/systemd/system/kubelet.service")
            try tree.write(
                """
                [Service]
                Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"
                Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
                EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
                EnvironmentFile=-/etc/default/kubelet
                ExecStart=
                ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
                """, to: "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf")
            try tree.write(
                "KUBELET_KUBEADM_ARGS=\"--pod-infra-container-image=registry.k8s.io/pause:3.10\"\n",
                to: "/var/lib/kubelet/kubeadm-flags.env")
            try tree.write(
                """
                apiVersion: kubelet.config.k8s.io/v1beta1
                kind: KubeletConfiguration
                authentication: {x509: {clientCAFile: /etc/kubernetes/pki/ca.crt}}
                resolvConf: /run/systemd/resolve/resolv.conf
                staticPodPath: /etc/kubernetes/manifests
                """, to: "/var/lib/kubelet/config.yaml")
            try tree.change(
                """
                mkdir -p etc/kubernetes/audit; echo x >etc/kubernetes/audit/audit.log
                truncate -s 3G etc/kubernetes/audit/audit-2026-11-25T10-00-00.000.log
                sed -i 's#^    - --allow-privileged=true#&\\n    - --audit-log-path=/var/log/kubernetes/audit.log#' \
                    etc/kubernetes/manifests/kube-apiserver.yaml
                sed -i 's#^    volumeMounts:#&\\n    - {mountPath: /var/log/kubernetes, name: audit}#; s#^  volumes:#&\\n  - {hostPath: {path: /etc/kubernetes/audit}, name: audit}#' \
                    etc/kubernetes/manifests/kube-apiserver.yaml
                grep -q audit-log-path etc/kubernetes/manifests/kube-apiserver.yaml
                """)
            let backup = try DistributionBackup(of: tree)
            let report = try backup.expect(findings: [])
            backup.expect(etcds: ["etcd"], in: report)
            #expect(report.skipped.array.map(\.path.string).contains("/etc/kubernetes/audit/audit.log"))
            let classes = try backup.classes()
            #expect(classes["/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf"] == "systemd")
            #expect(classes["/var/lib/kubelet/config.yaml"] == "kubelet-configuration")
            #expect(!classes.keys.contains { $0.contains("/audit/") })
        }

        /// kubeadm with an etcd elsewhere, whose CA's key is not on the node, by intention.
        @Test func kubeadmWithExternalEtcd() throws {
            let tree = try NodeTreeBuilder()
            try tree.addKubeadm()
            let elsewhere = try NodeTreeBuilder()
            let authority = try elsewhere.authority("/pki/ca", "external-etcd-ca")
            let server = try elsewhere.issue("/pki/server", "/CN=etcd", by: authority, names: NodeTreeBuilder.loopback)
            let own = try elsewhere.issue("/pki/client", "/CN=apiserver", by: authority)
            let etcd = try elsewhere.startEtcd(ca: authority.certificate, server: server, client: own)
            defer { etcd.kill() }
            let pki = "/etc/kubernetes/pki"
            let client = NodeTreeBuilder.Pair(
                certificate: "\(pki)/apiserver-etcd-client.crt", key: "\(pki)/apiserver-etcd-client.key")
            for (from, to) in [
                (authority.certificate, "\(pki)/etcd-external-ca.crt"), (own.certificate, client.certificate),
                (own.key, client.key),
            ] {
                try run("cp", [elsewhere.file(from), tree.file(to)])
            }
            try tree.useExternalEtcd(etcd, ca: "/etc/kubernetes/pki/etcd-external-ca.crt", client: client)
            let backup = try DistributionBackup(of: tree)
            let report = try backup.expect(findings: [])
            backup.expect(etcds: ["etcd"], in: report)
            #expect(report.skipped.array.isEmpty == false)
        }

        // MARK: Keys of CAs

        /// A CA's key that nothing names, under a name that tells nothing, is there on a new host.
        @Test func theKeyBesideACA() throws {
            let tree = try NodeTreeBuilder()
            let authority = try tree.authority("/srv/etcd/authority", "etcd-ca")
            let server = try tree.issue("/srv/etcd/own", "/CN=etcd", by: authority, names: NodeTreeBuilder.loopback)
            try tree.change("cd srv/etcd; mv authority.key private.pem; openssl genrsa -out other.key 2048")
            let etcd = try tree.startEtcd(ca: authority.certificate, server: server, client: server)
            defer { etcd.kill() }
            try tree.write(
                """
                apiVersion: v1
                kind: Pod
                metadata: {name: etcd}
                spec:
                  containers:
                  - name: etcd
                    command: [etcd, "--name=\(etcd.name)", "--listen-client-urls=\(etcd.clientURL)",
                      "--advertise-client-urls=\(etcd.clientURL)", "--initial-advertise-peer-urls=\(etcd.peerURL)",
                      --cert-file=/srv/etcd/own.crt, --key-file=/srv/etcd/own.key, --trusted-ca-file=/srv/etcd/authority.crt]
                    volumeMounts: [{name: a, mountPath: /srv/etcd/own.crt}, {name: b, mountPath: /srv/etcd/own.key},
                      {name: c, mountPath: /srv/etcd/authority.crt}]
                  volumes:
                  - {name: a, hostPath: {path: /srv/etcd/own.crt}}
                  - {name: b, hostPath: {path: /srv/etcd/own.key}}
                  - {name: c, hostPath: {path: /srv/etcd/authority.crt}}
                """, to: "/etc/kubernetes/manifests/etcd.yaml")
            let backup = try DistributionBackup(of: tree)
            try backup.expect(findings: [])
            let classes = try backup.classes()
            #expect(classes["/srv/etcd/private.pem"] == "ca-key" && classes["/srv/etcd/other.key"] == nil)
            let restored = try backup.restoredForNewHost()
            #expect(restored.contains("/files/srv/etcd/private.pem") || restored.contains("/srv/etcd/private.pem"))
            #expect(!restored.contains { $0.hasSuffix("own.key") })
        }
    }
}

extension NodeTreeBuilder {
    /// Starts the etcd of kubeadm's static pod, with certificates for loopback by the fixture's CA.
    func startKubeadmEtcd() throws -> EtcdServer {
        let pki = "/etc/kubernetes/pki"
        let authority = Pair(certificate: "\(pki)/etcd/ca.crt", key: "\(pki)/etcd/ca.key")
        let server = try issue("\(pki)/etcd/server", "/CN=cp0", by: authority, names: Self.loopback)
        try issue("\(pki)/etcd/peer", "/CN=cp0", by: authority, names: Self.loopback)
        try issue("\(pki)/etcd/healthcheck-client", "/CN=kube-etcd-healthcheck-client", by: authority)
        let client = try issue("\(pki)/apiserver-etcd-client", "/CN=kube-apiserver-etcd-client", by: authority)
        let etcd = try startEtcd(ca: authority.certificate, server: server, client: client)
        try shell(
            #"""
            cd "$1/etc/kubernetes/manifests"
            sed -i -e "s#https://127.0.0.1:2379,https://192.0.2.10:2379#$3#" -e "s#https://[0-9.]*:2379#$3#" \
                -e "s#https://192.0.2.10:2380#$4#g" -e "s#=cp0#=$2#" etcd.yaml kube-apiserver.yaml
            """#, root, etcd.name, etcd.clientURL, etcd.peerURL)
        return etcd
    }

    /// Makes kubeadm's API server a client of an etcd that is no static pod.
    func useExternalEtcd(_ etcd: EtcdServer, ca: String, client: Pair) throws {
        try shell(
            #"""
            cd "$1/etc/kubernetes"
            rm -r manifests/etcd.yaml pki/etcd
            [ "$4" = /etc/kubernetes/pki/apiserver-etcd-client.crt ] || rm pki/apiserver-etcd-client.*
            sed -i -e "s#--etcd-servers=.*#--etcd-servers=$2#" -e "s#--etcd-cafile=.*#--etcd-cafile=$3#" \
                -e "s#--etcd-certfile=.*#--etcd-certfile=$4#" -e "s#--etcd-keyfile=.*#--etcd-keyfile=$5#" \
                -e 's#mountPath: /etc/ssl/certs#mountPath: /etc/ssl#' -e 's#path: /etc/ssl/certs#path: /etc/ssl#' \
                manifests/kube-apiserver.yaml
            """#, root, etcd.clientURL, ca, client.certificate, client.key)
    }
}
