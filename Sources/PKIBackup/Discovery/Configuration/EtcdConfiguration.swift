import YAML

/// Where an etcd has its settings: flags before its environment, or in place of both a configuration file.
///
/// Source: etcd 3.6, `server/etcdmain/config.go` (`parse`, `configFromFile`), `pkg/flags/flag.go` (`SetFlagsFromEnv`).
enum EtcdConfiguration {
    /// The environment's settings, of which empty ones count as not set: `ETCD_CERT_FILE` is `--cert-file`.
    static func settings(in environment: [String: String]) -> [String: [String]] {
        var settings: [String: [String]] = [:]
        for (name, value) in environment where name.hasPrefix("ETCD_") && !value.isEmpty {
            guard !value.contains(ShellWords.unknown) else { continue }
            settings[name.dropFirst("ETCD_".count).lowercased().replacing("_", with: "-")] = [value]
        }
        return settings
    }

    /// Sections of the file whose keys are those of the flags, but for a prefix (`embed.Config`, `configYAML`).
    private static let sections = [("client-transport-security", ""), ("peer-transport-security", "peer-")]

    /// The settings of a configuration file, under the names of the flags.
    static func settings(in document: Node) -> [String: [String]] {
        var settings = scalars(of: document, prefix: "")
        for (section, prefix) in sections {
            guard let node = document.value(section) else { continue }
            settings.merge(scalars(of: node, prefix: prefix)) { _, new in new }
        }
        return settings
    }

    private static func scalars(of node: Node, prefix: String) -> [String: [String]] {
        var settings: [String: [String]] = [:]
        for pair in node.mapping ?? [] {
            guard let name = pair.key.text else { continue }
            let values = pair.value.texts
            if !values.isEmpty, values != [""] { settings[prefix + name] = values }
        }
        return settings
    }
}

extension LayoutBuilder {
    /// The component with all that it runs with in its configuration, and with what that names added.
    mutating func withWholeConfiguration(_ etcd: Component) -> Component {
        var etcd = etcd
        let environment = EtcdConfiguration.settings(in: etcd.environment)
        let file = etcd.configuration.last("config-file") ?? environment["config-file"]?.last
        if let file, file.hasPrefix("/"), let path = etcd.nodePath(of: file) {
            guard let document = document(at: path) else { return etcd }
            collector.add(path, .etcdConfiguration, by: "etcd --config-file", isRequired: true)
            etcd.configuration = MergedConfiguration(EtcdConfiguration.settings(in: document), from: path)
            etcd.isEnvironmentKnown = true
        } else {
            etcd.configuration.fill(from: MergedConfiguration(environment, from: etcd.source))
        }
        addFlags(of: etcd)
        return etcd
    }
}
