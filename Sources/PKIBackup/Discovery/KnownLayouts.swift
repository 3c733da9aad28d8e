import HostIO
import NodeFiles
import YAML

/// Where distributions keep what their control planes are made of.
struct KnownLayout {
    /// The distribution's name.
    var distribution: String
    /// Any of these paths tells that it is this distribution.
    var markers: [String]
    /// What is captured, as far as it is there; a last component with `*` in front is an ending of names.
    var paths: [(path: String, captureClass: CaptureClass)]
    /// What is left out of that, and why.
    var excluded: [(path: String, reason: String)] = []
    /// Directories whose files are only listed: images that a host without a registry starts from.
    var imageDirectories: [String] = []

    /// Every layout, with the data directories of k3s, RKE2 and k0s as they are configured on this node.
    static func all(dataDirectory: (_ distribution: String) -> String) -> [KnownLayout] {
        [
            kubeadm, kubespray, openShift, rancher("k3s", dataDirectory("k3s")), rancher("rke2", dataDirectory("rke2")),
            k0s(dataDirectory("k0s")), microShift, microK8s, canonical,
        ]
    }

    /// Whether something tells of a control plane of another kind; configurations that are read by nothing do not.
    static func hasOther(than distribution: String, _ root: NodeRoot) -> Bool {
        let weak = ["/etc/rancher", "/etc/k0s", "/etc/microshift"]
        return all { standardDataDirectories[$0] ?? "/var/lib/\($0)" }.contains { layout in
            layout.distribution != distribution
                && layout.markers.contains { marker in
                    !weak.contains { isPath(marker, atOrBelow: $0) } && root.hasEntry(marker)
                }
        }
    }

    /// Where distributions have their data unless they are told otherwise.
    static let standardDataDirectories = [
        "k3s": "/var/lib/rancher/k3s", "rke2": "/var/lib/rancher/rke2", "k0s": "/var/lib/k0s",
    ]

    /// Source: kubeadm 1.36, `app/constants`: `KubernetesDir`, `TempDir`, `KubeletEnvFileName`.
    private static let kubeadm = KnownLayout(
        distribution: "kubeadm",
        markers: [
            "/etc/kubernetes/admin.conf", "/etc/kubernetes/super-admin.conf", "/var/lib/kubelet/kubeadm-flags.env",
            // Whose manifests were moved away, to stop it, still has these.
            "/etc/kubernetes/pki/ca.key", "/etc/kubernetes/pki/sa.key",
        ],
        paths: [
            ("/etc/kubernetes", .component), ("/etc/kubernetes/admin.conf", .kubeconfig),
            ("/etc/kubernetes/super-admin.conf", .kubeconfig), ("/etc/kubernetes/kubelet.conf", .kubeconfig),
            ("/etc/kubernetes/bootstrap-kubelet.conf", .kubeconfig),
            ("/etc/kubernetes/controller-manager.conf", .kubeconfig), ("/etc/kubernetes/scheduler.conf", .kubeconfig),
            ("/etc/kubernetes/manifests", .staticPod), ("/etc/kubeadm.yaml", .kubeadmConfiguration),
            ("/etc/kubeadm", .kubeadmConfiguration),
        ],
        excluded: [("/etc/kubernetes/tmp", "kubeadm's own old backups, of etcd's data too")])

    /// Source: kubespray 2.28, `roles/etcd`: `etcd.env.j2`, `etcd-events.env.j2`, `etcd_cert_dir`, `kube_cert_dir`.
    private static let kubespray = KnownLayout(
        distribution: "kubespray", markers: ["/etc/etcd.env", "/etc/kubernetes/ssl"],
        paths: [
            ("/etc/etcd.env", .etcdConfiguration), ("/etc/etcd-events.env", .etcdConfiguration),
            ("/etc/ssl/etcd", .etcdConfiguration), ("/etc/kubernetes/ssl", .component), ("/etc/kubernetes", .component),
        ])

    /// Source: OpenShift, `library-go/pkg/operator/staticpod`, `installerpod/cmd.go`: `--resource-dir` and `--cert-dir`.
    private static let openShift = KnownLayout(
        distribution: "openshift", markers: ["/etc/kubernetes/static-pod-resources"],
        paths: [
            ("/etc/kubernetes", .component), ("/etc/kubernetes/manifests", .staticPod),
            ("/etc/kubernetes/static-pod-resources", .component), ("/etc/kubernetes/static-pod-certs", .component),
            ("/var/lib/kubelet/kubeconfig", .kubeconfig),
        ])

    /// Source: k3s, `pkg/daemons/control/deps/deps.go` (`CreateRuntimeCertFiles`), `pkg/server/server.go` (`printTokens`),
    /// `pkg/daemons/agent`, `pkg/agent/config`; RKE2, `pkg/podexecutor/staticpod.go`, `pkg/rke2`.
    private static func rancher(_ name: String, _ data: String) -> KnownLayout {
        KnownLayout(
            distribution: name,
            markers: ["\(data)/server/tls", "\(data)/server/token", "/etc/rancher/\(name)/config.yaml"],
            paths: [
                ("\(data)/server/tls", .distribution), ("\(data)/server/cred", .distribution),
                ("\(data)/server/etc", .distribution), ("\(data)/server/manifests", .staticPod),
                ("\(data)/server/token", .joinToken), ("\(data)/server/node-token", .joinToken),
                ("\(data)/server/agent-token", .joinToken), ("\(data)/server/db/state.db", .datastore),
                ("\(data)/server/db/etcd/name", .etcdConfiguration),
                ("\(data)/server/db/etcd/config", .etcdConfiguration), ("\(data)/agent/pod-manifests", .staticPod),
                ("\(data)/agent/etc", .distribution),
                ("\(data)/agent/*.kubeconfig", .kubeconfig), ("\(data)/agent/*.crt", .kubeletPKI),
                ("\(data)/agent/*.key", .kubeletPKI), ("\(data)/agent/*.yaml", .distribution),
                ("/etc/rancher/\(name)", .distribution), ("/etc/rancher/\(name)/\(name).yaml", .kubeconfig),
                ("/etc/rancher/\(name)/registries.yaml", .containerRuntime), ("/etc/rancher/node", .joinToken),
            ],
            excluded: [
                ("\(data)/server/db/etcd/member", PathPolicy.etcdData),
                ("\(data)/server/db/snapshots", "snapshots of etcd"),
                ("\(data)/server/db/reset-flag", "of the running system"),
            ], imageDirectories: ["\(data)/agent/images"])
    }

    /// Source: k0s, `pkg/config/cfgvars.go` (`NewCfgVars`), `pkg/constant/constant_posix.go`,
    /// `pkg/apis/k0s/v1beta1/storage.go` (`DefaultKineConfig`).
    private static func k0s(_ data: String) -> KnownLayout {
        KnownLayout(
            distribution: "k0s", markers: ["\(data)/pki", "/etc/k0s/k0s.yaml"],
            paths: [
                ("\(data)/pki", .distribution), ("\(data)/manifests", .staticPod),
                ("\(data)/kubelet.conf", .kubeconfig),
                ("\(data)/kubelet-bootstrap.conf", .kubeconfig), ("\(data)/kubelet-config.yaml", .kubeletConfiguration),
                ("\(data)/kubelet/pki", .kubeletPKI), ("\(data)/konnectivity.conf", .kubeconfig),
                ("\(data)/db/state.db", .datastore), ("\(data)/helmhome/repositories.yaml", .distribution),
                ("/etc/k0s", .distribution),
            ],
            excluded: [("\(data)/etcd", PathPolicy.etcdData)], imageDirectories: ["\(data)/images"])
    }

    /// Source: MicroK8s, `microk8s-resources/wrappers` and `scripts/cluster`; its database is dqlite.
    private static let microK8s: KnownLayout = {
        let data = "/var/snap/microk8s/current"
        let backend = "\(data)/var/kubernetes/backend"
        return KnownLayout(
            distribution: "microk8s", markers: ["\(data)/args/kube-apiserver"],
            paths: [
                ("\(data)/args", .distribution), ("\(data)/certs", .component), ("\(data)/credentials", .component),
                ("\(data)/var/lock", .distribution), ("\(backend)/cluster.crt", .certificate),
                ("\(backend)/cluster.key", .privateKey), ("\(backend)/cluster.yaml", .distribution),
                ("\(backend)/info.yaml", .distribution), ("\(backend)/localnode.yaml", .distribution),
            ])
    }()

    /// Source: Canonical Kubernetes, `src/k8s/pkg/snap/snap.go`.
    private static let canonical = KnownLayout(
        distribution: "k8s-snap", markers: ["/var/snap/k8s/common/args/kube-apiserver"],
        paths: [
            ("/var/snap/k8s/common/args", .distribution), ("/etc/kubernetes", .component),
            ("/etc/kubernetes/admin.conf", .kubeconfig),
        ])

    /// Source: MicroShift, `pkg/util/cryptomaterial/certpaths.go` (`CertsDirectory`), `pkg/config` (`DataDir`, `ConfigFile`).
    private static let microShift = KnownLayout(
        distribution: "microshift", markers: ["/var/lib/microshift/certs", "/etc/microshift/config.yaml"],
        paths: [
            ("/var/lib/microshift/certs", .distribution), ("/var/lib/microshift/resources", .distribution),
            ("/var/lib/microshift/version", .distribution), ("/etc/microshift", .distribution),
        ],
        excluded: [("/var/lib/microshift/etcd", PathPolicy.etcdData)])
}

extension LayoutBuilder {
    /// Where a distribution has its data, as it is configured.
    func dataDirectory(of distribution: String) -> String { layout.dataDirectory(of: distribution) }

    /// Adds what the layouts of the distributions found on the node hold.
    mutating func addKnownLayouts() {
        let builder = self
        for known in KnownLayout.all(dataDirectory: builder.dataDirectory(of:))
        where isThere(known) {
            let isLeftover = leftovers.contains(known.distribution)
            if !isLeftover { layout.distributions.append(known.distribution) }
            for excluded in known.excluded where root.hasEntry(excluded.path) {
                collector.exclude(excluded.path, excluded.reason)
            }
            for (path, captureClass) in known.paths {
                // What is left over is kept, and nothing follows from it.
                addMatching(path, isLeftover ? .include : captureClass, by: "\(known.distribution) layout")
            }
            for directory in known.imageDirectories { listImages(in: directory) }
        }
    }

    private func isThere(_ known: KnownLayout) -> Bool {
        known.markers.contains(where: root.hasEntry) || layout.components.contains { $0.name == known.distribution }
    }

    /// Says of each archive of images that it is there and not captured.
    private mutating func listImages(in directory: String) {
        for name in (try? root.names(in: directory)) ?? [] {
            let path = joinPath(directory, name)
            guard let attributes = root.attributes(of: path), attributes.kind == .file else { continue }
            collector.skip(path, "images, \(attributes.byteCount) bytes: a host without a registry needs them again")
        }
    }

    /// Adds a known path, or those of a directory with an ending.
    mutating func addMatching(_ path: String, _ captureClass: CaptureClass, by referrer: String) {
        let name = lastName(path)
        guard name.hasPrefix("*") else { return addKnown(path, captureClass, by: referrer) }
        let directory = parentPath(path)
        for found in (try? root.names(in: directory)) ?? [] where found.hasSuffix(name.dropFirst()) {
            addKnown(joinPath(directory, found), captureClass, by: referrer)
        }
    }
}
