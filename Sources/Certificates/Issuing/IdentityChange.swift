import HostIO

/// What changes about a node's names and addresses when it is rebuilt on another host.
public struct IdentityChange: Sendable, Hashable {
    /// What the old certificates were made for.
    public let old: NodeIdentity
    /// What the new ones are to be made for.
    public let new: NodeIdentity

    /// A change from one identity to another.
    public init(from old: NodeIdentity, to new: NodeIdentity) {
        self.old = old
        self.new = new
    }

    /// Hosts with the old ones replaced, each in its place, and with those that a certificate of `kind` can't be without.
    ///
    /// Old addresses are replaced by the new ones of the same number in their lists, or left out if there is none. What
    /// belongs to neither identity stays. Made again of what this gives, nothing changes.
    func hosts(replacedIn hosts: [CertificateHost], of kind: KubeadmCertificate?) -> [CertificateHost] {
        adding(required(by: kind), to: isDone(hosts) ? hosts : hosts.compactMap { replacement($0, of: kind) }, of: kind)
    }

    /// A common name with the old node's name replaced.
    func commonName(replacedIn name: String) -> String {
        let prefix = KubeadmCertificate.nodeUserPrefix
        switch name.lowercased() {
        case old.nodeName: return new.nodeName
        case prefix + old.nodeName: return prefix + new.nodeName
        default: break
        }
        // kubespray's, such as `etcd-member-NAME`.
        let kinds = ["etcd-member-", "etcd-node-", "etcd-admin-"]
        guard let kind = kinds.first(where: { name.lowercased() == $0 + old.nodeName }) else { return name }
        return kind + new.nodeName
    }

    /// Whether nothing is there that only the old identity has.
    ///
    /// Without this, a host that is the new name of one thing and the old name of another would be replaced time and again.
    private func isDone(_ hosts: [CertificateHost]) -> Bool {
        old.hosts.subtracting(new.hosts).isDisjoint(with: hosts.map(Self.lowercased))
    }

    private func replacement(_ host: CertificateHost, of kind: KubeadmCertificate?) -> CertificateHost? {
        let plain = Self.lowercased(host)
        if plain == .dns(old.nodeName) { return .dns(new.nodeName) }
        if case .ip(let address) = plain, let index = old.addresses.firstIndex(of: address) {
            return index < new.addresses.count ? .ip(new.addresses[index]) : nil
        }
        guard plain == old.endpoint else { return host }
        // An address that takes a name's place has none among the addresses yet.
        if case (.dns, .ip) = (plain, new.endpoint), kind == .apiServer { return nil }
        return new.endpoint
    }

    private static func lowercased(_ host: CertificateHost) -> CertificateHost {
        if case .dns(let name) = host { return .dns(name.lowercased()) }
        return host
    }

    /// What clients of a server reach it by.
    private func required(by kind: KubeadmCertificate?) -> [CertificateHost] {
        let own: [CertificateHost] = [.dns(new.nodeName), .ip(new.advertiseAddress)]
        return switch kind {
        case .apiServer: own + [new.endpoint].compactMap(\.self)
        case .etcdServer, .etcdPeer: own
        default: []
        }
    }

    /// Adds the hosts that are missing where kubeadm has them: the API server's address behind the service's, the endpoint
    /// behind that.
    private func adding(
        _ required: [CertificateHost], to hosts: [CertificateHost], of kind: KubeadmCertificate?
    ) -> [CertificateHost] {
        var names = hosts.filter { if case .dns = $0 { true } else { false } }
        var addresses = hosts.filter { if case .ip = $0 { true } else { false } }
        for host in required {
            switch host {
            case .dns: names.append(host)
            case .ip where addresses.contains(host): break
            case .ip:
                let own = addresses.firstIndex(of: .ip(new.advertiseAddress)).map { $0 + 1 }
                addresses.insert(host, at: own ?? min(addresses.count, kind == .apiServer ? 1 : 0))
            }
        }
        return names + addresses
    }
}
