import Foundation
import TestSupport

/// A server of k3s or RKE2 with real keys and certificates.
///
/// Sources: k3s 1.33, `pkg/daemons/control/deps/deps.go` (`CreateRuntimeCertFiles`, `genServerDeps`), `pkg/server/server.go`
/// (`printTokens`), `pkg/etcd/etcd.go` (`cluster`), `pkg/daemons/executor/executor.go` (`ToConfigFile`), `install.sh`;
/// RKE2 1.33, `pkg/podexecutor/staticpod.go`, `pkg/staticpod/staticpod.go`.
struct RancherTree {
    let tree: NodeTreeBuilder
    let distribution: String
    /// The data directory.
    let data: String
    /// The certificate and key of etcd itself, and of its client.
    let etcdServer: NodeTreeBuilder.Pair
    let etcdClient: NodeTreeBuilder.Pair

    var tls: String { "\(data)/server/tls" }
    var etcdCA: String { "\(tls)/etcd/server-ca.crt" }

    init(_ distribution: String = "k3s", data: String? = nil) throws {
        let tree = try NodeTreeBuilder()
        let data = data ?? "/var/lib/rancher/\(distribution)"
        let tls = "\(data)/server/tls"
        let serving = try tree.authority("\(tls)/server-ca", "\(distribution)-server-ca@1764000000")
        let clients = try tree.authority("\(tls)/client-ca", "\(distribution)-client-ca@1764000000")
        let proxy = try tree.authority("\(tls)/request-header-ca", "\(distribution)-request-header-ca@1764000000")
        let etcd = try tree.authority("\(tls)/etcd/server-ca", "etcd-server-ca@1764000000")
        let peers = try tree.authority("\(tls)/etcd/peer-ca", "etcd-peer-ca@1764000000")
        for name in ["server-ca", "client-ca"] { try tree.change("cp .\(tls)/\(name).crt .\(tls)/\(name).nochain.crt") }
        try tree.issue(
            "\(tls)/serving-kube-apiserver", "/CN=kube-apiserver", by: serving,
            names: NodeTreeBuilder.loopback + ["DNS:kubernetes.default.svc", "IP:10.43.0.1", "IP:10.0.0.11"])
        for (name, subject) in [
            ("admin", "/O=system:masters/CN=system:admin"), ("kube-apiserver", "/CN=system:apiserver"),
            ("controller", "/CN=system:kube-controller-manager"), ("scheduler", "/CN=system:kube-scheduler"),
            ("supervisor", "/O=system:masters/CN=system:\(distribution)-supervisor"),
        ] {
            try tree.issue("\(tls)/client-\(name)", subject, by: clients)
        }
        try tree.issue("\(tls)/client-auth-proxy", "/CN=system:auth-proxy", by: proxy)
        etcdClient = try tree.issue("\(tls)/etcd/client", "/CN=etcd-client", by: etcd)
        etcdServer = try tree.issue(
            "\(tls)/etcd/server-client", "/CN=etcd-server", by: etcd, names: NodeTreeBuilder.loopback)
        try tree.issue(
            "\(tls)/etcd/peer-server-client", "/CN=etcd-peer", by: peers, names: NodeTreeBuilder.loopback)
        try tree.serviceAccountKey("\(tls)/service.key")
        try tree.change("cp .\(tls)/service.key .\(tls)/service.current.key")
        (self.tree, self.distribution, self.data) = (tree, distribution, data)
        try writeServer()
        try writeAgent(clients, serving)
    }

    private func writeServer() throws {
        try tree.write("K10aabb::server:ccdd\n", to: "\(data)/server/token", mode: 0o600)
        try tree.change("cd .\(data)/server; ln -s token node-token; ln -s node-token agent-token")
        for (name, certificate) in [("admin", "admin"), ("controller", "controller"), ("scheduler", "scheduler")] {
            try tree.write(
                """
                apiVersion: v1
                clusters:
                - cluster: {server: "https://127.0.0.1:6444", certificate-authority: \(tls)/server-ca.crt}
                  name: local
                contexts:
                - context: {cluster: local, namespace: default, user: user}
                  name: Default
                current-context: Default
                kind: Config
                users:
                - name: user
                  user: {client-certificate: \(tls)/client-\(certificate).crt, client-key: \(tls)/client-\(certificate).key}
                """, to: "\(data)/server/cred/\(name).kubeconfig", mode: 0o600)
        }
        try tree.write("aa,node:cp-1,node:cp-1,\n", to: "\(data)/server/cred/passwd", mode: 0o600)
        try tree.write("psk\n", to: "\(data)/server/cred/ipsec.psk", mode: 0o600)
        try tree.write(
            "apiVersion: apiserver.k8s.io/v1beta1\nkind: EgressSelectorConfiguration\negressSelections: []\n",
            to: "\(data)/server/etc/egress-selector-config.yaml")
        try tree.write("kind: ConfigMap\n", to: "\(data)/server/manifests/coredns.yaml")
        let admin = NodeTreeBuilder.Pair(certificate: "\(tls)/client-admin.crt", key: "\(tls)/client-admin.key")
        try tree.kubeconfig(
            "/etc/rancher/\(distribution)/\(distribution).yaml", ca: "\(tls)/server-ca.crt", pair: admin)
        try tree.write("aabb\n", to: "/etc/rancher/node/password", mode: 0o600)
        try tree.write("images", to: "\(data)/agent/images/airgap.tar.zst")
    }

    private func writeAgent(_ clients: NodeTreeBuilder.Pair, _ serving: NodeTreeBuilder.Pair) throws {
        try tree.issue("\(data)/agent/client-kubelet", "/O=system:nodes/CN=system:node:cp-1", by: clients)
        try tree.issue("\(data)/agent/serving-kubelet", "/CN=cp-1", by: serving, names: ["DNS:cp-1"])
        try tree.change("cd .\(data)/agent; cp ../server/tls/client-ca.crt ../server/tls/server-ca.crt .")
    }

    /// What the etcd within the server is given, and what it leaves beside its data.
    func addEtcd(_ server: EtcdServer) throws {
        try tree.write("cp-1-1a2b3c4d", to: "\(data)/server/db/etcd/name", mode: 0o600)
        try tree.write("", to: "\(data)/server/db/etcd/member/snap/db")
        try tree.write(
            """
            advertise-client-urls: \(server.clientURL)
            client-transport-security:
              cert-file: \(etcdServer.certificate)
              client-cert-auth: true
              key-file: \(etcdServer.key)
              trusted-ca-file: \(etcdCA)
            data-dir: \(data)/server/db/etcd
            election-timeout: 5000
            heartbeat-interval: 500
            initial-advertise-peer-urls: \(server.peerURL)
            initial-cluster: \(server.name)=\(server.peerURL)
            initial-cluster-state: new
            listen-client-urls: \(server.clientURL)
            listen-peer-urls: \(server.peerURL)
            log-outputs:
            - stderr
            logger: zap
            name: \(server.name)
            peer-transport-security:
              cert-file: \(tls)/etcd/peer-server-client.crt
              client-cert-auth: true
              key-file: \(tls)/etcd/peer-server-client.key
              trusted-ca-file: \(tls)/etcd/peer-ca.crt
            """, to: "\(data)/server/db/etcd/config", mode: 0o600)
    }

    func startEtcd() throws -> EtcdServer {
        try tree.startEtcd(ca: etcdCA, server: etcdServer, client: etcdClient)
    }

    /// The unit of k3s' installer with arguments over several lines.
    func addUnit(_ arguments: [String] = ["server"], variables: String = "") throws {
        let unit = "/etc/systemd/system/\(distribution).service"
        try tree.write(
            """
            [Unit]
            Description=Lightweight Kubernetes
            [Service]
            Type=notify
            EnvironmentFile=-/etc/default/%N
            EnvironmentFile=-/etc/sysconfig/%N
            EnvironmentFile=-\(unit).env
            ExecStartPre=-/sbin/modprobe overlay
            ExecStart=/usr/local/bin/\(distribution) \\
                \(arguments.joined(separator: " \\\n\t")) \\

            [Install]
            WantedBy=multi-user.target
            """, to: unit)
        try tree.write(variables, to: "\(unit).env", mode: 0o600)
        try tree.change(
            "mkdir -p etc/systemd/system/multi-user.target.wants; ln -s \(unit) etc/systemd/system/multi-user.target.wants"
        )
    }

    /// The service of k3s' installer on Alpine.
    func addOpenRCService(_ arguments: [String] = ["server"], variables: String = "") throws {
        try tree.write(
            """
            #!/sbin/openrc-run

            depend() {
                after network-online
                want cgroups
            }

            start_pre() {
                rm -f /tmp/k3s.*
            }

            supervisor=supervise-daemon
            name=k3s
            command="/usr/local/bin/k3s"
            command_args="\(arguments.joined(separator: " \\\n\t"))
                >>/var/log/k3s.log 2>&1"

            output_log=/var/log/k3s.log
            error_log=/var/log/k3s.log

            pidfile="/var/run/k3s.pid"
            respawn_delay=5
            respawn_max=0

            set -o allexport
            if [ -f /etc/environment ]; then . /etc/environment; fi
            if [ -f /etc/rancher/k3s/k3s.env ]; then . /etc/rancher/k3s/k3s.env; fi
            set +o allexport
            """, to: "/etc/init.d/k3s", mode: 0o755)
        try tree.write(variables, to: "/etc/rancher/k3s/k3s.env", mode: 0o600)
    }

    // MARK: RKE2

    /// The static pods of RKE2; that of etcd has nothing but its configuration file.
    func addStaticPods(etcdServers: String) throws {
        try pod(
            "etcd", ["--config-file=\(data)/server/db/etcd/config"], mounts: ["\(data)/server/db/etcd", "\(tls)/etcd"])
        try pod(
            "kube-apiserver",
            [
                "--advertise-address=10.0.0.11", "--audit-log-path=\(data)/server/logs/audit.log",
                "--client-ca-file=\(tls)/client-ca.crt", "--etcd-cafile=\(etcdCA)",
                "--etcd-certfile=\(etcdClient.certificate)", "--etcd-keyfile=\(etcdClient.key)",
                "--etcd-servers=\(etcdServers)", "--kubelet-certificate-authority=\(tls)/server-ca.crt",
                "--kubelet-client-certificate=\(tls)/client-kube-apiserver.crt",
                "--kubelet-client-key=\(tls)/client-kube-apiserver.key",
                "--proxy-client-cert-file=\(tls)/client-auth-proxy.crt",
                "--proxy-client-key-file=\(tls)/client-auth-proxy.key",
                "--requestheader-client-ca-file=\(tls)/request-header-ca.crt",
                "--service-account-key-file=\(tls)/service.key",
                "--service-account-signing-key-file=\(tls)/service.current.key",
                "--service-cluster-ip-range=10.43.0.0/16", "--tls-cert-file=\(tls)/serving-kube-apiserver.crt",
                "--tls-private-key-file=\(tls)/serving-kube-apiserver.key",
                "--egress-selector-config-file=\(data)/server/etc/egress-selector-config.yaml",
            ], mounts: ["\(data)/server"])
        try pod(
            "kube-controller-manager",
            [
                "--cluster-signing-kube-apiserver-client-cert-file=\(tls)/client-ca.nochain.crt",
                "--cluster-signing-kube-apiserver-client-key-file=\(tls)/client-ca.key",
                "--cluster-signing-kubelet-serving-cert-file=\(tls)/server-ca.nochain.crt",
                "--cluster-signing-kubelet-serving-key-file=\(tls)/server-ca.key",
                "--kubeconfig=\(data)/server/cred/controller.kubeconfig", "--root-ca-file=\(tls)/server-ca.crt",
                "--service-account-private-key-file=\(tls)/service.current.key",
            ], mounts: ["\(data)/server"])
        try pod(
            "kube-scheduler", ["--kubeconfig=\(data)/server/cred/scheduler.kubeconfig"], mounts: ["\(data)/server"])
    }

    private func pod(_ name: String, _ arguments: [String], mounts: [String]) throws {
        let list = arguments.map { "\n    - \($0)" }.joined()
        let volumeMounts = mounts.enumerated().map { "\n    - {name: dir\($0.offset), mountPath: \($0.element)}" }
            .joined()
        let volumes = mounts.enumerated().map {
            "\n  - {name: dir\($0.offset), hostPath: {path: \($0.element), type: DirectoryOrCreate}}"
        }.joined()
        try tree.write(
            """
            apiVersion: v1
            kind: Pod
            metadata: {name: \(name), namespace: kube-system}
            spec:
              containers:
              - name: \(name)
                image: index.docker.io/rancher/hardened-kubernetes:v1.33.0-rke2r1
                command: [\(name)]
                args:\(list)
                env: [{name: FILE_HASH, value: aabb}, {name: NO_PROXY, value: .svc}]
                volumeMounts:\(volumeMounts)
              hostNetwork: true
              volumes:\(volumes)
            """, to: "\(data)/agent/pod-manifests/\(name).yaml", mode: 0o600)
    }
}
