import HostIO
import Operations

/// What is looked at once all hosts were started: each with what it shows, and what to do where it shows something else.
struct RunbookChecks {
    private let plan: RebuildPlan
    private let words: LayoutWords
    private let layout: RebuildLayoutKind

    init(_ plan: RebuildPlan) {
        self.plan = plan
        words = LayoutWords(plan)
        layout = plan.layout ?? .kubeadm
    }

    /// The checks in their order.
    var text: String {
        let etcd = plan.etcd == nil ? [] : [health, members, hashes]
        let made = RunbookCertificates(layout, data: words.data, service: words.service).map { [$0.check] } ?? []
        let checks = [processes] + etcd + [ready] + made + [nodes, secrets, token]
        return beginning + checks.map(\.text).joined(separator: "\n")
    }

    /// What all of them have in common.
    private var beginning: String {
        let configuration = words.hasKubeadmWorkers ? "export KUBECONFIG=/etc/kubernetes/admin.conf\n" : ""
        let function = plan.etcd == nil ? "" : "e() { \(all) \"$@\"; }\n"
        guard !(configuration + function).isEmpty else { return "" }
        return "In the shell that they are made in:\n\n```sh\n\(configuration)\(function)```\n\n"
    }

    private var kubectl: String { words.hasKubeadmWorkers ? "kubectl" : words.kubectl }

    private var names: [String] { plan.nodes.map(\.name) }

    private var endpoints: [String] {
        if words.hasKubeadmWorkers, layout != .kubespray {
            return plan.nodes.compactMap { $0.addresses.first }.map {
                "https://\($0.contains(":") ? "[\($0)]" : $0):2379"
            }
        }
        return plan.nodes.compactMap { $0.member?.peerURLs.first }.map { $0.replacing(":2380", with: ":2379") }
    }

    private var all: String { words.etcdctl(endpoints: endpoints) }

    // MARK: What runs

    private var processes: RunbookCheck {
        let log = "`journalctl -u \(words.service) -n 50 --no-pager`"
        switch layout {
        case .kubeadm, .kubespray:
            let etcd = layout == .kubeadm && plan.etcd != nil
            let pods = (etcd ? "etcd, " : "") + "kube-apiserver, kube-controller-manager and kube-scheduler"
            let command = layout == .kubespray ? "systemctl is-active etcd kubelet\ncrictl ps -a" : "crictl ps -a"
            return RunbookCheck(
                title: "The static pods run, on each host", command: command,
                expected:
                    "two minutes after the start \(pods) are `Running`, the last two maybe after one or two attempts.",
                others: [
                    (
                        "nothing at all",
                        "the kubelet does not start them: \(log). `config.yaml: no such file` is what the part of the "
                            + "host says of it; `container runtime is not running` is for `systemctl enable --now containerd`."
                    ),
                    (
                        "etcd `Exited`",
                        "`crictl logs $(crictl ps -aq --name etcd | head -n 1)`. `cannot assign requested address`: the host does not have the "
                            + "address of the plan (`ip -brief address`). `cluster ID mismatch`: hosts were made by different "
                            + "plans, so apply one plan on all. `no leader` or `waiting`: a majority is not started yet."
                    ),
                    (
                        "kube-apiserver `Exited`",
                        "`crictl logs $(crictl ps -aq --name kube-apiserver | head -n 1)`. It ends by itself until etcd has a leader; `x509` is for "
                            + "the check of certificates on this host, `no such file` for `etcd-snap rebuild status`."
                    ),
                    (
                        "`ImagePullBackOff` in the log",
                        "pull the images as in part 1, or bring them by `ctr -n k8s.io images import`."
                    ),
                ])
        case .k3s, .rke2, .k0s:
            let more = layout == .k0s ? "\nk0s status" : ""
            return RunbookCheck(
                title: "The service runs, on each host", command: "systemctl is-active \(words.service)\(more)",
                expected:
                    "`active`\(layout == .k0s ? ", and `Role: controller`" : ""), within two minutes; `activating` before a majority is started.",
                others: [
                    (
                        "`failed`, or `activating` for more than five minutes",
                        "\(log), and the part on a server that does not start."
                    ),
                    (
                        "`not found`",
                        "the unit is not there: \(layout == .k0s ? "`k0s install controller -c /etc/k0s/k0s.yaml`" : "run the installer of part 1 again")."
                    ),
                ])
        }
    }

    // MARK: etcd

    private var health: RunbookCheck {
        RunbookCheck(
            title: "etcd is healthy", command: "e endpoint health",
            expected:
                "a line with `is healthy: successfully committed proposal` for each of \(endpoints.count) endpoints.",
            others: [
                (
                    "`connection refused` of one",
                    "its host is not started, or its etcd ends: the check before, on that host."
                ),
                (
                    "`context deadline exceeded` of all",
                    "no majority: start the other hosts; ports 2379 and 2380 are open between them (`nc -z ADDRESS 2380`)."
                ),
                ("`certificate` or `x509`", "the check of certificates on the host that is named."),
            ])
    }

    private var members: RunbookCheck {
        let members = plan.nodes.compactMap(\.member).map(\.name).joined(separator: ", ")
        return RunbookCheck(
            title: "The members are the new ones, and one of them leads",
            command: "e member list --write-out=table\ne endpoint status --write-out=table",
            expected:
                "\(members), all `started`, with their new addresses; one `IS LEADER` is true, `RAFT TERM` is the same for all, no "
                + "`ERRORS`, and `DB SIZE` is about \(size(plan.snapshot?.databaseByteCount ?? 0)).",
            others: [
                (
                    "a name or address of a lost host",
                    "this is not what the plan made: `etcd-snap rebuild status` on that host."
                ),
                ("`unstarted`, or a line missing", "that host did not start: its part, then its check of what runs."),
                (
                    "`alarm:NOSPACE`",
                    "the database is as full as it was: `e endpoint status --write-out=json` has the revision, then `e compact REVISION`, "
                        + "`e defrag` and `e alarm disarm`."
                ),
            ])
    }

    private var hashes: RunbookCheck {
        RunbookCheck(
            title: "All members have the same data", command: "e endpoint hashkv",
            expected: "the same hash behind each endpoint, such as `https://…:2379, 1084519789`.",
            others: [
                (
                    "different hashes",
                    "run it twice more: while the cluster writes, members answer for different revisions."
                ),
                (
                    "still different when `endpoint status` shows the same revision",
                    "stop here, keep all, and take the rebuild back on all hosts: not one and the same snapshot was used."
                ),
            ])
    }

    // MARK: Kubernetes

    private var ready: RunbookCheck {
        var way = "nothing serves on this host: see what runs there."
        if words.hasKubeadmWorkers, let endpoint = plan.newEndpoint {
            way =
                "the kubeconfig goes to the endpoint `\(endpoint)`, which has to lead to the new hosts: `getent hosts "
                + "\(LostEndpoint.host(endpoint))`. If it does, see what runs there."
        }
        // By the endpoint one server answers for all.
        let servers = plan.nodes.compactMap { node in
            node.addresses.first.map { "\($0.contains(":") ? "[\($0)]" : $0):\(node.mapping.port)" }
        }
        let isAskedEach = words.hasKubeadmWorkers && !servers.isEmpty
        let one = "\(kubectl) get --raw '/readyz?verbose' | tail -n 3"
        let each =
            "for server in \(servers.joined(separator: " ")); do echo \"$server $(kubectl --server \"https://$server\" get --raw /readyz 2>&1 | tail -n 1)\"; done"
        return RunbookCheck(
            title: isAskedEach ? "Every API server is ready" : "The API server is ready, on each host",
            command: isAskedEach ? "\(each)\n\(one)" : one,
            expected: isAskedEach
                ? "`ok` behind each address, and `readyz check passed` by the endpoint." : "`readyz check passed`.",
            others: [
                (
                    "`connection refused` or a time-out",
                    way
                ),
                ("`[-]etcd failed`", "the checks of etcd above."),
                (
                    "`Unauthorized` or `x509`",
                    "the kubeconfig or the API server's certificate is not of this cluster: the check of certificates."
                ),
            ])
    }

    private var nodes: RunbookCheck {
        let new = names.joined(separator: ", ")
        let lost = plan.nodes.map(\.oldName).filter { !$0.isEmpty && !names.contains($0) }
        let gone =
            lost.isEmpty
            ? ""
            : " Lost ones (\(lost.joined(separator: ", "))) are `NotReady` after a minute, and stay until the next part."
        return RunbookCheck(
            title: "The nodes are back", command: "\(kubectl) get nodes -o wide",
            expected:
                "\(new) are `Ready` within five minutes, with their new `INTERNAL-IP`, and every worker is `Ready` as before.\(gone)",
            others: [
                (
                    "a new one is `NotReady`",
                    "`\(kubectl) describe node NAME | grep -A8 Conditions`. `cni plugin not initialized`: the pod of the network plugin "
                        + "there does not run yet (`\(kubectl) get pods -A -o wide --field-selector spec.nodeName=NAME`); if it "
                        + "reaches the API server by an old address, that is in its settings."
                ),
                (
                    "a new one is missing",
                    "its kubelet does not reach the API server or is refused: `journalctl -u \(words.service) -n 50 --no-pager` there."
                ),
                ("workers are `NotReady`", "they look for the old endpoint: the part on workers."),
            ])
    }

    private var secrets: RunbookCheck {
        RunbookCheck(
            title: "Secrets can be read: the keys of the encryption at rest fit",
            command: "\(kubectl) get secrets -A -o name | wc -l", expected: "a number above zero, and no error.",
            others: [
                (
                    "`no matching prefix found`, `unable to transform` or `invalid padding`",
                    "the encryption configuration on this host lacks the key of these values: compare it with that of another "
                        + "archive (`etcd-snap restore files --help`). Do not delete the Secrets."
                ),
                ("an error of a KMS", "its plugin has to run on this host, with the key that it had."),
            ])
    }

    private var token: RunbookCheck {
        let place =
            plan.newEndpoint ?? plan.nodes.first.map { node in
                let host = node.addresses.first ?? ""
                return "\(host.contains(":") ? "[\(host)]" : host):\(node.mapping.port)"
            } ?? ""
        let kubelet = layout == .k0s ? "\(words.data)/kubelet" : "/var/lib/kubelet"
        let authority =
            switch layout {
            case .kubeadm, .kubespray: "/etc/kubernetes/pki/ca.crt"
            case .k3s, .rke2: "\(words.data)/agent/server-ca.crt"
            case .k0s: "\(words.data)/pki/ca.crt"
            }
        return RunbookCheck(
            title: "A token from before is still good, on a worker",
            command: """
                token=$(ls -t \(kubelet)/pods/*/volumes/kubernetes.io~projected/*/token | head -n 1)
                printf 'header = "Authorization: Bearer %s"\\n' "$(cat "$token")" |
                  curl -sS -K - --cacert \(authority) -o /dev/null -w '%{http_code}\\n' https://\(place)/api
                """,
            expected: "`200`: the keys of service accounts are the old ones, and pods go on.",
            others: [
                (
                    "`401`",
                    "try the token of another pod; a token ends an hour after its kubelet could last renew it. If all are refused, the "
                        + "keys of service accounts are not those of the backup: `etcd-snap rebuild status` on each host."
                ),
                ("`000` with a time-out", "the worker does not reach the endpoint: DNS, load balancer, firewall."),
                (
                    "`000` with `certificate`",
                    "the endpoint's name is not in the API server's certificate, or another cluster answers there."
                ),
            ])
    }
}

/// The host of an endpoint.
enum LostEndpoint {
    static func host(_ endpoint: String) -> String {
        guard let colon = endpoint.lastIndex(of: ":") else { return endpoint }
        return endpoint[..<colon].filter { !"[]".contains($0) }
    }
}
