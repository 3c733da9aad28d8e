import HostIO
import NodeFiles

/// Which paths are not captured though a component names them.
enum PathPolicy {
    /// Why etcd's own files are left out.
    static let etcdData = "data of etcd: the snapshot has it"

    /// Why a path that a `hostPath` volume or an unknown flag names is left out; nil if it is taken.
    static func reasonToSkip(_ path: String) -> String? {
        if let reason = reasonToSkipAlways(path) { return reason }
        if tooWide.contains(path) { return "too much for a backup of the control plane: name what is needed below it" }
        for (directory, reason) in system where isPath(path, atOrBelow: directory) { return reason }
        return nil
    }

    /// Why a path is left out whatever names it; nil if it is taken.
    static func reasonToSkipAlways(_ path: String) -> String? {
        for (directory, reason) in never where isPath(path, atOrBelow: directory) { return reason }
        return nil
    }

    private static let never = [
        ("/proc", "of the kernel"), ("/sys", "of the kernel"), ("/dev", "of the kernel"),
        ("/run/secrets", "of a running pod"), ("/var/run/secrets", "of a running pod"),
    ]

    /// Directories of which a volume may show everything and a backup wants a part.
    private static let tooWide: Set<String> = [
        "/", "/etc", "/etc/systemd", "/var", "/var/lib", "/opt", "/mnt", "/srv", "/media", "/var/lib/kubelet",
        "/var/lib/rancher", "/var/lib/rancher/k3s", "/var/lib/rancher/rke2", "/var/lib/rancher/k3s/agent",
        "/var/lib/rancher/rke2/agent", "/var/lib/rancher/k3s/server", "/var/lib/rancher/rke2/server", "/var/lib/k0s",
        "/var/lib/microshift",
    ]

    /// What the system, a package or the running node brings by itself.
    ///
    /// The trust stores are those of kubeadm, `app/phases/controlplane/volumes.go`, `caCertsExtraVolumePaths`.
    private static let system: [(String, String)] = [
        ("/etc/ssl/certs", "the system's trust store"), ("/etc/pki/ca-trust", "the system's trust store"),
        ("/etc/pki/tls/certs", "the system's trust store"), ("/etc/pki", "the system's trust store"),
        ("/etc/ca-certificates", "the system's trust store"),
        ("/usr", "of the operating system"), ("/lib", "of the operating system"), ("/lib64", "of the operating system"),
        ("/bin", "of the operating system"), ("/sbin", "of the operating system"), ("/boot", "of the operating system"),
        ("/etc/localtime", "of the operating system"), ("/run", "of the running system"),
        ("/var/run", "of the running system"), ("/var/lock", "of the running system"), ("/tmp", "temporary"),
        ("/var/tmp", "temporary"), ("/var/log", "logs"), ("/var/cache", "a cache"),
        ("/opt/cni/bin", "programs: see the inventory"),
        ("/opt/bin", "programs"), ("/home", "of users"), ("/root", "of users"), ("/var/lib/etcd", etcdData),
        ("/var/lib/containerd", "images and containers"), ("/var/lib/docker", "images and containers"),
        ("/var/lib/containers", "images and containers"), ("/var/lib/kubelet/pods", "the state of pods"),
        ("/var/lib/kubelet/plugins", "the state of pods"), ("/var/lib/rancher/rke2/data", "programs"),
        ("/var/lib/rancher/k3s/data", "programs"),
    ]
}
