import HostIO
import SealedArchive

extension Examination {
    /// The arguments of each etcd agree with the cluster's list of members.
    mutating func checkMembers(_ members: [String: [EtcdMemberRecord]]) {
        let components = components("etcd")
        for (name, list) in members.sorted(by: { $0.key < $1.key }) {
            let source = layout.etcds.first { $0.name == name }?.source ?? ""
            let own = components.filter { source.contains($0.source) }
            guard let etcd = own.first ?? (components.count == 1 && members.count == 1 ? components.first : nil) else {
                continue
            }
            let differences = Self.differences(of: etcd, list)
            guard !differences.isEmpty else { continue }
            find(
                .warning, "member-list-mismatch", etcd.source,
                "the arguments of etcd in \(quoted(etcd.source)) disagree with the cluster's list of \(list.count): "
                    + differences.prefix(8).joined(separator: "; "),
                "correct the manifest before a rebuild is made from it")
        }
    }

    private static func differences(of etcd: Component, _ members: [EtcdMemberRecord]) -> [String] {
        let name = etcd.flags["name"]?.last ?? "default"
        guard let own = members.first(where: { $0.name == name }) else {
            return ["no member is called \(quoted(name))"]
        }
        var differences: [String] = []
        func compare(_ flag: String, _ urls: [String]) {
            let values = urlSet(etcd.flags[flag]?.last ?? "")
            if !values.isEmpty, values != Set(urls.map(normalized)) {
                differences.append("--\(flag) of \(quoted(name)) is not the member's \(urls.joined(separator: ","))")
            }
        }
        compare("initial-advertise-peer-urls", own.peerURLs)
        compare("advertise-client-urls", own.clientURLs)
        return differences + initialClusterDifferences(of: etcd, members, except: name)
    }

    /// The list that a member started with may lack those that joined later, and has none that are gone.
    private static func initialClusterDifferences(
        of etcd: Component, _ members: [EtcdMemberRecord], except own: String
    ) -> [String] {
        var urls: [String: Set<String>] = [:]
        for item in (etcd.flags["initial-cluster"]?.last ?? "").split(separator: ",") {
            let parts = item.split(separator: "=", maxSplits: 1)
            if parts.count == 2 { urls[String(parts[0]), default: []].insert(normalized(String(parts[1]))) }
        }
        return urls.sorted { $0.key < $1.key }.compactMap { name, listed in
            guard let member = members.first(where: { $0.name == name }) else {
                return name == own ? nil : "--initial-cluster names \(quoted(name)), which is no member"
            }
            guard listed != Set(member.peerURLs.map(normalized)) else { return nil }
            let actual = member.peerURLs.joined(separator: ",")
            return "--initial-cluster has other peer URLs for \(quoted(name)) than its \(actual)"
        }
    }

    private static func urlSet(_ text: String) -> Set<String> {
        Set(text.split(separator: ",").map { normalized(String($0)) })
    }

    /// URLs that mean the same: a slash at the end does not count.
    private static func normalized(_ url: String) -> String { url.hasSuffix("/") ? String(url.dropLast()) : url }
}
