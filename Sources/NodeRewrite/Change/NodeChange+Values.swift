internal import HostIO

/// What a setting holds, so that it is known what in it may change.
enum SettingKind {
    /// The name of a member of etcd.
    case memberName
    /// The name of a node.
    case nodeName
    /// The name of a node's user in a kubeconfig, or of the user's context.
    case userName
    /// Addresses that the node itself has, with commas between.
    case addresses
    /// Addresses and names that the node or the endpoint is reached by, with commas between.
    case hosts
    /// URLs or `HOST:PORT`, with commas between.
    case urls
    /// `NAME=URL`, with commas between.
    case initialCluster
    /// The URL or `HOST:PORT` of one node's API server.
    case serverURL
    /// The URL or `HOST:PORT` that reaches any API server.
    case endpointURL
    /// The port of the API server.
    case port
    /// The path of a certificate or key that is named after its node.
    case nodeFile

    /// Why it is changed.
    var reason: String {
        switch self {
        case .memberName: "the member's name in etcd"
        case .nodeName: "the node's name"
        case .userName: "the user that the node's name makes"
        case .addresses: "addresses of the node"
        case .hosts: "addresses and names of the node and the endpoint"
        case .urls: "URLs of etcd's members"
        case .initialCluster: "names and peer URLs of etcd's members"
        case .serverURL: "where the node's API server is reached"
        case .endpointURL: "where the control plane is reached"
        case .port: "the API server's port"
        case .nodeFile: "files that are named after the node"
        }
    }
}

extension NodeChange {
    /// The new value of a setting, nil if it stays.
    func newValue(_ kind: SettingKind, _ text: String) -> String? {
        let new: String =
            switch kind {
            case .memberName: newMemberName(text)
            case .nodeName: newNodeName(text)
            case .userName: newUserName(text)
            case .addresses: eachItem(text) { newNodeHost($0) ?? $0 }
            case .hosts: eachItem(text) { newHost($0) ?? $0 }
            case .urls: eachItem(text, newURL)
            case .initialCluster: newInitialCluster(text)
            case .serverURL: newServer(text, isOwn: true)
            case .endpointURL: newServer(text, isOwn: false)
            case .port: text == String(oldPort) ? String(newPort) : text
            case .nodeFile: newPath(text)
            }
        return new.utf8.elementsEqual(text.utf8) ? nil : new
    }

    // MARK: The endpoint

    /// The host of a new endpoint that serving certificates have to have besides; nil where it is none, or a node's own.
    var addedHost: String? {
        guard let endpoint = newEndpoint, endpoint != oldEndpoint else { return nil }
        let isOwn = addresses.contains { endpoint.hasHost($0.new.text) } || endpoint.hasHost(newName)
        return isOwn ? nil : endpoint.host
    }

    /// Whether names with commas between list a host once they are changed.
    func lists(_ text: String, _ host: String) -> Bool {
        (newValue(.hosts, text) ?? text).split(separator: ",").contains { name in
            isSameHost(String(name.filter { $0 != " " }), host)
        }
    }

    /// Names with commas between, changed, and the host behind them; nil for no names.
    func adding(_ host: String, to text: String) -> String? {
        guard !text.isEmpty else { return nil }
        return (newValue(.hosts, text) ?? text) + "," + host
    }

    // MARK: Names

    /// kubespray names certificates of etcd after their nodes: `member-NAME.pem`, `admin-NAME-key.pem`.
    func newPath(_ path: String) -> String {
        guard isPath(path, atOrBelow: "/etc/ssl/etcd") else { return path }
        let name = lastName(path)
        for kind in ["member-", "node-", "admin-"] {
            for end in [".pem", "-key.pem"]
            where name.lowercased() == (kind + oldName + end).lowercased() && oldName != newName {
                return path.dropLast(name.count) + kind + newName + end
            }
        }
        return path
    }

    func newNodeName(_ name: String) -> String {
        if name.lowercased() == oldName.lowercased() { return oldName == newName ? name : newName }
        return members.first { $0.oldName == name }?.newName ?? name
    }

    private func newUserName(_ name: String) -> String {
        let prefix = "system:node:"
        guard name.hasPrefix(prefix) else { return name }
        let node = name.dropFirst(prefix.count).prefix { $0 != "@" }
        return prefix + newNodeName(String(node)) + name.dropFirst(prefix.count + node.count)
    }

    /// k3s and RKE2 put a dash and eight digits of their own behind the node's name.
    func newMemberName(_ name: String) -> String {
        if let member = members.first(where: { $0.oldName == name }) { return member.newName }
        if name == oldName { return newName }
        for (old, new) in [(oldName, newName)] + members.map({ ($0.oldName, $0.newName) }) {
            let suffix = name.utf8.dropFirst(old.utf8.count)
            guard name.hasPrefix(old + "-"), suffix.count == 9,
                suffix.dropFirst().allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) })
            else { continue }
            return new + String(decoding: suffix, as: UTF8.self)
        }
        return name
    }

    /// The new name or address of a host, nil if it stays.
    func newHost(_ host: String) -> String? {
        if let address = IPAddress(host) { return newAddress(address) }
        if let endpoint = oldEndpoint, let new = newEndpoint, endpoint != new, endpoint.hasHost(host) {
            return new.host
        }
        let name = newNodeName(host)
        return name == host ? nil : name
    }

    private func newAddress(_ address: IPAddress) -> String? {
        if let pair = allAddresses.first(where: { $0.old == address }) {
            return pair.new == pair.old ? nil : pair.new.text
        }
        guard let old = oldEndpoint, let new = newEndpoint, old != new, old.hasHost(address.text) else { return nil }
        return new.host
    }

    /// The new host of a member of etcd or of an API server, which is no endpoint.
    private func newNodeHost(_ host: String) -> String? {
        guard let address = IPAddress(host) else {
            let name = newNodeName(host)
            return name == host ? nil : name
        }
        guard let pair = allAddresses.first(where: { $0.old == address }), pair.new != pair.old else { return nil }
        return pair.new.text
    }

    private func isNodeHost(_ host: String) -> Bool {
        if let address = IPAddress(host) { return allAddresses.contains { $0.old == address } }
        return host.lowercased() == oldName.lowercased() || members.contains { $0.oldName == host }
    }

    // MARK: URLs

    /// Every item between commas, with the blanks around it left.
    private func eachItem(_ text: String, _ change: (String) -> String) -> String {
        text.split(separator: ",", omittingEmptySubsequences: false).map { item in
            let start = item.prefix { $0 == " " }
            let rest = item.dropFirst(start.count)
            let end = rest.reversed().prefix { $0 == " " }.count
            let core = String(rest.dropLast(end))
            return start + (core.isEmpty ? core : change(core)) + String(repeating: " ", count: end)
        }.joined(separator: ",")
    }

    func newURL(_ text: String) -> String {
        guard var url = URLText(text), let host = newNodeHost(url.host) else { return text }
        url.host = host
        return url.text
    }

    private func newInitialCluster(_ text: String) -> String {
        let changed = eachItem(text) { item in
            guard let equals = item.firstIndex(of: "=") else { return item }
            return newMemberName(String(item[..<equals])) + "=" + newURL(String(item[item.index(after: equals)...]))
        }
        guard listsAllMembers, !members.isEmpty else { return changed }
        // What is as it was and no member's is a member that is no more.
        let olds = Set(text.split(separator: ",").map(String.init))
        var items = changed.split(separator: ",").map(String.init).filter { item in
            !olds.contains(item) || isMember(item.prefix { $0 != "=" })
        }
        let sample = items.first.flatMap { $0.split(separator: "=", maxSplits: 1).last }.flatMap { URLText($0) }
        for member in members where !items.contains(where: { $0.hasPrefix(member.newName + "=") }) {
            guard var url = sample, let address = member.addresses.first else { continue }
            url.host = address.new.text
            items.append("\(member.newName)=\(url.text)")
        }
        return items.joined(separator: ",")
    }

    private func isMember(_ name: Substring) -> Bool {
        let name = String(name).drop { $0 == " " }
        return name == newName || name.hasPrefix(newName + "-") || members.contains { $0.newName == name }
    }

    /// - Parameter isOwn: whether the node's own address is meant where it is the endpoint's too.
    private func newServer(_ text: String, isOwn: Bool) -> String {
        guard var url = URLText(text) else { return text }
        let isNode = isNodeHost(url.host)
        let isEndpoint = oldEndpoint?.hasHost(url.host) == true && (oldEndpoint?.port == url.port || !isNode)
        if isEndpoint, !(isOwn && isNode), let old = oldEndpoint {
            guard old != newEndpoint else { return text }
            return moved(&url, from: old)
        }
        guard isNode else { return text }
        if !isOwn, oldEndpoint == nil, let endpoint = newEndpoint, url.port == oldPort {
            (url.host, url.port) = (endpoint.host, endpoint.port)
            return url.text
        }
        if let host = newNodeHost(url.host) { url.host = host }
        if url.port == oldPort { url.port = newPort }
        return url.text
    }

    /// A URL that went to the old endpoint; of other ports of the same host only the host changes.
    private func moved(_ url: inout URLText, from old: Endpoint) -> String {
        let new = newEndpoint ?? addresses.first.map { Endpoint(host: $0.new.text, port: newPort) } ?? old
        if !isSameHost(url.host, new.host) { url.host = new.host }
        // What is no URL and has no port means kubeadm's own.
        if url.port == old.port || url.port == nil && url.head.isEmpty && new.port != 6443 { url.port = new.port }
        return url.text
    }
}
