import EncryptionAtRest
import HostIO
import NodeFiles

/// An API server of the node, as far as it tells how what is stored is read.
public struct EncryptionServer: Sendable, Equatable {
    /// The flag that names the configuration, and what it was called before Kubernetes 1.13.
    static let flags = ["encryption-provider-config", "experimental-encryption-provider-config"]
    /// Source: Kubernetes 1.36 `apiserver/pkg/server/options/etcd.go`, `DefaultEtcdPathPrefix`.
    static let standardPrefix = "/registry"

    /// What findings call it: the path of its configuration, or what it was found by where it names none.
    public var subject: String
    /// Its configuration; several where only the place of the files is known and not which of them is read.
    public var paths: [String]
    /// What its keys in etcd begin with.
    public var prefix: String
    /// The names of the node's etcds that it keeps nothing in, for it is told of others.
    var otherEtcds: Set<String> = []
    /// What it was found by.
    var source: String

    /// Whether a component is told of a configuration.
    static func names(in component: Component) -> Bool { flags.contains { component.flags[$0] != nil } }

    /// Whether it keeps something in an etcd of that name, as far as is known.
    public func reads(etcd name: String) -> Bool { !otherEtcds.contains(name) }
}

extension CertificateInventory {
    /// The API servers of a node; empty if no file tells of encryption.
    ///
    /// A distribution that starts its API server itself, without a flag to be seen, is known by the files in its
    /// directories.
    public func encryptionServers(of layout: NodeLayout) -> [EncryptionServer] {
        // What a distribution hands on comes behind what it sets itself, and so counts.
        let components = layout.components.flatMap { component in
            let isServer = component.name == "kube-apiserver" || EncryptionServer.names(in: component)
            return (isServer ? [component] : []) + component.startedComponents.filter(EncryptionServer.names(in:))
        }
        var named: Set<String> = []
        var servers: [EncryptionServer] = []
        for component in components {
            let values = EncryptionServer.flags.flatMap { component.flags[$0] ?? [] }
            named.formUnion(values.compactMap(component.nodePath).map { joinPath("/", $0) })
            // The program reads the last value only.
            let value = values.last ?? ""
            let path = component.nodePath(of: value).map { joinPath("/", $0) }
            // What is in its image can't be known.
            if !value.isEmpty, path == nil { continue }
            let server = EncryptionServer(
                subject: value.isEmpty ? component.source : path ?? "", paths: value.isEmpty ? [] : [path ?? ""],
                prefix: component.flags["etcd-prefix"]?.last ?? EncryptionServer.standardPrefix,
                otherEtcds: Self.otherEtcds(of: component, in: layout), source: component.source)
            if !servers.contains(where: { $0.subject == server.subject && $0.prefix == server.prefix }) {
                servers.append(server)
            }
        }
        let others = files.values.filter {
            $0.captureClass == .encryptionConfiguration && $0.state != .directory && !named.contains($0.path)
        }.sorted { $0.path < $1.path }
        let referred = others.filter { !$0.isFoundByWalk && ($0.state != .missing || $0.isRequired) }
        // What a walk found and can't be read may be anything, such as an old copy.
        let found = servers.isEmpty ? others.filter { $0.isFoundByWalk && $0.encryption != nil } : []
        let unnamed = referred.isEmpty ? found : referred
        if let first = unnamed.first {
            servers.append(
                EncryptionServer(
                    subject: first.path, paths: unnamed.map(\.path), prefix: EncryptionServer.standardPrefix,
                    source: first.path))
        }
        return servers.contains { !$0.paths.isEmpty } ? servers : []
    }

    /// The etcds whose URLs are none of those that an API server was given; none if it was given no URL that is known.
    private static func otherEtcds(of component: Component, in layout: NodeLayout) -> Set<String> {
        let overrides = (component.flags["etcd-servers-overrides"] ?? []).flatMap { $0.split(separator: ",") }
            .compactMap { $0.split(separator: "#", maxSplits: 1).last }.flatMap { $0.split(separator: ";") }
        let urls = ((component.flags["etcd-servers"] ?? []) + overrides.map(String.init)).flatMap(EtcdURL.list)
        let others = layout.etcds.filter { etcd in
            !(etcd.endpoints + etcd.advertisedEndpoints).contains(where: urls.contains)
        }
        return others.count == layout.etcds.count ? [] : Set(others.map(\.name))
    }
}
