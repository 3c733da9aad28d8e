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

extension EncryptionServer {
    /// The API servers of a node; empty if no file tells of encryption.
    ///
    /// A distribution that starts its API server itself, without a flag to be seen, is known by the files in its
    /// directories.
    static func all(of layout: NodeLayout, files: [String: InspectedFile]) -> [EncryptionServer] {
        let components = layout.components.flatMap(servers)
        let flagged = components.compactMap { server(of: $0, in: layout) }
            .reduce(into: [EncryptionServer]()) { servers, server in
                let isKnown = servers.contains { $0.subject == server.subject && $0.prefix == server.prefix }
                if !isKnown { servers.append(server) }
            }
        let named = Set(
            components.flatMap { component in values(of: component).compactMap { path($0, in: component) } })
        let others = files.values.filter {
            $0.captureClass == .encryptionConfiguration && $0.state != .directory && !named.contains($0.path)
        }.sorted { $0.path < $1.path }
        let servers = flagged + [unflagged(others, isAlone: flagged.isEmpty)].compactMap(\.self)
        return servers.contains { !$0.paths.isEmpty } ? servers : []
    }

    /// The API servers that a component is or starts; what a distribution hands on comes behind what it sets itself, and so
    /// counts.
    private static func servers(_ component: Component) -> [Component] {
        let isServer = component.name == "kube-apiserver" || names(in: component)
        return (isServer ? [component] : []) + component.startedComponents.filter(names(in:))
    }

    private static func values(of component: Component) -> [String] { flags.flatMap { component.flags[$0] ?? [] } }

    private static func path(_ value: String, in component: Component) -> String? {
        component.nodePath(of: value).map { joinPath("/", $0) }
    }

    /// An API server by its flags, of which the program reads the last value only; nil if its configuration is in its image,
    /// where it can't be known.
    private static func server(of component: Component, in layout: NodeLayout) -> EncryptionServer? {
        let value = values(of: component).last ?? ""
        let path = path(value, in: component)
        if !value.isEmpty, path == nil { return nil }
        return EncryptionServer(
            subject: value.isEmpty ? component.source : path ?? "", paths: value.isEmpty ? [] : [path ?? ""],
            prefix: component.flags["etcd-prefix"]?.last ?? standardPrefix,
            otherEtcds: otherEtcds(of: component, in: layout), source: component.source)
    }

    /// The API server that reads configurations which no flag names; nil if nothing tells of one.
    ///
    /// - Parameter isAlone: whether there is no other.
    private static func unflagged(_ files: [InspectedFile], isAlone: Bool) -> EncryptionServer? {
        let referred = files.filter { !$0.isFoundByWalk && ($0.state != .missing || $0.isRequired) }
        // What a walk found and can't be read may be anything, such as an old copy.
        let found = isAlone ? files.filter { $0.isFoundByWalk && $0.encryption != nil } : []
        let paths = (referred.isEmpty ? found : referred).map(\.path)
        return paths.first.map {
            EncryptionServer(subject: $0, paths: paths, prefix: standardPrefix, source: $0)
        }
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
