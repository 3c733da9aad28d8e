/// The volumes of a cluster and what is needed to attach them again after a rebuild.
public struct VolumeInventory: Sendable, Hashable, Codable {
    /// The volumes, by name.
    public var persistentVolumes: [PersistentVolume] = []
    /// The claims, by namespace and name.
    public var persistentVolumeClaims: [PersistentVolumeClaim] = []
    /// The classes.
    public var storageClasses: [StorageClass] = []
    /// Which volume is attached to which node.
    public var volumeAttachments: [VolumeAttachment] = []
    /// The storage drivers.
    public var csiDrivers: [CSIDriver] = []
    /// What storage drivers call the nodes.
    public var csiNodes: [CSINode] = []
    /// The nodes.
    public var nodes: [StorageNode] = []
    /// How many objects could not be read because they are encrypted at rest, by kind.
    public var encryptedCounts: [String: Int] = [:]
    /// How many objects are neither JSON nor protobuf of their kind, or have lists or maps of more than 4096 elements,
    /// by kind.
    public var unreadableCounts: [String: Int] = [:]
    /// Whether everything of these kinds is listed: false if there was more than could be kept, or objects could not be
    /// read.
    public var isComplete: Bool

    /// The second components of the keys whose rows make up an inventory.
    public static let resources = VolumeObjectKind.allCases.map(\.resource)

    /// Makes a stored value smaller by dropping what an inventory does not read.
    ///
    /// - Returns: nil for a value that is not protobuf of a known kind; it has to be kept as it is.
    public static func compact(_ value: UnsafeRawBufferPointer) -> [UInt8]? {
        guard let envelope = ProtobufEnvelope(value), let kind = VolumeObjectKind(rawValue: envelope.kind) else {
            return nil
        }
        return envelope.projected(by: kind.schema)
    }

    /// Reads an inventory out of rows of etcd; rows of other resources are passed over.
    ///
    /// - Parameters:
    ///   - rows: keys such as `/registry/persistentvolumes/a` and values as the apiserver stores them, or as ``compact(_:)``
    ///     left them; the newest revision of each.
    ///   - isComplete: whether these are all rows of ``resources``.
    public init(rows: some Sequence<(key: [UInt8], value: [UInt8])>, isComplete areAll: Bool) {
        isComplete = areAll
        for row in rows { add(row.key, row.value) }
        isComplete = areAll && encryptedCounts.isEmpty && unreadableCounts.isEmpty
        sort()
    }

    private mutating func add(_ key: [UInt8], _ value: [UInt8]) {
        guard let key = ObjectKey(key) else { return }
        switch value.withUnsafeBytes({ StoredValue($0, expecting: key.kind) }) {
        case .object(let object): add(object, key)
        case .encrypted: encryptedCounts[key.kind.rawValue, default: 0] += 1
        case .unreadable: unreadableCounts[key.kind.rawValue, default: 0] += 1
        }
    }

    private mutating func add(_ object: ObjectValue, _ key: ObjectKey) {
        let name = object["metadata"]?["name"]?.text ?? key.name
        switch key.kind {
        case .persistentVolume: persistentVolumes.append(PersistentVolume(object, name: name))
        case .persistentVolumeClaim:
            let namespace = object["metadata"]?["namespace"]?.text ?? key.namespace
            persistentVolumeClaims.append(PersistentVolumeClaim(object, namespace: namespace, name: name))
        case .storageClass: storageClasses.append(StorageClass(object, name: name))
        case .volumeAttachment: volumeAttachments.append(VolumeAttachment(object, name: name))
        case .csiDriver: csiDrivers.append(CSIDriver(object, name: name))
        case .csiNode: csiNodes.append(CSINode(object, name: name))
        case .node: nodes.append(StorageNode(object, name: name))
        }
    }

    private mutating func sort() {
        persistentVolumes.sort { $0.name < $1.name }
        persistentVolumeClaims.sort { ($0.namespace, $0.name) < ($1.namespace, $1.name) }
        storageClasses.sort { $0.name < $1.name }
        volumeAttachments.sort { $0.name < $1.name }
        csiDrivers.sort { $0.name < $1.name }
        csiNodes.sort { $0.name < $1.name }
        nodes.sort { $0.name < $1.name }
    }
}

/// The key of a stored object: `/<prefix>/<resource>[/<namespace>]/<name>`.
private struct ObjectKey {
    var kind: VolumeObjectKind
    var namespace: String
    var name: String

    init?(_ key: [UInt8]) {
        let parts = String(decoding: key, as: UTF8.self)
            .split(separator: "/", maxSplits: 4, omittingEmptySubsequences: false)
        guard parts.count >= 4, parts[0].isEmpty,
            let kind = VolumeObjectKind.allCases.first(where: { $0.resource == parts[2] })
        else { return nil }
        self.kind = kind
        namespace = parts.count > 4 ? String(parts[3]) : ""
        name = String(parts[parts.count - 1])
    }
}
