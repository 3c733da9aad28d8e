import HostIO
import Operations

/// What to do on each host, as Markdown that can be printed and followed without anything else at hand.
struct RebuildRunbook {
    private let plan: RebuildPlan
    private let planFile: String
    private let words: LayoutWords

    /// - Parameter planFile: the file that the plan was written to.
    init(_ plan: RebuildPlan, planFile: String) {
        self.plan = plan
        self.planFile = lastName(planFile)
        words = LayoutWords(plan)
    }

    /// The document.
    var text: String {
        ([title, before] + plan.nodes.enumerated().map { host($0.offset, $0.element) } + [
            start, checks, finish, workers, after, words.ownWay, back,
        ])
        .filter { !$0.isEmpty }
        .joined(separator: "\n")
        // Parts that are left out leave their blank lines.
        .replacing(#/\n{3,}/#, with: "\n\n")
    }

    private var names: String { plan.nodes.map(\.name).joined(separator: ", ") }

    private var title: String {
        let lost = plan.nodes.map(\.oldName).filter { !$0.isEmpty }.joined(separator: ", ")
        return """
            # Rebuild of the control plane of \(plan.cluster)

            Plan `\(plan.id)`: the plan ID must read the same on every host. Made \(time(plan.createdAt)). New nodes: \(names). Lost: \(lost).\(situation) About \(plan.forecast.minutes) minutes \
            with all hosts at once.

            \((plan.etcd == nil ? nil : plan.snapshot).map { "Snapshot: \($0.origin), \($0.reason)." } ?? "etcd runs elsewhere and is not restored.")

            Work as root. What follows a `#` is a remark, mostly what is to be seen. Where a check shows something else, look it up in \
            the list below it; where it is not there either, stop: the last part says how to take it back.

            """
    }

    private var situation: String {
        let layout = plan.layout.map { " Layout: \($0.rawValue)." } ?? ""
        return layout + (plan.situation.map { " Situation: \($0.text)." } ?? "")
    }

    private var before: String {
        let warnings = plan.warnings.map { "- **Attention:** \($0)\n" }.joined()
        let archives = neededArchives.map { "`\($0.path ?? $0.reference)`" }.joined(separator: ", ")
        let snapshot = plan.snapshot?.survivor?.snapshotPath.map { ", the snapshot `\(lastName($0))` beside it" } ?? ""
        let addresses = plan.nodes.map {
            "- `\($0.name)` has \($0.addresses.joined(separator: ", ")): `ip -brief address` on it shows that.\n"
        }
        .joined()
        return """
            ## 1. Before

            \(warnings)- No lost host comes back: switch them off, or cut their network. Their old keys stay valid.
            - Every host's clock is right: `timedatectl` shows `System clock synchronized: yes`, and `date -u` the same on all.
            - Every host's name is the one below: `hostnamectl set-hostname NAME`; `hostname` shows it.
            \(addresses)\(endpointBefore)- Every host has `etcd-snap`, the file `\(planFile)`\(snapshot), the private key `key.txt`, and can read: \(archives). The commands \
            below are run in the directory of these files.

            \(RunbookHosts(plan).text)

            """
    }

    private var endpointBefore: String {
        guard let endpoint = plan.newEndpoint else { return "" }
        return
            "- The endpoint `\(endpoint)` leads to port \(plan.nodes.first?.mapping.port ?? 6443) of the new hosts: DNS, load balancer or virtual address.\n"
    }

    private var neededArchives: [RebuildPlan.Archive] {
        let ids = Set(plan.nodes.map(\.archiveID) + [plan.snapshot?.archiveID].compactMap(\.self))
        return plan.archives.filter { ids.contains($0.id) }
    }

    private func host(_ index: Int, _ node: RebuildNodePlan) -> String {
        let (store, planWord) = (plan.store.map { " --store \(shellWord($0))" } ?? "", shellWord(planFile))
        let member = node.member.map { ", member `\($0.name)` at \($0.peerURLs.joined(separator: ","))" } ?? ""
        let issued = node.certificates.filter { $0.action != "keep" }.map { "`\($0.path.prefix { $0 != " " })`" }
            .joined(separator: ", ")
        let place = node.oldName.isEmpty ? "Takes no lost node's place" : "Takes the place of \(node.oldName)"
        let verification = certificatesOfAll == nil ? RunbookCertificates(node)?.check.text ?? "" : ""
        let remarks = node.remarks.map { "- \($0)\n" }.joined()
        let leftovers = node.leftovers.map { "- `\($0)`\n" }.joined()
        return """
            ## \(index + 2). On \(node.name)

            \(place)\(member). Can be done on all hosts at once.

            ```sh
            \(words.stop)
            ss -ltn '( sport = :2379 or sport = :2380 or sport = :6443 )'   # shows no line but its head
            etcd-snap rebuild apply --plan \(planWord) --node \(node.name) --plan-id \(plan.id) -i key.txt\(store) --dry-run   # only says what would be
            etcd-snap rebuild apply --plan \(planWord) --node \(node.name) --plan-id \(plan.id) -i key.txt\(store)
            ```

            Whatever listens is stopped first: `ss -ltnp` names it. If the archives are elsewhere on this host, put their paths behind the line. If it is interrupted, run the same line \
            again. If there is data of an etcd on the host that is of no more use, add \
            `--keep-data`: it is moved aside.

            Checks:

            ```sh
            etcd-snap rebuild status                  # plan: \(plan.id), state: done
            \(node.steps.filter { !$0.check.contains("2381/health") }.map(words.check).joined(separator: "\n"))
            ```

            If the state is not `done`, run the line of `apply` again; what it stops at is what to put right.

            \(verification)

            \(issued.isEmpty ? words.unissued : "Made anew: \(issued).")
            \(signing(node))

            \(remarks)\(leftovers.isEmpty ? "" : "Old names that stay in files, to be looked at:\n\n\(leftovers)")
            """
    }

    /// What is done where an authority's key is elsewhere; empty where none is.
    private func signing(_ node: RebuildNodePlan) -> String {
        let count = node.certificates.count { $0.action == "request" }
        guard count > 0 else { return "" }
        return """

            The keys of \(count) certificates' authorities are not in the backup: the line above stops with exit status 3, and \
            nothing is changed yet. Requests are in `/var/lib/etcd-snap-rebuild/requests`; `requests.tsv` there says by which \
            authority, for which uses and for how many days each is to be signed. Put each certificate beside its request \
            (`NAME.csr` becomes `NAME.crt`), then:

            ```sh
            etcd-snap rebuild continue -i key.txt\(plan.store.map { " --store \(shellWord($0))" } ?? "")
            ```

            """
    }

    /// The certificates' check where it is the same on all hosts, to be printed once.
    private var certificatesOfAll: RunbookCertificates? {
        let all = plan.nodes.map { RunbookCertificates($0) }
        return all.allSatisfy { $0 == all.first } ? all.first ?? nil : nil
    }

    private var start: String {
        """
        ## \(plan.nodes.count + 2). Start, on all hosts within minutes

        \(certificatesOfAll.map { "Before, on each host:\n\n\($0.check.text)\n" } ?? "")When every host's status is `done`, on each (`enable` lets it come \
        back when the host is booted):

        ```sh
        \(words.start)
        \(words.enabled)
        ```

        One member alone waits for the others: that is no error.

        """
    }

    private var checks: String {
        let healing =
            words.hasKubeadmWorkers || plan.inside != nil
            ? (RebuildInsideText(plan)?.healing ?? RebuildInsideText.usualHealing) : ""
        return """
            ## \(plan.nodes.count + 3). Checks, on any of the hosts

            \(words.etcdctlRemark)\(RunbookChecks(plan).text)
            \(healing)

            """
    }

    private var finish: String {
        let new = Set(plan.nodes.map(\.name))
        let gone = plan.nodes.map(\.oldName).filter { !$0.isEmpty && !new.contains($0) }
        let nodes = gone.isEmpty ? "" : "the Nodes \(gone.joined(separator: ", ")) with their mirror pods"
        let maps = "the ConfigMaps `kubeadm-config`, `cluster-info` and `kube-proxy`"
        let what = ([words.hasKubeadmWorkers ? maps : "", nodes].filter { !$0.isEmpty }).joined(separator: ", and ")
        let flags = words.kubeconfig.map { " --kubeconfig \($0)" } ?? ""
        let restart = """
            If it says that kube-proxy was changed, its pods have to be restarted:

            ```sh
            export KUBECONFIG=/etc/kubernetes/admin.conf
            kubectl -n kube-system rollout restart daemonset kube-proxy
            ```

            """
        return """
            ## \(plan.nodes.count + 4). Finish, on any one of the hosts

            What in the cluster still names lost hosts and does not heal\(what.isEmpty ? "" : ": \(what)"). A minute and a \
            half after the start at the earliest:

            ```sh
            etcd-snap rebuild finish --dry-run\(flags)        # shows each change
            etcd-snap rebuild finish --yes\(flags)
            etcd-snap rebuild finish --dry-run\(flags)        # nothing is left to do
            ```

            \(words.hasKubeadmWorkers ? restart : "")
            """
    }

    private var workers: String {
        guard plan.isEndpointChanged else {
            return """
                ## \(plan.nodes.count + 5). Workers

                Nothing to do: the endpoint and the authorities are the same.

                """
        }
        let new = plan.newEndpoint ?? plan.nodes.first.map { Self.place($0.addresses, $0) } ?? ""
        let moves = moves
        guard words.hasKubeadmWorkers else {
            return "## \(plan.nodes.count + 5). Workers\n\n"
                + words.workers(old: moves.map(\.old).joined(separator: "`, `"), new: new)
        }
        let old = moves.map(\.old).joined(separator: "`, `")
        let edits = moves.map { "-e 's#https://\($0.old)#https://\($0.new)#'" }.joined(separator: " ")
        let hosts = moves.map { LostEndpoint.host($0.old) }.joined(separator: "\\|")
        return """
            ## \(plan.nodes.count + 5). Workers

            The endpoint was `\(old)` and is `\(new)`. On each worker:

            ```sh
            sed -i \(edits) /etc/kubernetes/kubelet.conf
            systemctl restart kubelet
            ```

            Settings of the network plugin may have the old address too: `kubectl get configmaps,daemonsets -A -o yaml | grep -n \
            '\(hosts)'`. The old name must not lead to another host.

            """
    }

    /// Where clients went, and where they are to go; each node itself where there was no endpoint.
    private var moves: [(old: String, new: String)] {
        if let old = plan.oldEndpoint {
            return [(old, plan.newEndpoint ?? plan.nodes.first.map { Self.place($0.addresses, $0) } ?? "")]
        }
        return plan.nodes.filter(\.isOwnBackup).map { node in
            (Self.place(node.oldAddresses, node), plan.newEndpoint ?? Self.place(node.addresses, node))
        }
    }

    private static func place(_ addresses: [String], _ node: RebuildNodePlan) -> String {
        let address = addresses.first ?? ""
        return (address.contains(":") ? "[\(address)]" : address) + ":\(node.mapping.port)"
    }

    private var after: String {
        """
        ## \(plan.nodes.count + 6). After

        \(marks)\(words.after)\(RebuildInsideText(plan)?.list ?? "")- Backups go on from the new hosts: on each `etcd-snap doctor` has no error, \
        `systemctl enable --now etcd-snap-backup.timer`, and one now: `etcd-snap backup`, then `etcd-snap list` shows it.
        - The keys of lost hosts authenticate until their certificates expire. If somebody may have them, new authorities \
        are needed.
        - When all is well, on each host: `rm -r /var/lib/etcd-snap-rebuild`. It holds what was replaced, in the clear; \
        without it nothing can be taken back. An old data directory that was kept is `NAME.before-rebuild-TIME` beside the new one.
        - On each host: `shred -u key.txt`\(plan.snapshot?.survivor == nil ? "" : ", and the plan's snapshot, which has all Secrets in the clear: `shred -u \(lastName(plan.snapshot?.survivor?.snapshotPath ?? ""))`"). A private key that \
        stays on a node opens every archive.

        """
    }

    /// What kubeadm gives to the nodes of a control plane, and a kubelet may not give itself.
    private var marks: String {
        let new = plan.nodes.filter { $0.name != $0.oldName }.map(\.name)
        guard !new.isEmpty, words.hasKubeadmWorkers else { return "" }
        let names = new.joined(separator: " ")
        return """
            Nodes under new names have to be marked as kubeadm marks them; leave out the taint where the lost ones had none \
            (`kubectl get nodes -o custom-columns=NAME:.metadata.name,TAINTS:.spec.taints`):

            ```sh
            export KUBECONFIG=/etc/kubernetes/admin.conf
            kubectl label nodes \(names) node-role.kubernetes.io/control-plane= \\
              node.kubernetes.io/exclude-from-external-load-balancers=
            kubectl taint nodes \(names) node-role.kubernetes.io/control-plane:NoSchedule
            ```


            """
    }

    private var back: String {
        """
        ## To take it back

        ```sh
        \(words.stop)
        etcd-snap rebuild undo --yes
        ```

        The host is then as it was before, and `apply` can be run again.

        """
    }
}
