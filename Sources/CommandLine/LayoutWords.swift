import HostIO
import Operations

/// The commands of a distribution, for runbooks.
struct LayoutWords {
    private let plan: RebuildPlan
    private let layout: RebuildLayoutKind

    init(_ plan: RebuildPlan) { (self.plan, layout) = (plan, plan.layout ?? .kubeadm) }

    /// The data directory of k3s, RKE2 or k0s.
    var data: String {
        let etcd = plan.nodes.lazy.compactMap { $0.member?.dataDirectory }.first
        return switch layout {
        case .k3s, .rke2:
            etcd.map { String($0.dropLast("/server/db/etcd".count)) } ?? "/var/lib/rancher/\(layout.rawValue)"
        case .k0s: etcd.map { String($0.dropLast("/etcd".count)) } ?? "/var/lib/k0s"
        case .kubeadm, .kubespray: "/etc/kubernetes"
        }
    }

    /// Whether the program itself removes a member whose node was deleted.
    var removesMembers: Bool { layout == .k3s || layout == .rke2 }

    /// The unit that runs the control plane.
    var service: String {
        switch layout {
        case .kubeadm, .kubespray: "kubelet"
        case .k3s: "k3s"
        case .rke2: "rke2-server"
        case .k0s: "k0scontroller"
        }
    }

    /// Shows that all comes back when a host is booted.
    var enabled: String {
        let runtime = "systemctl is-enabled containerd || systemctl is-enabled crio   # enabled"
        return switch layout {
        case .kubeadm: "systemctl is-enabled kubelet   # enabled\n\(runtime)"
        case .kubespray: "systemctl is-enabled etcd kubelet   # enabled, enabled\n\(runtime)"
        case .k3s, .rke2, .k0s: "systemctl is-enabled \(service)   # enabled"
        }
    }

    /// What is said of certificates where none is made anew.
    var unissued: String {
        hasKubeadmWorkers
            ? "All certificates stay."
            : "\(layout.rawValue) makes its certificates when it starts; they are verified then."
    }

    /// The check of a step with what it shows.
    func check(_ step: RebuildNodePlan.Step) -> String {
        guard !step.check.contains("#") else { return step.check }
        let isKubeadm = hasKubeadmWorkers
        let shown =
            switch step.name {
            case "authorities": "notAfter= with a date to come"
            case "etcd-data": "the file is there"
            case "configuration": isKubeadm ? "it is there" : "the new addresses, no old one"
            case "certificates": isKubeadm ? "OK" : "the authorities' files"
            case "kubeconfigs":
                isKubeadm ? "the endpoint or the host's new address, no old one" : "the authorities' files"
            default: "files of the time of the backup"
            }
        return "\(step.check)   # \(step.name): \(shown)"
    }

    var kubectl: String {
        switch layout {
        case .kubeadm, .kubespray: "kubectl --kubeconfig /etc/kubernetes/admin.conf"
        case .k3s: "k3s kubectl"
        case .rke2: "\(data)/bin/kubectl --kubeconfig /etc/rancher/rke2/rke2.yaml"
        case .k0s: "k0s kubectl"
        }
    }

    /// The kubeconfig of an administrator, where it is not kubeadm's.
    var kubeconfig: String? {
        switch layout {
        case .kubeadm, .kubespray: nil
        case .k3s, .rke2: "/etc/rancher/\(layout.rawValue)/\(layout.rawValue).yaml"
        case .k0s: "\(data)/pki/admin.conf"
        }
    }

    /// `etcdctl` with what it needs on a host of the control plane.
    func etcdctl(_ members: [RebuildSituation.Member]) -> String {
        etcdctl(endpoints: members.compactMap(\.clientURLs.first))
    }

    func etcdctl(endpoints: [String]) -> String {
        let places = endpoints.isEmpty ? "https://127.0.0.1:2379" : endpoints.joined(separator: ",")
        func flags(_ ca: String, _ certificate: String, _ key: String) -> String {
            " --endpoints \(places) --cacert \(ca) --cert \(certificate) --key \(key)"
        }
        switch layout {
        case .kubeadm:
            let pki = etcdCertificates
            return "crictl exec $(crictl ps -q --name etcd) etcdctl"
                + flags("\(pki)/ca.crt", "\(pki)/healthcheck-client.crt", "\(pki)/healthcheck-client.key")
        case .kubespray:
            let pki = "/etc/ssl/etcd/ssl"
            return "etcdctl"
                + flags("\(pki)/ca.pem", "\(pki)/admin-$(hostname).pem", "\(pki)/admin-$(hostname)-key.pem")
        case .k3s, .rke2:
            let pki = "\(data)/server/tls/etcd"
            return "etcdctl" + flags("\(pki)/server-ca.crt", "\(pki)/client.crt", "\(pki)/client.key")
        case .k0s:
            let pki = "\(data)/pki"
            return "etcdctl --endpoints https://127.0.0.1:2379 --cacert \(pki)/etcd/ca.crt "
                + "--cert \(pki)/apiserver-etcd-client.crt --key \(pki)/apiserver-etcd-client.key"
        }
    }

    /// Where kubeadm's certificates of etcd are.
    private var etcdCertificates: String {
        let end = "/healthcheck-client.crt"
        let path = plan.nodes.lazy.flatMap(\.certificates).map(\.path).first { $0.hasSuffix(end) }
        return path.map { String($0.dropLast(end.count)) } ?? "/etc/kubernetes/pki/etcd"
    }

    /// Where `etcdctl` comes from; empty where it is there.
    var etcdctlRemark: String {
        switch layout {
        case .kubeadm, .kubespray: ""
        case .k3s, .rke2, .k0s:
            "\(layout.rawValue) brings no etcdctl: take one of etcd's own releases, 3.5 or later.\n\n"
        }
    }

    // MARK: A rebuild

    /// Stops what may run on a host.
    var stop: String {
        switch layout {
        case .kubeadm: "systemctl stop kubelet\ncrictl ps -q | xargs -r crictl stop"
        case .kubespray: "systemctl stop kubelet etcd\ncrictl ps -q | xargs -r crictl stop"
        case .k3s: "systemctl stop k3s\nk3s-killall.sh"
        case .rke2: "systemctl stop rke2-server\nrke2-killall.sh"
        case .k0s: "systemctl stop k0scontroller   # or: k0s stop"
        }
    }

    var start: String {
        switch layout {
        case .kubespray: "systemctl daemon-reload && systemctl enable --now etcd && systemctl enable --now kubelet"
        case .k0s:
            "systemctl cat k0scontroller >/dev/null || k0s install controller -c /etc/k0s/k0s.yaml   # where there is no unit\n"
                + "systemctl daemon-reload && systemctl enable --now \(service)"
        case .k3s, .rke2, .kubeadm: "systemctl daemon-reload && systemctl enable --now \(service)"
        }
    }

    /// Whether workers of the layout get along with kubeadm's commands.
    var hasKubeadmWorkers: Bool { layout == .kubeadm || layout == .kubespray }

    /// What has to be done for workers and agents where the endpoint changed.
    func workers(old: String, new: String) -> String {
        let host = new.hasSuffix(":6443") ? String(new.dropLast(5)) : new
        switch layout {
        case .kubeadm, .kubespray: return ""
        case .k3s, .rke2:
            let (name, agent, port) =
                layout == .k3s ? ("k3s", "k3s-agent", "6443") : ("rke2", "rke2-agent", "9345")
            return """
                The servers were reached at `\(old)` and are at `\(new)`. On each agent, with `server:` in \
                /etc/rancher/\(name)/config.yaml (or the variable in the unit's environment file):

                ```sh
                grep -rn 'server:\\|_URL=' /etc/rancher/\(name)/ /etc/systemd/system/\(agent).service.env
                # make it https://\(host):\(port)
                rm -f \(data)/agent/etc/\(name)-agent-load-balancer.json \(data)/agent/etc/\(name)-api-server-agent-load-balancer.json
                systemctl restart \(agent)
                ```

                """
        case .k0s:
            return """
                The controllers were reached at `\(old)` and are at `\(new)`. Workers have that address in the kubeconfig that they \
                got when they joined:

                ```sh
                sed -i 's#server: https://.*#server: https://\(new)#' \(data)/kubelet.conf
                systemctl restart k0sworker
                ```

                """
        }
    }

    /// What only this distribution asks for after the start; empty if nothing.
    var after: String {
        switch layout {
        case .kubeadm, .kubespray: ""
        case .k3s, .rke2:
            """
            - A node whose password is refused (`Node password rejected`) had another host's file: `\(kubectl) -n kube-system \
            delete secret NAME.node-password.\(layout.rawValue)`, and restart it.
            - \(layout.rawValue) copies its database at each start to compare authorities: it needs twice its size below \
            \(data)/server/db.

            """
        case .k0s:
            "- New tokens for what joins later: `k0s token create --role controller` or `worker`; old ones may have expired.\n"
        }
    }

    /// The distribution's own way, where a server does not start on its data.
    var ownWay: String {
        switch layout {
        case .kubeadm, .kubespray: ""
        case .k3s, .rke2: rancherReset
        case .k0s:
            """
            ## If a controller does not start

            k0s' own restore takes an archive of k0s' own (`k0s backup`), not a snapshot: `k0s restore ARCHIVE` on an empty \
            \(data), with spec.storage.etcd.peerAddress changed or removed in its configuration, then `k0s start`, and the other \
            controllers join it with new tokens, each with an empty \(data)/etcd. What is restored here needs none of it: k0s finds \
            data of etcd, and joins nothing.

            """
        }
    }

    private var rancherReset: String {
        let name = layout.rawValue
        let archive = plan.snapshot.flatMap { snapshot in plan.archives.first { $0.id == snapshot.archiveID } }
        let place = archive.map { $0.path ?? $0.reference } ?? "ARCHIVE"
        let entry = "etcd/\(plan.snapshot?.name ?? "etcd").db"
        return """
            ## If a server does not start: the reset of \(name)

            `this server is a not a member of the etcd cluster` means that the member's name in `\(data)/server/db/etcd/name` or its \
            address (node-ip) is not the one above: compare them with `member list`, correct config.yaml, and start again. Only if that \
            does not help, on one server, with \(service) stopped on all of them:

            ```sh
            etcd-snap unseal \(place) -i key.txt | tar -x -C /root \(entry)
            \(name) server --cluster-reset --cluster-reset-restore-path=/root/\(entry) --token-file=\(data)/server/token
            systemctl start \(service)
            ```

            - It ends by itself, with `restart without --cluster-reset flag now`; then the service is started without these flags.
            - The token is that of the snapshot's time; here it is the file that was placed. Never write it into the command.
            - It reads config.yaml and not the service's arguments: node-ip has to be in config.yaml.
            - `\(data)/server/db/reset-flag` from an earlier reset blocks it: a normal start removes it.
            - Do not delete \(data)/server/db on this server. On each other one do so, and start it to join: \
            `rm -r \(data)/server/db && systemctl start \(service)`, with `server: https://ADDRESS:\(layout == .k3s ? "6443" : "9345")` \
            of this one in its config.yaml.
            - The old data is in \(data)/server/db/etcd-old-*, until you delete it.

            """
    }

    // MARK: Joining

    /// How a new node joins a cluster that runs.
    var join: String {
        switch layout {
        case .kubeadm:
            """
            On a node that runs (`kubeadm-certs` are kept for two hours, the token for a day):

            ```sh
            kubeadm init phase upload-certs --upload-certs      # prints the certificate key
            kubeadm token create --print-join-command           # prints the command to join
            ```

            On the new node, which has kubelet and kubeadm of the same version and nothing in /etc/kubernetes and /var/lib/etcd:

            ```sh
            JOIN-COMMAND --control-plane --certificate-key KEY
            ```

            """
        case .kubespray:
            """
            Leave it to kubespray, in its directory, with the lost hosts in the groups `broken_etcd` and \
            `broken_kube_control_plane`, the new ones in the usual groups with the same etcd_member_name, and hosts that are off in none:

            ```sh
            ansible-playbook -i INVENTORY -e etcd_retries=10 --limit etcd,kube_control_plane recover-control-plane.yml
            ```

            """
        case .k3s, .rke2:
            """
            On the new node, \(layout.rawValue) of the same version, and a config.yaml as the others have it, with `server: \
            https://ADDRESS-OF-A-SERVER-THAT-RUNS:\(layout == .k3s ? "6443" : "9345")` and `token-file: FILE`, where FILE has what \
            `\(data)/server/token` of a server that runs has. There must be nothing in \(data)/server:

            ```sh
            systemctl enable --now \(service)
            ```

            If it takes the name of the lost node and is refused: `\(kubectl) -n kube-system delete secret \
            NAME.node-password.\(layout.rawValue)`.

            """
        case .k0s:
            """
            On a controller that runs:

            ```sh
            k0s etcd member-list
            k0s etcd leave --peer-address LOST-ADDRESS          # instead of member remove, if there is no etcdctl
            (umask 077; k0s token create --role controller --expiry 1h >token)
            ```

            On the new one, with nothing in \(data), the file `token`, and /etc/k0s/k0s.yaml as the others have it with its own \
            addresses:

            ```sh
            k0s install controller --token-file token -c /etc/k0s/k0s.yaml && k0s start
            ```

            """
        }
    }
}
