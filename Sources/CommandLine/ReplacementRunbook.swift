import HostIO
import Operations

/// What to do where a minority of the members is lost: the cluster runs, and nothing is restored.
struct ReplacementRunbook {
    private let plan: RebuildPlan
    private let situation: RebuildSituation
    private let words: LayoutWords

    init(_ plan: RebuildPlan, _ situation: RebuildSituation) {
        (self.plan, self.situation) = (plan, situation)
        words = LayoutWords(plan)
    }

    /// The document.
    var text: String {
        [title, look, remove, clean, join, checks].filter { !$0.isEmpty }
            .joined(separator: "\n")
    }

    private var lost: [RebuildSituation.Member] { situation.lost }

    /// The nodes whose members don't answer.
    private var lostNodes: [String] { lost.map(\.node) }

    private var title: String {
        """
        # Lost members of \(plan.cluster), while the cluster runs

        \(situation.text). The cluster has what a backup has, and more: nothing is restored, and no `rebuild apply`. Lost: \
        \(lost.map(\.name).joined(separator: ", ")).

        Work as root on a host whose member answers. Replace one member after another: with \(situation.members.count) members \
        no more than \((situation.members.count - 1) / 2) may be away at a time.

        """
    }

    private var look: String {
        """
        ## 1. See that it is so

        ```sh
        \(words.etcdctl(situation.answering)) endpoint health
        \(words.etcdctl(situation.answering)) member list
        ```

        \(words.etcdctlRemark)Expected: `is healthy: successfully committed proposal` for \(situation.answering.count) endpoints, and \
        \(situation.members.count) members, of which \(lost.map(\.name).joined(separator: ", ")) are lost, with the IDs of the next part.

        - If most are not healthy, stop here: it is no lost minority.
        - If a lost one is healthy, it came back: there is nothing to do for it.
        - If an ID is another one, somebody has replaced that member already: make this runbook again.

        """
    }

    private var remove: String {
        let lines = lost.map { member in
            "\(words.etcdctl(situation.answering)) member remove \(member.id)   # \(member.name)"
        }
        let nodes = lostNodes.joined(separator: " ")
        let deletions =
            words.removesMembers
            ? [
                "\(words.kubectl) delete node \(nodes)",
                "# its member goes with the node within a minute; if it is still listed:",
            ]
            : []
        return """
            ## 2. Remove the lost members

            Switch the lost hosts off first: a removed member that starts again only fails, and one that was not removed counts.

            ```sh
            \((deletions + lines).joined(separator: "\n"))
            \(words.etcdctl(situation.answering)) member list   # without them
            ```

            """
    }

    private var clean: String {
        guard !words.removesMembers else { return "" }
        return """
            ## 3. Remove the lost nodes

            ```sh
            \(words.kubectl) delete node \(lostNodes.joined(separator: " "))
            ```

            """
    }

    private var join: String {
        let names = plan.nodes.filter { lostNodes.contains($0.oldName) }.map(\.name).joined(separator: ", ")
        return """
            ## \(words.removesMembers ? 3 : 4). Join a new node for each: \(names)

            \(words.join)

            """
    }

    private var checks: String {
        """
        ## \(words.removesMembers ? 4 : 5). Checks

        ```sh
        \(words.etcdctl(situation.answering)) member list      # \(situation.members.count) members, all started
        \(words.etcdctl(situation.answering)) endpoint status --cluster --write-out=table
        \(words.kubectl) get nodes
        etcd-snap backup
        ```

        Expected: one `IS LEADER` is true, `RAFT TERM` is the same for all, no `ERRORS`; the new nodes are `Ready`.

        - `unstarted`: the new member is listed and does not run: its host's log, `journalctl -u \(words.service) -n 50 --no-pager`.
        - `IS LEARNER` is true: it catches up; the program that joined it promotes it within minutes.
        - A new node is `NotReady`: `\(words.kubectl) describe node NAME`.

        """
    }
}
