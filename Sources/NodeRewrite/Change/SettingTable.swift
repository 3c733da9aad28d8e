/// What the settings of the control plane's programs hold: only of these values anything is changed.
///
/// Sources: `--help` of etcd 3.6, kube-apiserver, kube-controller-manager, kube-scheduler and kubelet 1.36, k3s and RKE2
/// 1.36. Service ranges, domains and the issuer of tokens are not here: a node that moves keeps them.
enum SettingTable {
    /// Flags without their dashes; k3s and RKE2 have them as keys of their configuration.
    static let flags: [String: SettingKind] = etcd.merging(kubernetes) { $1 }

    private static let etcd: [String: SettingKind] = [
        "name": .memberName, "initial-cluster": .initialCluster, "advertise-client-urls": .urls,
        "initial-advertise-peer-urls": .urls, "listen-peer-urls": .urls, "listen-client-urls": .urls,
        "listen-client-http-urls": .urls, "listen-metrics-urls": .urls, "host-whitelist": .hosts,
        "peer-cert-allowed-cn": .memberName, "peer-cert-allowed-hostname": .hosts, "endpoints": .urls,
        "cert-file": .nodeFile, "key-file": .nodeFile, "peer-cert-file": .nodeFile, "peer-key-file": .nodeFile,
    ]

    private static let kubernetes: [String: SettingKind] = [
        "advertise-address": .addresses, "bind-address": .addresses, "external-hostname": .hosts, "secure-port": .port,
        "etcd-servers": .urls, "master": .serverURL, "hostname-override": .nodeName, "node-ip": .addresses,
        "address": .addresses, "healthz-bind-address": .addresses, "etcd-certfile": .nodeFile,
        "etcd-keyfile": .nodeFile,
    ]

    /// Keys that only k3s and RKE2 have.
    static let rancher: [String: SettingKind] = flags.merging([
        "node-name": .nodeName, "node-external-ip": .addresses, "node-internal-dns": .hosts,
        "node-external-dns": .hosts,
        "tls-san": .hosts, "server": .endpointURL, "https-listen-port": .port, "advertise-port": .port,
        "datastore-endpoint": .urls,
    ]) { $1 }

    /// What a variable holds, nil if nothing of it is known here.
    static func variable(_ name: String) -> SettingKind? {
        if name == "ETCDCTL_ENDPOINTS" { return .urls }
        if ["ETCDCTL_CERT", "ETCDCTL_KEY", "ETCDCTL_CERT_FILE", "ETCDCTL_KEY_FILE"].contains(name) { return .nodeFile }
        for (prefix, table) in [("ETCD_", etcd), ("K3S_", rancher), ("RKE2_", rancher)] where name.hasPrefix(prefix) {
            return table[name.dropFirst(prefix.count).lowercased().split(separator: "_").joined(separator: "-")]
                ?? (name.hasSuffix("_URL") ? .endpointURL : nil)
        }
        return nil
    }

    /// Programs whose flags these are.
    static let programs: Set<String> = [
        "etcd", "etcdctl", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy",
        "k3s",
        "rke2", "hyperkube",
    ]
}
