import HostIO
import NodeFiles

/// Where a distribution keeps the cluster's data, if it is told so.
///
/// Source: kine, `pkg/endpoint/endpoint.go` and `pkg/drivers`; k3s documentation, "Cluster Datastore"; k0s,
/// `pkg/component/controller/kine.go`.
public enum Datastore: Sendable, Equatable {
    /// An etcd, with its client URLs.
    case etcd([String])
    /// A database that is a file of this node, of SQLite.
    case file(String)
    /// Another database, by the name of its kind, such as `postgres`.
    case elsewhere(String)

    /// Reads what `--datastore-endpoint` or kine's `--endpoint` say; nil if they say nothing.
    ///
    /// - Parameter directory: what a relative path of a file counts from.
    init?(endpoint: String, directory: String) {
        guard !endpoint.isEmpty else { return nil }
        let scheme = Self.scheme(endpoint)
        switch scheme {
        case "http", "https": self = .etcd(EtcdURL.list(endpoint))
        case "sqlite", "file", "":
            let rest = scheme.isEmpty ? endpoint[...] : endpoint.dropFirst(scheme.utf8.count + 1)
            var path = rest.prefix { $0 != "?" }
            if path.hasPrefix("//") { path = path.dropFirst(2) }
            if path.hasPrefix("file:") { path = path.dropFirst("file:".count) }
            self =
                path.isEmpty
                ? .file(joinPath(directory, "db/state.db")) : .file(absolutePath(String(path), from: directory))
        default: self = .elsewhere(scheme)
        }
    }

    /// The scheme of a URL, in small letters; empty without one that can be shown.
    private static func scheme(_ endpoint: String) -> String {
        guard let colon = endpoint.firstIndex(of: ":") else { return "" }
        let scheme = endpoint[..<colon].lowercased()
        let isScheme = scheme.utf8.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2B }
        return isScheme && !scheme.isEmpty ? scheme : ""
    }

    /// An endpoint without anything that may be a password.
    static func redacted(_ endpoint: String) -> String {
        switch scheme(endpoint) {
        case "http", "https": EtcdURL.list(endpoint).joined(separator: ",")
        case "": "sqlite"
        case let scheme: "\(scheme)://"
        }
    }
}

extension LayoutBuilder {
    /// Notes where a distribution's data is, as it is configured.
    mutating func addDatastore(_ configuration: MergedConfiguration, _ program: String) {
        let data = configuration.last("data-dir") ?? "/var/lib/\(program == "k0s" ? "k0s" : "rancher/\(program)")"
        let directory = program == "k0s" ? data : joinPath(data, "server")
        guard let value = configuration["datastore-endpoint"].last,
            let datastore = Datastore(endpoint: value.text, directory: directory)
        else { return }
        layout.datastore = datastore
        layout.datastoreOrigin = value.origin
        if case .file(let path) = datastore {
            collector.add(path, .datastore, by: "\(program)'s datastore", isRequired: true)
        }
    }

    /// Notes the data of a kine that runs by itself.
    mutating func addDatastore(ofKine kine: Component) {
        guard layout.datastore == nil, let endpoint = kine.configuration.last("endpoint"),
            let datastore = Datastore(endpoint: endpoint, directory: "/")
        else { return }
        layout.datastore = datastore
        layout.datastoreOrigin = kine.source
        if case .file(let path) = datastore, path != "/db/state.db" {
            collector.add(path, .datastore, by: "kine --endpoint", isRequired: false)
        }
    }

    /// Without a word in the configuration, a distribution that has no etcd has its data in a file.
    mutating func addDefaultDatastore() {
        guard layout.datastore == nil, !layout.etcds.contains(where: { $0.dataDirectory != nil }),
            let file = collector.references.first(where: {
                $0.captureClass == .datastore && $0.path.hasSuffix("/db/state.db")
            })
        else { return }
        layout.datastore = .file(file.path)
    }
}
