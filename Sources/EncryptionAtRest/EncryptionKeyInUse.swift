/// A key of the apiserver's encryption at rest that values refer to, and what an API server makes of them.
public struct EncryptionKeyInUse: Sendable, Hashable, Codable {
    /// Why an API server can't read values.
    public enum Problem: String, Sendable, Hashable, Codable {
        /// Its configuration has no key of the name for their resource.
        case missing
        /// It has, and no secret of that name opens them.
        case refused
        /// They are not encrypted, and for their resource only what is encrypted is read.
        case unencrypted
    }

    /// Provider, version and name, such as `aescbc:v1:key1` or `kms:v2:plugin`; empty for values that are not encrypted.
    public var name: String
    /// Why the values can't be read; nil if they can, or if it can't be told.
    public var problem: Problem?
    /// The ``EncryptionReader/subject`` of who can't read them; nil where there is no problem.
    public var reader: String?
    /// Some of the resources of the values that can't be read and are current, such as `secrets`, in order.
    public var resources: [String]
    /// Whether one of the values is the newest of its key in etcd; the others are gone after the next compaction.
    public var isCurrent: Bool

    /// A key from its parts.
    public init(
        name: String, problem: Problem? = nil, reader: String? = nil, resources: [String] = [], isCurrent: Bool = true
    ) {
        self.name = name
        self.problem = problem
        self.reader = reader
        self.resources = resources
        self.isCurrent = isCurrent
    }

    /// What two snapshots of one cluster have in common: the name, the problem and who has it.
    private var order: (String, String, String) { (name, problem?.rawValue ?? "", reader ?? "") }

    /// Joins the keys of several snapshots, each once and in order.
    public static func joined(_ keys: [EncryptionKeyInUse]) -> [EncryptionKeyInUse] {
        var result: [EncryptionKeyInUse] = []
        for key in keys.sorted(by: { $0.order < $1.order }) {
            guard let last = result.last, last.order == key.order else {
                result.append(key)
                continue
            }
            result[result.count - 1].isCurrent = last.isCurrent || key.isCurrent
            result[result.count - 1].resources = Set(last.resources).union(key.resources).sorted()
        }
        return result
    }
}

/// The keys of the apiserver's encryption at rest that values refer to.
public struct EncryptionKeysInUse: Sendable, Hashable, Codable {
    /// The keys in order of their names; one whose values can and can't be read is there several times.
    ///
    /// Revisions that were replaced and are not compacted yet count too: a watch may still ask for them.
    public var keys: [EncryptionKeyInUse]
    /// False if there are more than 63 keys, or so many mixtures of them that not all could be kept apart.
    public var isComplete: Bool

    /// The names of the keys, each once, in order.
    public var names: [String] { Set(keys.map(\.name)).subtracting([""]).sorted() }

    /// Creates a value from keys.
    public init(_ keys: [EncryptionKeyInUse] = [], isComplete: Bool = true) {
        self.keys = EncryptionKeyInUse.joined(keys)
        self.isComplete = isComplete
    }
}
