import HostIO
import SealedArchive

extension Examination {
    /// The arguments of each etcd agree with the cluster's list of members.
    ///
    /// `--initial-cluster` is left alone: etcd reads it before it has data, and never again, so it names the members of
    /// long ago (etcd 3.6 `server/etcdserver/bootstrap.go`, `bootstrapCluster`).
    mutating func checkMembers(_ members: [String: [EtcdMemberRecord]]) {
        let components = components("etcd")
        for (name, list) in members.sorted(by: { $0.key < $1.key }) {
            let source = layout.etcds.first { $0.name == name }?.source ?? ""
            let own = components.filter { source.contains($0.source) }
            guard let etcd = own.first ?? (components.count == 1 && members.count == 1 ? components.first : nil) else {
                continue
            }
            // Its name may be in the environment that nobody shows.
            guard etcd.isEnvironmentKnown || etcd.flags["name"] != nil else { continue }
            let differences = Self.differences(of: etcd, list)
            guard !differences.isEmpty else { continue }
            find(
                .warning, "member-list-mismatch", etcd.source,
                "the arguments of etcd in \(quoted(etcd.source)) disagree with the cluster's list of \(list.count): "
                    + differences.prefix(8).joined(separator: "; "),
                "correct the manifest before a rebuild is made from it")
        }
    }

    /// The keys of etcd's API version 2 are in its write-ahead log and its own snapshots, and in no snapshot over gRPC
    /// (etcd 3.5 `server/embed/config.go`, `EnableV2`; 3.6 has no such flag).
    mutating func noteVersion2Stores() {
        for etcd in components("etcd") where etcd.flags["enable-v2"]?.last == "true" {
            find(
                .note, "etcd-v2-enabled", etcd.source,
                "the etcd of \(quoted(etcd.source)) also serves keys of API version 2, which no snapshot has",
                "Kubernetes has none; if something else keeps some there, such as old networks of flannel or Calico, back "
                    + "them up with `etcdctl backup` of that version")
        }
    }

    private static func differences(of etcd: Component, _ members: [EtcdMemberRecord]) -> [String] {
        let name = etcd.flags["name"]?.last ?? "default"
        // What a variable stands for is known to the running pod only.
        guard !name.contains("$") else { return [] }
        guard let own = members.first(where: { $0.name == name }) else {
            return ["no member is called \(quoted(name))"]
        }
        var differences: [String] = []
        func compare(_ flag: String, _ urls: [String]) {
            let values = urlSet(etcd.flags[flag]?.last ?? "")
            if !values.isEmpty, !values.contains(where: { $0.contains("$") }), values != Set(urls.map(normalized)) {
                differences.append("--\(flag) of \(quoted(name)) is not the member's \(urls.joined(separator: ","))")
            }
        }
        compare("initial-advertise-peer-urls", own.peerURLs)
        compare("advertise-client-urls", own.clientURLs)
        return differences
    }

    private static func urlSet(_ text: String) -> Set<String> {
        Set(text.split(separator: ",").map { normalized(String($0)) })
    }

    /// URLs that mean the same: a slash at the end does not count.
    private static func normalized(_ url: String) -> String { url.hasSuffix("/") ? String(url.dropLast()) : url }
}
