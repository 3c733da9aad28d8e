import Foundation
import TestSupport

/// A k0s controller with real keys and certificates.
///
/// Source: k0s 1.33, `pkg/component/controller/certificates.go`, `pkg/component/controller/etcd.go` (`setupCerts`),
/// `pkg/config/cfgvars.go`, `pkg/apis/k0s/v1beta1/storage.go`, `pkg/install/service.go` (units of kardianos/service).
struct K0sTree {
    let tree: NodeTreeBuilder
    let data: String
    let etcdCA: NodeTreeBuilder.Pair
    let etcdServer: NodeTreeBuilder.Pair
    let etcdClient: NodeTreeBuilder.Pair

    init(data: String = "/var/lib/k0s") throws {
        tree = try NodeTreeBuilder()
        self.data = data
        let pki = "\(data)/pki"
        let authority = try tree.authority("\(pki)/ca", "kubernetes-ca")
        let proxy = try tree.authority("\(pki)/front-proxy-ca", "kubernetes-front-proxy-ca")
        etcdCA = try tree.authority("\(pki)/etcd/ca", "etcd-ca")
        try tree.issue(
            "\(pki)/server", "/O=kubernetes/CN=kubernetes", by: authority,
            names: NodeTreeBuilder.loopback + ["DNS:kubernetes.default.svc"])
        let admin = try tree.issue("\(pki)/admin", "/O=system:masters/CN=kubernetes-admin", by: authority)
        try tree.issue(
            "\(pki)/apiserver-kubelet-client", "/O=system:masters/CN=apiserver-kubelet-client", by: authority)
        try tree.issue("\(pki)/front-proxy-client", "/O=front-proxy-client/CN=front-proxy-client", by: proxy)
        etcdServer = try tree.issue(
            "\(pki)/etcd/server", "/O=etcd-server/CN=etcd-server", by: etcdCA, names: NodeTreeBuilder.loopback)
        try tree.issue("\(pki)/etcd/peer", "/O=etcd-peer/CN=10.0.0.1", by: etcdCA, names: ["IP:10.0.0.1"])
        etcdClient = try tree.issue(
            "\(pki)/apiserver-etcd-client", "/O=apiserver-etcd-client/CN=apiserver-etcd-client", by: etcdCA)
        try tree.serviceAccountKey("\(pki)/sa.key", public: "\(pki)/sa.pub")
        try tree.serviceAccountKey("\(pki)/etcd/jwt.key", public: "\(pki)/etcd/jwt.pub")
        try tree.kubeconfig("\(pki)/admin.conf", ca: "\(pki)/ca.crt", pair: admin)
        try tree.write("kind: ConfigMap\n", to: "\(data)/manifests/calico/a.yaml")
        try tree.write("program", to: "\(data)/bin/etcd", mode: 0o755)
        try tree.write("images", to: "\(data)/images/bundle.tar")
        // k0s' service has its arguments in quotes where they need them.
        let moved = data == "/var/lib/k0s" ? "" : " --data-dir=\"\(data)\""
        try tree.write(
            """
            [Unit]
            Description=k0s - Zero Friction Kubernetes
            [Service]
            StartLimitInterval=5
            ExecStart=/usr/local/bin/k0s controller --config=/etc/k0s/k0s.yaml\(moved)
            Restart=always
            """, to: "/etc/systemd/system/k0scontroller.service")
    }

    /// Writes the configuration with what stands below `spec.storage`.
    func configure(storage: String) throws {
        try tree.write(
            "apiVersion: k0s.k0sproject.io/v1beta1\nkind: ClusterConfig\nmetadata: {name: k0s}\nspec:\n  storage: \(storage)\n",
            to: "/etc/k0s/k0s.yaml", mode: 0o600)
    }
}

/// A MicroShift node with real keys and certificates.
///
/// Source: MicroShift 4.18, `pkg/util/cryptomaterial/certpaths.go`, `pkg/cmd/init.go`, `etcd/cmd/microshift-etcd/run.go`,
/// `packaging/systemd/microshift.service`.
struct MicroShiftTree {
    let tree: NodeTreeBuilder
    let etcdCA: NodeTreeBuilder.Pair
    let etcdServer: NodeTreeBuilder.Pair
    let etcdClient: NodeTreeBuilder.Pair

    init() throws {
        tree = try NodeTreeBuilder()
        let certificates = "/var/lib/microshift/certs"
        for (signer, leaf) in [
            ("kube-control-plane-signer", "kube-controller-manager"),
            ("admin-kubeconfig-signer", "admin-kubeconfig-client"),
            ("aggregator-signer", "aggregator-client"), ("kubelet-csr-signer-signer/csr-signer", "kubelet-client"),
        ] {
            let authority = try tree.authority(
                "\(certificates)/\(signer)/ca", signer.split(separator: "/").last.map(String.init) ?? signer)
            try tree.issue("\(certificates)/\(signer)/\(leaf)/client", "/CN=\(leaf)", by: authority)
        }
        let serving = try tree.authority(
            "\(certificates)/kube-apiserver-service-network-signer/ca", "kube-apiserver-service-network-signer")
        try tree.issue(
            "\(certificates)/kube-apiserver-service-network-signer/kube-apiserver-service-network-serving/server",
            "/CN=10.43.0.1", by: serving, names: ["IP:10.43.0.1", "DNS:kubernetes.default.svc"])
        etcdCA = try tree.authority("\(certificates)/etcd-signer/ca", "etcd-signer")
        etcdClient = try tree.issue(
            "\(certificates)/etcd-signer/apiserver-etcd-client/client", "/O=etcd/CN=etcd", by: etcdCA)
        etcdServer = try tree.issue(
            "\(certificates)/etcd-signer/etcd-serving/peer", "/O=system:etcd-servers/CN=system:etcd-server", by: etcdCA,
            names: NodeTreeBuilder.loopback)
        try tree.change(
            "mkdir -p .\(certificates)/ca-bundle; cat .\(certificates)/*/ca.crt >.\(certificates)/ca-bundle/client-ca.crt"
        )
        let admin = NodeTreeBuilder.Pair(
            certificate: "\(certificates)/admin-kubeconfig-signer/admin-kubeconfig-client/client.crt",
            key: "\(certificates)/admin-kubeconfig-signer/admin-kubeconfig-client/client.key")
        try tree.kubeconfig(
            "/var/lib/microshift/resources/kubeadmin/kubeconfig", ca: "\(serving.certificate)", pair: admin)
        try tree.serviceAccountKey(
            "/var/lib/microshift/resources/kube-apiserver/secrets/service-account-key/service-account.key",
            public: "/var/lib/microshift/resources/kube-apiserver/secrets/service-account-key/service-account.pub")
        try tree.write("{\"version\":\"4.18.0\"}", to: "/var/lib/microshift/version")
        try tree.write("node: {hostnameOverride: edge-1}\n", to: "/etc/microshift/config.yaml")
        try tree.write(
            "[Service]\nExecStart=microshift run\nUser=root\n", to: "/usr/lib/systemd/system/microshift.service")
        try tree.write("", to: "/var/lib/microshift/etcd/member/snap/db")
    }
}

/// A control-plane node of OpenShift with real keys and certificates.
///
/// Sources: openshift/cluster-etcd-operator 4.18, `bindata/etcd/pod.gotpl.yaml` and `pkg/etcdenvvar`;
/// openshift/cluster-kube-apiserver-operator 4.18, `bindata/assets/kube-apiserver/pod.yaml` and
/// `bindata/assets/config/defaultconfig.yaml`; openshift/library-go, `pkg/operator/staticpod/installerpod`.
struct OpenShiftTree {
    let tree: NodeTreeBuilder
    let etcdServer: NodeTreeBuilder.Pair
    let etcdClient: NodeTreeBuilder.Pair
    static let resources = "/etc/kubernetes/static-pod-resources"
    let etcdCA = "\(resources)/etcd-certs/configmaps/etcd-all-bundles/server-ca-bundle.crt"

    init() throws {
        tree = try NodeTreeBuilder()
        let resources = Self.resources
        // The signers' keys are secrets in the cluster, not files of the node.
        let signer = try tree.authority("/signers/etcd", "openshift-etcd_etcd-signer@1764000000")
        let clients = try tree.authority("/signers/client", "kube-control-plane-signer")
        let serving = try tree.authority("/signers/serving", "kube-apiserver-service-network-signer")
        let certificates = "\(resources)/etcd-certs/secrets/etcd-all-certs"
        etcdServer = try tree.issue(
            "\(certificates)/etcd-serving-master-0", "/O=system:etcd-servers/CN=system:etcd-server:etcd-client",
            by: signer,
            names: NodeTreeBuilder.loopback)
        try tree.issue(
            "\(certificates)/etcd-peer-master-0", "/O=system:etcd-peers/CN=system:etcd-peer:etcd-client", by: signer,
            names: NodeTreeBuilder.loopback)
        let api = "\(resources)/kube-apiserver-pod-7"
        let pod = try tree.issue("\(api)/secrets/etcd-client/tls", "/O=system:etcd/CN=etcd", by: signer)
        etcdClient = pod
        try tree.issue("\(api)/secrets/kubelet-client/tls", "/CN=system:kube-apiserver", by: clients)
        try tree.issue(
            "\(resources)/kube-apiserver-certs/secrets/service-network-serving-certkey/tls", "/CN=172.30.0.1",
            by: serving,
            names: ["IP:172.30.0.1", "DNS:kubernetes.default.svc"])
        try tree.serviceAccountKey(
            "\(resources)/kube-apiserver-certs/secrets/bound-service-account-signing-key/service-account.key")
        try addKubelet(clients)
        try tree.change(
            """
            mkdir -p .\(resources)/etcd-certs/configmaps/etcd-all-bundles .\(api)/configmaps/etcd-serving-ca \
                .\(resources)/kube-apiserver-certs/configmaps/client-ca
            cp signers/etcd.crt .\(resources)/etcd-certs/configmaps/etcd-all-bundles/server-ca-bundle.crt
            cp signers/etcd.crt .\(api)/configmaps/etcd-serving-ca/ca-bundle.crt
            cp signers/client.crt .\(resources)/kube-apiserver-certs/configmaps/client-ca/ca-bundle.crt
            cp signers/serving.crt .\(resources)/kube-apiserver-certs/secrets/service-network-serving-certkey/ca.crt
            rm -r signers; mkdir -p var/lib/etcd/member/snap; : >var/lib/etcd/member/snap/db
            """)
    }

    /// Source: openshift/machine-config-operator 4.18, `templates/master/01-master-kubelet/_base`.
    private func addKubelet(_ authority: NodeTreeBuilder.Pair) throws {
        let current = "/var/lib/kubelet/pki/kubelet-client-current"
        let pair = try tree.issue(current, "/O=system:nodes/CN=system:node:master-0", by: authority)
        try tree.kubeconfig("/var/lib/kubelet/kubeconfig", ca: authority.certificate, pair: pair)
        try tree.write(
            "kind: KubeletConfiguration\napiVersion: kubelet.config.k8s.io/v1beta1\nstaticPodPath: /etc/kubernetes/manifests\n"
                + "rotateCertificates: true\nserverTLSBootstrap: true\n", to: "/etc/kubernetes/kubelet.conf")
        try tree.write(
            """
            [Service]
            Type=notify
            ExecStartPre=/bin/rm -f /var/lib/kubelet/memory_manager_state
            EnvironmentFile=/etc/os-release
            EnvironmentFile=-/etc/kubernetes/kubelet-workaround
            EnvironmentFile=-/etc/kubernetes/kubelet-env
            ExecStart=/usr/local/bin/kubenswrapper \\
                /usr/bin/kubelet \\
                  --config=/etc/kubernetes/kubelet.conf \\
                  --bootstrap-kubeconfig=/etc/kubernetes/kubeconfig \\
                  --kubeconfig=/var/lib/kubelet/kubeconfig \\
                  --node-labels=node-role.kubernetes.io/master,node.openshift.io/os_id=${ID} \\
                  --volume-plugin-dir=/etc/kubernetes/kubelet-plugins/volume/exec \\
                  --v=${KUBELET_LOG_LEVEL}
            """, to: "/etc/systemd/system/kubelet.service")
    }

    func addPods(_ etcd: EtcdServer) throws {
        let node = "master_0"
        try tree.write(
            """
            apiVersion: v1
            kind: Pod
            metadata: {name: etcd, namespace: openshift-etcd}
            spec:
              initContainers:
              - name: etcd-ensure-env-vars
                command:
                - /bin/sh
                - -c
                - |
                  #!/bin/sh
                  set -euo pipefail
                  : "${NODE_\(node)_ETCD_URL_HOST?not set}"
                  if [[ "${NODE_\(node)_IP}" != "${NODE_IP}" ]]; then
                    exit 1
                  fi
                env:
                - {name: NODE_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
              containers:
              - name: etcdctl
                command: ["/bin/bash", "-c", "trap TERM INT; sleep infinity & wait"]
              - name: etcd
                command:
                - /bin/sh
                - -c
                - |
                  #!/bin/sh
                  set -euo pipefail

                  etcdctl member list || true

                  ETCD_INITIAL_CLUSTER=$(discover-etcd-initial-cluster \\
                    --cacert=/etc/kubernetes/static-pod-certs/configmaps/etcd-all-bundles/server-ca-bundle.crt \\
                    --endpoints=${ALL_ETCD_ENDPOINTS} \\
                    --data-dir=/var/lib/etcd \\
                    --target-name=master-0)
                  export ETCD_INITIAL_CLUSTER

                  echo -n "Waiting for ports 2379, 2380 and 9978 to be released."
                  time while [ -n "$(ss -Htan '( sport = 2379 or sport = 2380 or sport = 9978 )')" ]; do
                    echo -n "."
                    sleep 1
                  done

                  export ETCD_NAME=${NODE_\(node)_ETCD_NAME}
                  env | grep ETCD | grep -v NODE

                  set -x
                  exec nice -n -19 ionice -c2 -n0 etcd \\
                    --logger=zap \\
                    --initial-advertise-peer-urls=http://${NODE_\(node)_IP}:\(etcd.peerPort) \\
                    --cert-file=/etc/kubernetes/static-pod-certs/secrets/etcd-all-certs/etcd-serving-master-0.crt \\
                    --key-file=/etc/kubernetes/static-pod-certs/secrets/etcd-all-certs/etcd-serving-master-0.key \\
                    --trusted-ca-file=/etc/kubernetes/static-pod-certs/configmaps/etcd-all-bundles/server-ca-bundle.crt \\
                    --client-cert-auth=true \\
                    --peer-cert-file=/etc/kubernetes/static-pod-certs/secrets/etcd-all-certs/etcd-peer-master-0.crt \\
                    --peer-key-file=/etc/kubernetes/static-pod-certs/secrets/etcd-all-certs/etcd-peer-master-0.key \\
                    --peer-trusted-ca-file=/etc/kubernetes/static-pod-certs/configmaps/etcd-all-bundles/server-ca-bundle.crt \\
                    --advertise-client-urls=https://${NODE_\(node)_IP}:\(etcd.clientPort) \\
                    --listen-client-urls=https://0.0.0.0:\(etcd.clientPort),unixs://${NODE_\(node)_IP}:0 \\
                    --listen-metrics-urls=https://0.0.0.0:9978 ||  mv /etc/kubernetes/etcd-backup-dir/etcd-member.yaml /etc/kubernetes/manifests
                env:
                - {name: NODE_\(node)_ETCD_NAME, value: \(etcd.name)}
                - {name: NODE_\(node)_ETCD_URL_HOST, value: 127.0.0.1}
                - {name: NODE_\(node)_IP, value: 127.0.0.1}
                - {name: ETCD_STATIC_POD_VERSION, value: "7"}
                - {name: ETCD_DATA_DIR, value: /var/lib/etcd}
                volumeMounts:
                - {mountPath: /etc/kubernetes/manifests, name: static-pod-dir}
                - {mountPath: /etc/kubernetes/static-pod-resources, name: resource-dir}
                - {mountPath: /etc/kubernetes/static-pod-certs, name: cert-dir}
                - {mountPath: /var/lib/etcd/, name: data-dir}
              - name: etcd-metrics
                command:
                - /bin/sh
                - -c
                - |
                  #!/bin/sh
                  export ETCD_NAME=${NODE_\(node)_ETCD_NAME}
                  exec nice -n -18 etcd grpc-proxy start \\
                    --endpoints https://${NODE_\(node)_ETCD_URL_HOST}:9978 \\
                    --listen-addr 127.0.0.1:9977 \\
                    --advertise-client-url ""  \\
                    --key /etc/kubernetes/static-pod-certs/secrets/etcd-all-certs/etcd-peer-master-0.key
                volumeMounts:
                - {mountPath: /etc/kubernetes/static-pod-certs, name: cert-dir}
              hostNetwork: true
              volumes:
              - {hostPath: {path: /etc/kubernetes/manifests}, name: static-pod-dir}
              - {hostPath: {path: \(Self.resources)/etcd-pod-7}, name: resource-dir}
              - {hostPath: {path: \(Self.resources)/etcd-certs}, name: cert-dir}
              - {hostPath: {path: /var/lib/etcd, type: ""}, name: data-dir}
              - {hostPath: {path: /usr/local/bin}, name: usr-local-bin}
              - {hostPath: {path: /var/log/etcd}, name: log-dir}
            """, to: "/etc/kubernetes/manifests/etcd-pod.yaml", mode: 0o600)
        try addAPIServer(etcd)
    }

    private func addAPIServer(_ etcd: EtcdServer) throws {
        try tree.write(
            """
            {"apiVersion":"v1","kind":"Pod","metadata":{"name":"kube-apiserver","namespace":"openshift-kube-apiserver"},
            "spec":{"containers":[{"name":"kube-apiserver","command":["/bin/bash","-ec"],"args":[
            "LOCK=/var/log/kube-apiserver/.lock\\nexec {LOCK_FD}>${LOCK} && flock --verbose -w 30 \\"${LOCK_FD}\\"\\nif [ -f x ]; then\\n  cp -f a b\\nfi\\nexec watch-termination --termination-touch-file=/var/log/kube-apiserver/.terminating --termination-log-file=/var/log/kube-apiserver/termination.log --graceful-termination-duration=135s --kubeconfig=/etc/kubernetes/static-pod-resources/configmaps/kube-apiserver-cert-syncer-kubeconfig/kubeconfig -- hyperkube kube-apiserver --openshift-config=/etc/kubernetes/static-pod-resources/configmaps/config/config.yaml --advertise-address=${HOST_IP} -v=2 --permit-address-sharing"],
            "env":[{"name":"HOST_IP","valueFrom":{"fieldRef":{"fieldPath":"status.hostIP"}}}],
            "volumeMounts":[{"mountPath":"/etc/kubernetes/static-pod-resources","name":"resource-dir"},
            {"mountPath":"/etc/kubernetes/static-pod-certs","name":"cert-dir"},{"mountPath":"/var/log/kube-apiserver","name":"audit-dir"}]}],
            "volumes":[{"hostPath":{"path":"\(Self.resources)/kube-apiserver-pod-7"},"name":"resource-dir"},
            {"hostPath":{"path":"\(Self.resources)/kube-apiserver-certs"},"name":"cert-dir"},
            {"hostPath":{"path":"/var/log/kube-apiserver"},"name":"audit-dir"}]}}
            """, to: "/etc/kubernetes/manifests/kube-apiserver-pod.yaml", mode: 0o600)
        try tree.write(
            """
            {"kind":"KubeAPIServerConfig","apiVersion":"kubecontrolplane.config.openshift.io/v1","apiServerArguments":{
            "audit-log-path":["/var/log/kube-apiserver/audit.log"],
            "client-ca-file":["/etc/kubernetes/static-pod-certs/configmaps/client-ca/ca-bundle.crt"],
            "etcd-cafile":["/etc/kubernetes/static-pod-resources/configmaps/etcd-serving-ca/ca-bundle.crt"],
            "etcd-certfile":["/etc/kubernetes/static-pod-resources/secrets/etcd-client/tls.crt"],
            "etcd-keyfile":["/etc/kubernetes/static-pod-resources/secrets/etcd-client/tls.key"],
            "etcd-servers":["\(etcd.clientURL)"],
            "kubelet-client-certificate":["/etc/kubernetes/static-pod-resources/secrets/kubelet-client/tls.crt"],
            "kubelet-client-key":["/etc/kubernetes/static-pod-resources/secrets/kubelet-client/tls.key"],
            "service-account-signing-key-file":["/etc/kubernetes/static-pod-certs/secrets/bound-service-account-signing-key/service-account.key"],
            "service-cluster-ip-range":["172.30.0.0/16"],
            "tls-cert-file":["/etc/kubernetes/static-pod-certs/secrets/service-network-serving-certkey/tls.crt"],
            "tls-private-key-file":["/etc/kubernetes/static-pod-certs/secrets/service-network-serving-certkey/tls.key"]}}
            """, to: "\(Self.resources)/kube-apiserver-pod-7/configmaps/config/config.yaml", mode: 0o600)
    }
}
