import HostIO
import NodeFiles

/// What a control-plane node is besides its components, by the places that it is known at.
enum HostGroups {
    /// Paths as in ``KnownLayout/paths``.
    static let paths: [(group: String, captureClass: CaptureClass, paths: [String])] = [
        // CNI 1.1 specification and containernetworking/plugins, `host-local` IPAM; the networks' own installation manifests.
        (
            "CNI", .cniConfiguration,
            [
                "/etc/cni/net.d", "/etc/cni/multus", "/etc/calico", "/etc/cilium", "/etc/antrea", "/etc/kube-router",
                "/etc/kube-flannel", "/etc/ovn", "/etc/origin/ovn", "/etc/origin/openvswitch", "/etc/openvswitch",
                "/etc/weave",
            ]
        ),
        (
            "CNI", .cniState,
            [
                "/var/lib/cni/networks", "/var/lib/cni/results", "/var/lib/cni", "/var/lib/calico", "/var/lib/cilium",
                "/run/flannel/subnet.env",
                "/var/lib/weave", "/var/lib/antrea", "/var/run/antrea/openvswitch/conf.db", "/var/lib/kube-router",
                "/var/lib/ovn",
                "/var/lib/openvswitch", "/var/lib/ovn-ic/etc", "/etc/openvswitch/conf.db", "/etc/ovn/ovnnb_db.db",
                "/etc/ovn/ovnsb_db.db", "/etc/origin/ovn/ovnnb_db.db", "/etc/origin/ovn/ovnsb_db.db",
            ]
        ),
        (
            "network", .network,
            [
                "/etc/resolv.conf", "/etc/hosts", "/etc/hostname", "/etc/nsswitch.conf", "/etc/keepalived",
                "/etc/haproxy",
                "/etc/kube-vip", "/etc/nginx/nginx.conf", "/etc/systemd/network", "/etc/systemd/resolved.conf",
                "/etc/systemd/resolved.conf.d", "/etc/netplan", "/etc/network", "/etc/NetworkManager",
                "/etc/sysconfig/network-scripts", "/etc/nftables.conf", "/etc/nftables.d", "/etc/nftables",
                "/etc/sysconfig/nftables.conf", "/etc/iptables", "/etc/sysconfig/iptables", "/etc/sysconfig/ip6tables",
                "/etc/firewalld", "/etc/ufw", "/etc/ipvsadm.rules", "/etc/sysctl.conf", "/etc/sysctl.d",
                "/etc/modules-load.d", "/etc/modules", "/etc/wireguard",
            ]
        ),
        (
            "container runtime", .containerRuntime,
            [
                "/etc/containerd", "/etc/crio", "/etc/crictl.yaml", "/etc/docker", "/etc/containers",
                "/etc/sysconfig/docker", "/etc/default/docker", "/etc/nerdctl", "/etc/cdi",
            ]
        ),
        (
            "kubelet", .kubeletConfiguration,
            [
                "/etc/default/kubelet", "/etc/sysconfig/kubelet", "/etc/conf.d/kubelet", "/etc/kubernetes/kubelet.env",
                "/etc/kubernetes/kubelet-config.yaml", "/etc/kubernetes/kubelet.conf.d",
            ]
        ),
        (
            "etcd", .etcdConfiguration,
            ["/etc/etcd", "/etc/default/etcd", "/etc/etcd.conf", "/etc/sysconfig/etcd", "/etc/conf.d/etcd"]
        ),
        (
            "cloud provider", .cloudProvider,
            ["/etc/kubernetes/cloud.conf", "/etc/kubernetes/cloud-config", "/etc/kubernetes/azure.json"]
        ),
        (
            "system", .host,
            [
                "/etc/os-release", "/etc/machine-id", "/etc/fstab", "/etc/crypttab", "/etc/timezone", "/etc/chrony",
                "/etc/chrony.conf",
            ]
        ),
        // iscsid(8), nvme-connect(1), multipath.conf(5): without the host's name there no volume is attached again.
        ("storage", .host, ["/etc/iscsi", "/etc/nvme", "/etc/multipath.conf", "/etc/multipath", "/etc/ceph"]),
        // Profiles that pods name (`localhostProfile`) have to be there before these start.
        ("AppArmor", .host, ["/etc/apparmor.d"]),
        // update-ca-certificates(8), update-ca-trust(8), SUSE's and Arch's `update-ca-certificates`.
        (
            "trust anchors", .host,
            [
                "/usr/local/share/ca-certificates", "/etc/pki/ca-trust/source/anchors",
                "/etc/pki/ca-trust/source/blocklist", "/etc/pki/trust/anchors",
                "/etc/ca-certificates/trust-source/anchors",
            ]
        ),
        // systemd-system.conf(5), `DefaultEnvironment=`; SUSE's `/etc/sysconfig/proxy`.
        (
            "proxy settings", .host,
            [
                "/etc/environment", "/etc/environment.d", "/etc/profile.d/*proxy.sh", "/etc/sysconfig/proxy",
                "/etc/systemd/system.conf", "/etc/systemd/system.conf.d",
            ]
        ),
    ]

    /// Paths below the root directory of a kubelet, which may be another than `/var/lib/kubelet` (`--root-dir`).
    static let kubeletPaths: [(captureClass: CaptureClass, paths: [String])] = [
        (
            .kubeletConfiguration,
            [
                "config.yaml", "config.yaml.d", "instance-config.yaml", "kubeadm-flags.env", "bootstrap", "seccomp",
                // Credentials for registries (kubelet, `pkg/credentialprovider/config.go`).
                "config.json", ".dockercfg",
            ]
        ),
        (.kubeletPKI, ["pki"]),
    ]

    /// What is made anew of what is captured.
    static let excluded = [("/etc/apparmor.d/cache", "a cache"), ("/etc/apparmor.d/cache.d", "a cache")]

    /// Units whose files and drop-ins are captured.
    static let units = [
        "kubelet", "containerd", "crio", "docker", "cri-docker", "cri-dockerd", "etcd", "etcd-events", "k3s",
        "k3s-agent",
        "rke2-server", "rke2-agent", "k0scontroller", "k0sworker", "microshift", "haproxy", "keepalived", "kube-vip",
        "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "flanneld", "calico-node",
        "openvswitch-switch", "ovn-central", "nginx-proxy", "etcd-snap-backup",
    ]

    /// What a unit may have in such a directory; `.env` is k3s' file of secrets beside its unit.
    static let unitEndings = [".service", ".service.d", ".service.env", ".socket", ".timer"]
}

extension LayoutBuilder {
    /// Adds what is there of the host's networks, runtime, units and identity.
    mutating func addHostGroups() {
        for (group, captureClass, paths) in HostGroups.paths {
            for path in paths { addMatching(path, captureClass, by: "\(group) of the host") }
        }
        for (path, reason) in HostGroups.excluded where root.hasEntry(path) { collector.exclude(path, reason) }
        for directory in kubeletDirectories {
            for (captureClass, paths) in HostGroups.kubeletPaths {
                for path in paths { addKnown(joinPath(directory, path), captureClass, by: "kubelet of the host") }
            }
        }
        for directory in UnitCatalogue.directories where !directory.hasPrefix("/run/") {
            guard let names = try? root.names(in: directory) else { continue }
            let present = Set(names)
            for unit in HostGroups.units {
                for ending in HostGroups.unitEndings where present.contains(unit + ending) {
                    addKnown(joinPath(directory, unit + ending), .systemd, by: "unit \(unit)")
                }
            }
        }
    }
}
