import HostIO

/// Which keys an API server tries for the values of a resource.
///
/// Source: Kubernetes 1.36 `apiserver/pkg/server/options/encryptionconfig/config.go`: a rule of exactly the resource counts
/// before one of its group, that before `*.*` (`transformerFromOverrides`); rules of one name are joined in their order
/// (`getTransformerOverridesAndKMSPluginProbes`); what no rule names is read without any key
/// (`identity.NewEncryptCheckTransformer`).
struct ResourceRules: Sendable {
    /// The keys that are tried for a resource, in their order.
    struct Chain: Sendable {
        /// What stands behind `k8s:enc:`, and the key of that name.
        var keys: [(prefix: [UInt8], cipher: EncryptionCipher)] = []
        /// Whether values that are not encrypted are read.
        var readsUnencrypted = false
    }

    /// By the hashes of their paths; what is known to be of no rule is here too.
    private let exact: [UInt64: (path: [UInt8], chain: Int)]
    private let groups: [(name: [UInt8], chain: Int)]
    private let any: Int?
    private let chains: [Chain]

    /// The chain of what no rule names, and that of what can't be assigned, which has all keys.
    private static let none = 0
    private static let unknown = 1

    /// Whether some values must be encrypted to be read.
    var refusesUnencrypted: Bool { chains.contains { !$0.readsUnencrypted } }

    init(_ configuration: EncryptionConfiguration?) {
        var table = RuleTable()
        for rule in configuration?.rules ?? [] { table.add(rule) }
        chains = table.chains
        any = table.byName["*.*"]
        let groups = table.byName.compactMap { name, chain in
            name.hasPrefix("*.") && name != "*.*" ? (name: Array(name.dropFirst(2).utf8), chain: chain) : nil
        }
        self.groups = groups
        var exact: [UInt64: (path: [UInt8], chain: Int)] = [:]
        for (group, resources) in StoredResource.groups {
            let chain = table.byName["*.\(group)"] ?? table.byName["*.*"] ?? Self.none
            for path in resources { exact[Self.hash(path)] = (Array(path.utf8), chain) }
        }
        for (name, chain) in table.byName.sorted(by: { $0.key < $1.key }) where !name.hasPrefix("*") {
            let path = StoredResource.path(of: name)
            exact[Self.hash(path)] = (Array(path.utf8), chain)
        }
        self.exact = exact
    }

    /// The keys for what lies at a resource's path.
    func chain(of path: UnsafeRawBufferPointer) -> Chain { chains[index(of: path)] }

    /// Whether values of a resource may be encrypted.
    func encrypts(_ path: UnsafeRawBufferPointer) -> Bool { !chains[index(of: path)].keys.isEmpty }

    private func index(of path: UnsafeRawBufferPointer) -> Int {
        if let entry = exact[Self.hash(path)], path.elementsEqual(entry.path) { return entry.chain }
        let first = path.prefix { $0 != 0x2F }
        // Leases of masters and allocations of addresses are written in the clear whatever the rules say, and a resource
        // that is not known here may be of any group.
        guard first.count < path.count else { return Self.unknown }
        return groups.first { first.elementsEqual($0.name) }?.chain ?? any ?? Self.none
    }

    private static func hash(_ path: String) -> UInt64 {
        var path = path
        return path.withUTF8 { hash(UnsafeRawBufferPointer($0)) }
    }

    /// FNV-1a of 64 bits.
    private static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        bytes.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }
}

/// The chains of a configuration while it is read.
private struct RuleTable {
    /// The first is of what no rule names, the second has all keys.
    var chains = [ResourceRules.Chain(readsUnencrypted: true), ResourceRules.Chain(readsUnencrypted: true)]
    var byName: [String: Int] = [:]

    mutating func add(_ rule: EncryptionConfiguration.Rule) {
        let keys = rule.providers.flatMap(Self.keys)
        chains[1].keys += keys
        for name in rule.resources {
            let index = byName[name] ?? chains.count
            if index == chains.count {
                chains.append(ResourceRules.Chain())
                byName[name] = index
            }
            chains[index].keys += keys
            if rule.providers.contains(where: { $0.kind == "identity" }) { chains[index].readsUnencrypted = true }
        }
    }

    private static func keys(_ provider: EncryptionConfiguration.Provider) -> [([UInt8], EncryptionCipher)] {
        if provider.kind == "kms" { return provider.prefixes.map { (Array($0.utf8), .other) } }
        return zip(provider.prefixes, provider.keys).map { prefix, key in
            (Array(prefix.utf8), key.secret.map { EncryptionCipher(provider: provider.kind, secret: $0) } ?? .other)
        }
    }
}
