/// What the flags of control-plane components name.
enum FlagTable {
    /// What the value of a flag is.
    enum Use: Equatable {
        /// A file or directory that the component reads.
        case path(CaptureClass)
        /// Something that it writes or listens on, which no backup needs, and why.
        case output(String)
        /// A file or a directory that it writes: a log, a profile; what is rotated out of it stands beside it.
        case writtenFile(String)
        /// `certificate,key:name,...`.
        case certificatePair
        /// `jwt,pub-key=...,priv-key=...`.
        case etcdToken
        /// Flags for another component: `k3s server --kube-apiserver-arg=flag=value`.
        case arguments(of: String)
        /// The same with all of them in one value, as a shell has them: `k0s controller --kubelet-extra-args="--a=b --c"`.
        case argumentLine(of: String)
        /// `SOURCE:DESTINATION`, a path of the node that a component's pod sees.
        case mount
    }

    /// The use of a flag of a component; nil if it is not known.
    static func use(of flag: String, component: String) -> Use? {
        if let use = specific[component]?[flag] { return use }
        return component == "etcd" ? nil : common[flag]
    }

    /// Flags that mean the same wherever they occur.
    ///
    /// Source: Kubernetes 1.36: `apiserver/pkg/server/options` (serving, authentication, authorization, etcd, audit,
    /// admission, encryption and egress options), `kube-apiserver/app/options`, `pkg/kubeapiserver/options`,
    /// `kube-controller-manager/app/options`, `kubelet/app/options`, `cloud-provider/options`.
    private static let common: [String: Use] = {
        var table: [String: Use] = [:]
        func add(_ captureClass: CaptureClass, _ flags: String...) {
            for flag in flags { table[flag] = .path(captureClass) }
        }
        add(
            .caCertificate, "client-ca-file", "etcd-cafile", "kubelet-certificate-authority",
            "requestheader-client-ca-file",
            "oidc-ca-file", "peer-ca-file", "cluster-signing-cert-file", "root-ca-file", "cluster-ca-cert",
            "cluster-signing-kubelet-client-cert-file", "cluster-signing-kubelet-serving-cert-file",
            "cluster-signing-kube-apiserver-client-cert-file", "cluster-signing-legacy-unknown-cert-file",
            "server-ca-cert", "datastore-cafile")
        add(
            .caKey, "cluster-signing-key-file", "cluster-signing-kubelet-client-key-file",
            "cluster-signing-kubelet-serving-key-file", "cluster-signing-kube-apiserver-client-key-file",
            "cluster-signing-legacy-unknown-key-file")
        add(
            .certificate, "tls-cert-file", "etcd-certfile", "kubelet-client-certificate", "proxy-client-cert-file",
            "cert-dir",
            "server-cert", "cluster-cert", "datastore-certfile")
        add(
            .privateKey, "tls-private-key-file", "etcd-keyfile", "kubelet-client-key", "proxy-client-key-file",
            "server-key",
            "cluster-key", "datastore-keyfile")
        add(
            .serviceAccountKey, "service-account-key-file", "service-account-signing-key-file",
            "service-account-private-key-file")
        add(.kubeconfig, "kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig", "bootstrap-kubeconfig")
        add(.encryptionConfiguration, "encryption-provider-config", "experimental-encryption-provider-config")
        add(.auditPolicy, "audit-policy-file", "audit-webhook-config-file")
        add(.admissionConfiguration, "admission-control-config-file")
        add(
            .authenticationConfiguration, "authentication-config", "token-auth-file",
            "authentication-token-webhook-config-file", "basic-auth-file")
        add(
            .authorizationConfiguration, "authorization-config", "authorization-policy-file",
            "authorization-webhook-config-file")
        add(.cloudProvider, "cloud-config")
        add(.egressSelector, "egress-selector-config-file")
        add(.joinToken, "token-file", "agent-token-file")
        add(
            .component, "tracing-config-file", "policy-config-file", "pv-recycler-pod-template-filepath-nfs",
            "pv-recycler-pod-template-filepath-hostpath", "openshift-config", "config")
        table["tls-sni-cert-key"] = .certificatePair
        let outputs = [
            "flex-volume-plugin-dir": "programs", "volume-plugin-dir": "programs", "uds-name": "a socket",
            "service-account-signing-endpoint": "a socket", "container-runtime-endpoint": "a socket",
            "image-service-endpoint": "a socket",
        ]
        for (flag, reason) in outputs { table[flag] = .output(reason) }
        let written = [
            "audit-log-path": "a log", "log-file": "a log", "log-dir": "logs", "pod-logs-dir": "logs",
            "write-config-to": "written by the component", "lock-file": "a lock", "pid-file": "a process number",
            "profile-output": "a profile", "cpuprofile": "a profile", "memprofile": "a profile",
            "blockprofile": "a profile", "mutexprofile": "a profile", "trace-output": "a trace",
            "termination-log-file": "a log",
        ]
        for (flag, reason) in written { table[flag] = .writtenFile(reason) }
        return table
    }()

    private static let specific: [String: [String: Use]] = [
        "etcd": etcd, "kubelet": kubelet, "k3s": rancher, "rke2": rancher, "k0s": k0s,
    ]

    /// Source: etcd 3.6, `server/embed/config.go` and `server/etcdmain/help.go`.
    private static let etcd: [String: Use] = [
        "cert-file": .path(.certificate), "key-file": .path(.privateKey), "client-cert-file": .path(.certificate),
        "client-key-file": .path(.privateKey), "trusted-ca-file": .path(.caCertificate),
        "peer-cert-file": .path(.certificate), "peer-key-file": .path(.privateKey),
        "peer-client-cert-file": .path(.certificate), "peer-client-key-file": .path(.privateKey),
        "peer-trusted-ca-file": .path(.caCertificate), "client-crl-file": .path(.etcdConfiguration),
        "peer-crl-file": .path(.etcdConfiguration), "config-file": .path(.etcdConfiguration), "auth-token": .etcdToken,
        "data-dir": .output(PathPolicy.etcdData), "wal-dir": .output(PathPolicy.etcdData),
        "log-outputs": .writtenFile("a log"),
    ]

    /// Source: Kubernetes 1.36, `cmd/kubelet/app/options/options.go`.
    private static let kubelet: [String: Use] = [
        "config": .path(.kubeletConfiguration), "config-dir": .path(.kubeletConfiguration),
        "cert-dir": .path(.kubeletPKI),
        "tls-cert-file": .path(.kubeletPKI), "tls-private-key-file": .path(.kubeletPKI),
        "pod-manifest-path": .path(.staticPod), "image-credential-provider-config": .path(.cloudProvider),
        "image-credential-provider-bin-dir": .output("programs"), "root-dir": .output("the state of pods"),
        "resolv-conf": .path(.network),
    ]

    /// Source: k3s, `pkg/cli/cmds/server.go` and `agent.go`; RKE2 has the same flags, and mounts (`pkg/cli/cmds/root.go`).
    private static let rancher: [String: Use] = [
        "kube-apiserver-extra-mount": .mount, "kube-controller-manager-extra-mount": .mount,
        "kube-scheduler-extra-mount": .mount, "kube-proxy-extra-mount": .mount, "etcd-extra-mount": .mount,
        "cloud-controller-manager-extra-mount": .mount,
        "config": .path(.distribution), "private-registry": .path(.containerRuntime),
        "data-dir": .output("of known layout"),
        "vpn-auth-file": .path(.joinToken), "tls-cert-file": .path(.certificate),
        "write-kubeconfig": .path(.kubeconfig),
        "kube-apiserver-arg": .arguments(of: "kube-apiserver"),
        "kube-controller-manager-arg": .arguments(of: "kube-controller-manager"),
        "kube-scheduler-arg": .arguments(of: "kube-scheduler"), "kubelet-arg": .arguments(of: "kubelet"),
        "kube-proxy-arg": .arguments(of: "kube-proxy"),
        "kube-cloud-controller-manager-arg": .arguments(of: "cloud-controller-manager"),
        "etcd-arg": .arguments(of: "etcd"), "audit-policy-file": .path(.auditPolicy),
        "pod-security-admission-config-file": .path(.admissionConfiguration),
        "cloud-provider-config": .path(.cloudProvider), "log": .writtenFile("a log"),
        "alsologtostderr": .output("no file"), "etcd-snapshot-dir": .writtenFile("snapshots of etcd"),
        "datastore-endpoint": .output("no file"),
    ]

    /// Source: k0s, `pkg/config/cli.go`.
    private static let k0s: [String: Use] = [
        "config": .path(.distribution), "data-dir": .output("of known layout"), "token-file": .path(.joinToken),
        "status-socket": .output("a socket"), "kubelet-root-dir": .output("the state of pods"),
        "logfile": .writtenFile("a log"), "etcd-arg": .arguments(of: "etcd"), "datastore-endpoint": .output("no file"),
        "kube-apiserver-arg": .arguments(of: "kube-apiserver"), "kube-scheduler-arg": .arguments(of: "kube-scheduler"),
        "kube-controller-manager-arg": .arguments(of: "kube-controller-manager"),
        "kubelet-extra-args": .argumentLine(of: "kubelet"),
        "kube-controller-manager-extra-args": .argumentLine(of: "kube-controller-manager"),
    ]
}
