/// A PersistentVolume: storage that a rebuilt cluster has to find again.
public struct PersistentVolume: Sendable, Hashable, Codable {
    /// The name.
    public var name: String
    /// The size, as a Kubernetes quantity such as `10Gi`.
    public var capacity: String?
    /// `Bound`, `Released`, `Available` or `Failed`.
    public var phase: String?
    /// How it may be mounted, such as `ReadWriteOnce`.
    public var accessModes: [String]
    /// What happens to the storage when its claim is deleted: `Retain` or `Delete`.
    public var reclaimPolicy: String?
    /// The class that made it.
    public var storageClassName: String?
    /// `Filesystem` or `Block`.
    public var volumeMode: String?
    /// Options of its mounts.
    public var mountOptions: [String]
    /// The claim that it is bound to.
    public var claim: ClaimReference?
    /// Where the storage is.
    public var source: VolumeSource?
    /// Which nodes can use it: any of these, each a sentence; empty for all.
    public var nodeAffinity: [String]

    init(_ object: ObjectValue, name: String) {
        self.name = name
        let spec = object["spec"]
        capacity = spec?["capacity"]?["storage"]?.text
        phase = object["status"]?["phase"]?.text
        accessModes = spec?["accessModes"]?.texts ?? []
        reclaimPolicy = spec?["persistentVolumeReclaimPolicy"]?.text
        storageClassName = spec?["storageClassName"]?.text
        volumeMode = spec?["volumeMode"]?.text
        mountOptions = spec?["mountOptions"]?.texts ?? []
        claim = spec?["claimRef"].flatMap(ClaimReference.init)
        source = spec.flatMap(VolumeSource.init)
        nodeAffinity =
            spec?["nodeAffinity"]?["required"]?["nodeSelectorTerms"]?.list.map(NodeAffinity.description) ?? []
    }
}

/// The claim that a volume is bound to.
public struct ClaimReference: Sendable, Hashable, Codable {
    /// The namespace.
    public var namespace: String
    /// The name.
    public var name: String

    init?(_ object: ObjectValue) {
        guard let name = object["name"]?.text else { return nil }
        self.name = name
        namespace = object["namespace"]?.text ?? ""
    }
}

/// Where a volume's storage is.
public struct VolumeSource: Sendable, Hashable, Codable {
    /// The name of the source in a PersistentVolume: `csi`, `nfs`, `hostPath`, `awsElasticBlockStore`.
    public var kind: String
    /// What identifies it, by the names of the API: `driver` and `volumeHandle` of `csi`, `server` and `path` of `nfs`.
    ///
    /// Lists are joined by commas. Passwords and references to secrets are not among them.
    public var fields: [String: String]

    /// The CSI driver.
    public var driver: String? { kind == "csi" ? fields["driver"] : nil }
    /// The driver's name for the volume.
    public var volumeHandle: String? { kind == "csi" ? fields["volumeHandle"] : nil }

    /// Names of sources and of the fields of each that are taken.
    private static let known: [String: [String]] = [
        "awsElasticBlockStore": ["volumeID", "fsType"], "azureDisk": ["diskName", "diskURI", "fsType"],
        "azureFile": ["shareName"], "cephfs": ["monitors", "path", "user"], "cinder": ["volumeID", "fsType"],
        "csi": ["driver", "volumeHandle", "fsType", "readOnly"], "fc": ["targetWWNs", "lun", "wwids", "fsType"],
        "flexVolume": ["driver", "fsType"], "flocker": ["datasetName", "datasetUUID"],
        "gcePersistentDisk": ["pdName", "fsType"], "glusterfs": ["endpoints", "path", "endpointsNamespace"],
        "hostPath": ["path", "type"], "iscsi": ["targetPortal", "iqn", "lun", "portals", "fsType"],
        "local": ["path", "fsType"], "nfs": ["server", "path", "readOnly"],
        "photonPersistentDisk": ["pdID", "fsType"], "portworxVolume": ["volumeID", "fsType"],
        "quobyte": ["registry", "volume", "tenant"], "rbd": ["monitors", "pool", "image", "user", "fsType"],
        "scaleIO": ["gateway", "system", "protectionDomain", "storagePool", "volumeName", "fsType"],
        "storageos": ["volumeName", "volumeNamespace", "fsType"], "vsphereVolume": ["volumePath", "fsType"],
    ]

    init?(_ spec: ObjectValue) {
        guard let (kind, names) = Self.known.first(where: { spec[$0.key] != nil }), let source = spec[kind] else {
            return nil
        }
        self.kind = kind
        fields = Dictionary(
            uniqueKeysWithValues: names.compactMap { name in
                let texts = source[name]?.texts ?? []
                return (source[name]?.text ?? (texts.isEmpty ? nil : texts.joined(separator: ","))).map { (name, $0) }
            })
    }
}

/// Puts terms of a node selector into words.
enum NodeAffinity {
    static func description(_ term: ObjectValue) -> String {
        let requirements = (term["matchExpressions"]?.list ?? []) + (term["matchFields"]?.list ?? [])
        return requirements.map(requirement).joined(separator: " and ")
    }

    private static func requirement(_ requirement: ObjectValue) -> String {
        let key = requirement["key"]?.text ?? "?"
        let values = (requirement["values"]?.texts ?? []).joined(separator: ", ")
        return switch requirement["operator"]?.text {
        case "In": "\(key) in (\(values))"
        case "NotIn": "\(key) not in (\(values))"
        case "Exists": "\(key) exists"
        case "DoesNotExist": "\(key) does not exist"
        case "Gt": "\(key) > \(values)"
        case "Lt": "\(key) < \(values)"
        case let other: "\(key) \(other ?? "?") (\(values))"
        }
    }
}

/// A PersistentVolumeClaim.
public struct PersistentVolumeClaim: Sendable, Hashable, Codable {
    /// The namespace.
    public var namespace: String
    /// The name.
    public var name: String
    /// `Bound`, `Pending` or `Lost`.
    public var phase: String?
    /// The volume that it is bound to.
    public var volumeName: String?
    /// The class that it asks for.
    public var storageClassName: String?
    /// How it may be mounted.
    public var accessModes: [String]
    /// `Filesystem` or `Block`.
    public var volumeMode: String?
    /// The size that it asks for.
    public var requested: String?
    /// The size that it has.
    public var capacity: String?

    init(_ object: ObjectValue, namespace: String, name: String) {
        self.namespace = namespace
        self.name = name
        let spec = object["spec"]
        phase = object["status"]?["phase"]?.text
        volumeName = spec?["volumeName"]?.text
        storageClassName = spec?["storageClassName"]?.text
        accessModes = spec?["accessModes"]?.texts ?? []
        volumeMode = spec?["volumeMode"]?.text
        requested = spec?["resources"]?["requests"]?["storage"]?.text
        capacity = object["status"]?["capacity"]?["storage"]?.text
    }
}

/// A StorageClass.
public struct StorageClass: Sendable, Hashable, Codable {
    /// The name.
    public var name: String
    /// Who makes its volumes.
    public var provisioner: String?
    /// What becomes of volumes whose claim is deleted.
    public var reclaimPolicy: String?
    /// Parameters for the provisioner.
    public var parameters: [String: String]
    /// Options of mounts.
    public var mountOptions: [String]
    /// Whether volumes may grow.
    public var allowsVolumeExpansion: Bool
    /// `Immediate` or `WaitForFirstConsumer`.
    public var volumeBindingMode: String?
    /// Whether claims without a class get this one.
    public var isDefault: Bool

    /// `k8s.io/component-helpers` `storage/volume` (`IsDefaultStorageClassAnnotation` and its beta form).
    private static let defaultAnnotations = [
        "storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class",
    ]

    init(_ object: ObjectValue, name: String) {
        self.name = name
        provisioner = object["provisioner"]?.text
        reclaimPolicy = object["reclaimPolicy"]?.text
        parameters = object["parameters"]?.textFields ?? [:]
        mountOptions = object["mountOptions"]?.texts ?? []
        allowsVolumeExpansion = object["allowVolumeExpansion"]?.isTrue ?? false
        volumeBindingMode = object["volumeBindingMode"]?.text
        let annotations = object["metadata"]?["annotations"]
        isDefault = Self.defaultAnnotations.contains { annotations?[$0]?.text == "true" }
    }
}

/// A VolumeAttachment.
public struct VolumeAttachment: Sendable, Hashable, Codable {
    /// The name.
    public var name: String
    /// The driver that attaches.
    public var attacher: String?
    /// The volume.
    public var persistentVolumeName: String?
    /// The node.
    public var nodeName: String?
    /// Whether it is attached.
    public var isAttached: Bool

    init(_ object: ObjectValue, name: String) {
        self.name = name
        attacher = object["spec"]?["attacher"]?.text
        persistentVolumeName = object["spec"]?["source"]?["persistentVolumeName"]?.text
        nodeName = object["spec"]?["nodeName"]?.text
        isAttached = object["status"]?["attached"]?.isTrue ?? false
    }
}

/// A CSIDriver: a storage driver that the cluster needs before volumes can be attached.
public struct CSIDriver: Sendable, Hashable, Codable {
    /// The driver's name.
    public var name: String
    /// Whether volumes are attached to nodes before they are mounted.
    public var attachRequired: Bool
    /// `Persistent`, `Ephemeral`.
    public var volumeLifecycleModes: [String]

    init(_ object: ObjectValue, name: String) {
        self.name = name
        // The API's default is true.
        attachRequired = object["spec"]?["attachRequired"] != .boolean(false)
        volumeLifecycleModes = object["spec"]?["volumeLifecycleModes"]?.texts ?? []
    }
}

/// A CSINode: what storage drivers call a node.
public struct CSINode: Sendable, Hashable, Codable {
    /// A driver on the node.
    public struct Driver: Sendable, Hashable, Codable {
        /// The driver's name.
        public var name: String
        /// The driver's name for the node.
        public var nodeID: String?
        /// The labels that say where the driver can reach.
        public var topologyKeys: [String]
    }

    /// The node's name.
    public var name: String
    /// The drivers.
    public var drivers: [Driver]

    init(_ object: ObjectValue, name: String) {
        self.name = name
        drivers = (object["spec"]?["drivers"]?.list ?? []).map { driver in
            Driver(
                name: driver["name"]?.text ?? "", nodeID: driver["nodeID"]?.text,
                topologyKeys: driver["topologyKeys"]?.texts ?? [])
        }
    }
}

/// A Node, as far as volumes are concerned.
public struct StorageNode: Sendable, Hashable, Codable {
    /// The name.
    public var name: String
    /// The machine at the cloud provider.
    public var providerID: String?
    /// The labels that node affinity of volumes refers to: host name, zone, region and those of storage drivers.
    public var topology: [String: String]

    init(_ object: ObjectValue, name: String) {
        self.name = name
        providerID = object["spec"]?["providerID"]?.text
        let labels = object["metadata"]?["labels"]?.textFields ?? [:]
        topology = labels.filter { $0.key.contains("topology") || $0.key == "kubernetes.io/hostname" }
    }
}
