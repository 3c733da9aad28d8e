import ArchiveStore
import EtcdSnap
import HostIO
import NodeFiles
import PKIBackup
import SealedArchive
import SystemPackage

/// Where a snapshot is taken from: flags and configuration, and for the rest what was found on the node.
public struct EtcdSource: Sendable {
    /// The name of the snapshot in the archive.
    public var name: String
    /// How to reach the cluster.
    public var client: ClientConfiguration
    /// What was found on the node rather than given, for the log.
    public var discovered: [String]
    /// Whether a backup without it is none: the cluster's own etcd, and every configured one.
    public var isRequired: Bool
    /// Whether it was found as one that runs on this node, and not by endpoints that were given.
    var isOfThisNode = false

    /// That no snapshot was taken of it, and why.
    func unreachable(for error: any Error) -> Finding {
        let failure = Failure(wrapping: error)
        return Finding(
            .error, code: "etcd-unreachable", subject: name,
            message: "no snapshot was taken of this etcd: \(failure.message)",
            advice: failure.hint ?? "check that it runs, and how it is reached")
    }

    /// The port where etcd is asked when nothing is known of it.
    static let defaultEndpoint = "https://127.0.0.1:2379"

    /// All etcds to snapshot: the cluster's own first, then those that were configured, then those that were found.
    ///
    /// - Parameters:
    ///   - section: the configuration's section for the cluster's own, already merged with the flags.
    ///   - others: further sections, each with a name.
    ///   - found: what discovery found.
    ///   - mayHaveNone: whether the cluster's data is known to be elsewhere, as with k3s on SQLite: then without any etcd
    ///     given or found there is none to snapshot.
    ///   - root: the node's file system.
    /// - Throws: ``Failure`` with the code `usage` if an endpoint can't be read or a name is used twice.
    public static func resolveAll(
        _ section: Configuration.Etcd, others: [Configuration.Etcd] = [], found: [DiscoveredEtcd],
        mayHaveNone: Bool = false, root: NodeRoot = NodeRoot()
    ) throws -> [EtcdSource] {
        if mayHaveNone, found.isEmpty, others.isEmpty, section.endpoints?.isEmpty ?? true { return [] }
        let own = try Self.own(of: section, among: found)
        var sources = [try resolve(section, found: own, root: root)]
        for other in others {
            guard other.name != nil else {
                throw Failure(
                    .usage, "an etcd of otherEtcds has no name", hint: "give it one: the snapshot is named after it")
            }
            sources.append(try resolve(other, found: found.first { $0.name == other.name }, root: root))
        }
        if let repeated = sources.first(where: { source in sources.filter { $0.name == source.name }.count > 1 }) {
            throw Failure(.usage, "two etcds are named \(quoted(repeated.name))", hint: "name each differently")
        }
        for etcd in found where etcd != own && !sources.contains(where: { $0.name == etcd.name }) {
            var section = Configuration.Etcd()
            section.name = etcd.name
            var source = try resolve(section, found: etcd, root: root)
            source.isRequired = false
            sources.append(source)
        }
        return sources
    }

    /// The found etcd that a section means: the one with its name or one of its endpoints, else the node's first, for other
    /// members of that cluster have other endpoints.
    private static func own(of section: Configuration.Etcd, among found: [DiscoveredEtcd]) throws -> DiscoveredEtcd? {
        if let name = section.name, let named = found.first(where: { $0.name == name }) { return named }
        let given = Set(try (section.endpoints ?? []).map { try Endpoint(parsing: $0) })
        let reached = found.first { etcd in
            etcd.endpoints.contains { (try? Endpoint(parsing: $0)).map(given.contains) == true }
        }
        return reached ?? found.first
    }

    /// One etcd from its section, with what is not given taken from what was found.
    static func resolve(
        _ section: Configuration.Etcd, found: DiscoveredEtcd?, root: NodeRoot = NodeRoot()
    ) throws -> EtcdSource {
        var discovered: [String] = []
        var endpoints = section.endpoints ?? []
        if endpoints.isEmpty, let found, !found.endpoints.isEmpty {
            // What a component can reach and this client can't, such as one with a path, fails when it is all there is.
            endpoints = found.endpoints.filter { (try? Endpoint(parsing: $0)) != nil }
            discovered.append("\(found.name) at \(endpoints.joined(separator: ", ")) by \(found.source)")
        }
        if endpoints.isEmpty, found == nil { endpoints = [defaultEndpoint] }
        var client = ClientConfiguration(endpoints: try endpoints.map { try Endpoint(parsing: $0) })
        if section.endpoints?.isEmpty ?? true { addFallbacks(to: &client, found) }
        client.tls = TLSFiles(
            caPath: section.cacert, certificatePath: section.cert, keyPath: section.key, serverName: section.serverName)
        if let found, (client.endpoints + client.fallbackEndpoints).contains(where: { $0.transport == .tls }) {
            discovered += fillCertificates(&client.tls, found, root)
        }
        client.credentials = try credentials(section)
        if let seconds = section.dialTimeoutSeconds { client.dialTimeout = .seconds(seconds) }
        if let seconds = section.stallTimeoutSeconds { client.stallTimeout = .seconds(seconds) }
        if let seconds = section.timeoutSeconds { client.totalTimeout = .seconds(seconds) }
        let name = section.name ?? found?.name ?? "etcd"
        try StoreScope.checkName(name, "snapshot", .snapshotName)
        return EtcdSource(
            name: name, client: client, discovered: discovered, isRequired: true,
            isOfThisNode: (section.endpoints ?? []).isEmpty && found?.dataDirectory != nil)
    }

    /// Where an etcd may be that does not answer where it was found: at the URLs that it advertises, or, on a host of IPv6
    /// alone, at the other loopback address.
    private static func addFallbacks(to client: inout ClientConfiguration, _ found: DiscoveredEtcd?) {
        let advertised = (found?.advertisedEndpoints ?? []).compactMap { try? Endpoint(parsing: $0) }
        let known = client.endpoints
        // An API server may be told the advertised name too, which is then no other endpoint.
        client.ownNames = Set((advertised + known).filter { !$0.isLoopback }.map(\.host)).sorted()
        let loopback = known.filter { $0.isLoopback && $0.host != "::1" }
            .map { Endpoint(transport: $0.transport, host: "::1", port: $0.port) }
        client.fallbackEndpoints = (advertised + loopback).filter { !known.contains($0) }
    }

    private static func credentials(_ section: Configuration.Etcd) throws -> Credentials? {
        guard let user = section.user else {
            guard let path = section.passwordFile else { return nil }
            throw Failure(
                .usage, "\(quoted(path)) has the password of an etcd user who is not named", hint: "name the user",
                settings: [.user])
        }
        guard let path = section.passwordFile else {
            throw Failure(
                .usage, "the etcd user \(quoted(user)) has no password file",
                hint: "name a file whose first line is the password", settings: [.passwordFile])
        }
        _ = try RandomAccessFile(path: path)
        return .file(user: user, passwordPath: path)
    }

    /// Certificate and key are taken as a pair or not at all.
    private static func fillCertificates(_ tls: inout TLSFiles, _ found: DiscoveredEtcd, _ root: NodeRoot) -> [String] {
        var discovered: [String] = []
        if tls.caPath == nil, let path = found.caPath {
            tls.caPath = root.location(of: path)
            discovered.append("CA \(path)")
        }
        if tls.certificatePath == nil, tls.keyPath == nil, let path = found.certificatePath, let key = found.keyPath {
            tls.certificatePath = root.location(of: path)
            tls.keyPath = root.location(of: key)
            discovered.append("client certificate \(path)")
        }
        return discovered
    }
}
