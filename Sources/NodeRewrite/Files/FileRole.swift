internal import HostIO

/// What a file is by its path: how it is read, and what its settings are called.
enum FileRole: Equatable {
    /// YAML that says itself what it is: manifests, kubeconfigs, configuration of kubelet and kubeadm.
    case document
    /// The configuration of k3s or RKE2.
    case rancherConfiguration
    /// etcd's own configuration file.
    case etcdConfiguration
    /// Variables for systemd or a shell.
    case environment
    /// A unit or a drop-in of systemd.
    case unit
    /// The member's name alone, as k3s and RKE2 keep it.
    case memberName
    /// What is for a person to change: load balancers and name resolution concern more than this node.
    case foreign(String)
    /// Nothing of ours.
    case other

    init(path: String) {
        let name = lastName(path)
        let directory = parentPath(path)
        let end = name.split(separator: ".").last.map(String.init) ?? ""
        if path.hasSuffix("/db/etcd/name") {
            self = .memberName
        } else if path.hasSuffix("/db/etcd/config")
            || ["etcd.conf.yml", "etcd.conf.yaml", "etcd.config.yaml"].contains(name)
        {
            self = .etcdConfiguration
        } else if name == "hosts", directory == "/etc" {
            self = .foreign("a file that resolves names")
        } else if path.contains("keepalived") {
            self = .foreign("the configuration of keepalived")
        } else if path.contains("haproxy"), end != "yaml" {
            self = .foreign("the configuration of HAProxy")
        } else if ["/etc/rancher/k3s", "/etc/rancher/rke2"].contains(where: { isPath(path, atOrBelow: $0) }),
            name == "config.yaml" || directory.hasSuffix("/config.yaml.d")
        {
            self = .rancherConfiguration
        } else if ["service", "socket"].contains(end) || directory.hasSuffix(".service.d") {
            self = .unit
        } else if end == "env" || ["/etc/default", "/etc/sysconfig", "/etc/conf.d"].contains(directory)
            || directory == "/etc/etcd" && name == "etcd.conf"
        {
            self = .environment
        } else if ["yaml", "yml", "json", "conf", "kubeconfig"].contains(end) || end == "config" {
            self = .document
        } else {
            self = .other
        }
    }
}
