/// A type of objects as an API server names it.
public struct DiscoveredType: Sendable, Hashable {
    /// Where its objects are.
    public var path: ResourcePath
    /// The type's name, such as `ConfigMap`.
    public var kind: String
    /// Whether its objects are in namespaces.
    public var isNamespaced: Bool
    /// What can be done with it, such as `list`.
    public var verbs: [String]
}

/// What an API server offers.
public struct Discovery: Sendable {
    /// A version of a group that could not be asked.
    public struct Refusal: Sendable {
        /// The group, empty for the core group.
        public var group: String
        /// The version.
        public var version: String
        /// Why.
        public var status: APIStatus
    }

    /// The types of the version of each group that is preferred, and those that only others have.
    public var types: [DiscoveredType]
    /// What could not be asked.
    public var refusals: [Refusal]
}

extension KubernetesClient {
    private struct Versions: Decodable { var versions: [String] }

    private struct Groups: Decodable {
        struct Group: Decodable {
            var name: String
            var versions: [Version]
            var preferredVersion: Version?
        }
        struct Version: Decodable { var version: String }
        var groups: [Group]
    }

    private struct Resources: Decodable {
        struct Resource: Decodable {
            var name: String
            var namespaced: Bool
            var kind: String
            var verbs: [String]?
        }
        var resources: [Resource]?
    }

    /// Asks for all types: each once, in the version that its group prefers, else in the first that has it.
    public func discover() throws -> Discovery {
        var discovery = Discovery(types: [], refusals: [])
        let core = try send("GET", "/api", as: Versions.self).versions
        try add("", core, to: &discovery)
        for group in try send("GET", "/apis", as: Groups.self).groups {
            let versions = group.versions.map(\.version)
            let preferred = group.preferredVersion?.version
            try add(
                group.name, (preferred.map { [$0] } ?? []) + versions.filter { $0 != preferred }, to: &discovery)
        }
        return discovery
    }

    private func add(_ group: String, _ versions: [String], to discovery: inout Discovery) throws {
        var known: Set<String> = []
        for version in versions {
            let path = ResourcePath(group: group, version: version, resource: "").groupPath
            do {
                let resources = try send("GET", path, as: Resources.self).resources ?? []
                // A name with a slash is a part of an object, such as `pods/log`.
                for resource in resources where !resource.name.contains("/") && known.insert(resource.name).inserted {
                    discovery.types.append(
                        DiscoveredType(
                            path: ResourcePath(group: group, version: version, resource: resource.name),
                            kind: resource.kind, isNamespaced: resource.namespaced, verbs: resource.verbs ?? []))
                }
            } catch let status as APIStatus where status.isUnavailable || status.isNotFound {
                discovery.refusals.append(Discovery.Refusal(group: group, version: version, status: status))
            }
        }
    }
}
