// Field numbers of k8s.io/api 1.36 `core/v1/generated.proto` and `storage/v1/generated.proto`, and of
// k8s.io/apimachinery `pkg/apis/meta/v1/generated.proto`. Numbers are never used again for another field, so one table
// reads objects of all versions. Fields that are not named here, such as `managedFields` and the references to secrets,
// are skipped.

extension MessageSchema {
    /// `meta.v1.ObjectMeta`.
    private static let metadata = MessageSchema([
        1: .string("name"), 3: .string("namespace"), 5: .string("uid"), 11: .stringMap("labels"),
        12: .stringMap("annotations"),
    ])

    private static func object(_ fields: [UInt64: Field]) -> MessageSchema {
        MessageSchema(fields.merging([1: .message("metadata", metadata)]) { first, _ in first })
    }

    /// `core.v1.PersistentVolume`.
    static let persistentVolume = object([
        2: .message("spec", persistentVolumeSpec),
        3: .message("status", MessageSchema([1: .string("phase")])),
    ])

    private static let persistentVolumeSpec = MessageSchema([
        1: .quantityMap("capacity"), 2: .inline(persistentVolumeSource), 3: .strings("accessModes"),
        4: .message("claimRef", MessageSchema([2: .string("namespace"), 3: .string("name"), 4: .string("uid")])),
        5: .string("persistentVolumeReclaimPolicy"), 6: .string("storageClassName"), 7: .strings("mountOptions"),
        8: .string("volumeMode"), 9: .message("nodeAffinity", volumeNodeAffinity),
    ])

    /// `core.v1.PersistentVolumeSource`, of which one member is set.
    private static let persistentVolumeSource = MessageSchema([
        1: .message("gcePersistentDisk", MessageSchema([1: .string("pdName"), 2: .string("fsType")])),
        2: .message("awsElasticBlockStore", MessageSchema([1: .string("volumeID"), 2: .string("fsType")])),
        3: .message("hostPath", MessageSchema([1: .string("path"), 2: .string("type")])),
        4: .message(
            "glusterfs",
            MessageSchema([1: .string("endpoints"), 2: .string("path"), 4: .string("endpointsNamespace")])),
        5: .message("nfs", MessageSchema([1: .string("server"), 2: .string("path"), 3: .boolean("readOnly")])),
        6: .message(
            "rbd",
            MessageSchema([
                1: .strings("monitors"), 2: .string("image"), 3: .string("fsType"), 4: .string("pool"),
                5: .string("user"),
            ])),
        7: .message(
            "iscsi",
            MessageSchema([
                1: .string("targetPortal"), 2: .string("iqn"), 3: .integer("lun"), 5: .string("fsType"),
                7: .strings("portals"),
            ])),
        8: .message("cinder", MessageSchema([1: .string("volumeID"), 2: .string("fsType")])),
        9: .message("cephfs", MessageSchema([1: .strings("monitors"), 2: .string("path"), 3: .string("user")])),
        10: .message(
            "fc",
            MessageSchema([
                1: .strings("targetWWNs"), 2: .integer("lun"), 3: .string("fsType"), 5: .strings("wwids"),
            ])),
        11: .message("flocker", MessageSchema([1: .string("datasetName"), 2: .string("datasetUUID")])),
        12: .message("flexVolume", MessageSchema([1: .string("driver"), 2: .string("fsType")])),
        13: .message("azureFile", MessageSchema([2: .string("shareName")])),
        14: .message("vsphereVolume", MessageSchema([1: .string("volumePath"), 2: .string("fsType")])),
        15: .message(
            "quobyte", MessageSchema([1: .string("registry"), 2: .string("volume"), 6: .string("tenant")])),
        16: .message(
            "azureDisk", MessageSchema([1: .string("diskName"), 2: .string("diskURI"), 4: .string("fsType")])),
        17: .message("photonPersistentDisk", MessageSchema([1: .string("pdID"), 2: .string("fsType")])),
        18: .message("portworxVolume", MessageSchema([1: .string("volumeID"), 2: .string("fsType")])),
        19: .message(
            "scaleIO",
            MessageSchema([
                1: .string("gateway"), 2: .string("system"), 5: .string("protectionDomain"), 6: .string("storagePool"),
                8: .string("volumeName"), 9: .string("fsType"),
            ])),
        20: .message("local", MessageSchema([1: .string("path"), 2: .string("fsType")])),
        21: .message(
            "storageos",
            MessageSchema([1: .string("volumeName"), 2: .string("volumeNamespace"), 3: .string("fsType")])),
        22: .message(
            "csi",
            MessageSchema([
                1: .string("driver"), 2: .string("volumeHandle"), 3: .boolean("readOnly"), 4: .string("fsType"),
            ])),
    ])

    /// `core.v1.VolumeNodeAffinity`.
    private static let volumeNodeAffinity: MessageSchema = {
        let requirement = MessageSchema([1: .string("key"), 2: .string("operator"), 3: .strings("values")])
        let term = MessageSchema([
            1: .messages("matchExpressions", requirement), 2: .messages("matchFields", requirement),
        ])
        return MessageSchema([1: .message("required", MessageSchema([1: .messages("nodeSelectorTerms", term)]))])
    }()

    /// `core.v1.PersistentVolumeClaim`.
    static let persistentVolumeClaim = object([
        2: .message(
            "spec",
            MessageSchema([
                1: .strings("accessModes"), 2: .message("resources", MessageSchema([2: .quantityMap("requests")])),
                3: .string("volumeName"), 5: .string("storageClassName"), 6: .string("volumeMode"),
            ])),
        3: .message("status", MessageSchema([1: .string("phase"), 3: .quantityMap("capacity")])),
    ])

    /// `storage.v1.StorageClass`.
    static let storageClass = object([
        2: .string("provisioner"), 3: .stringMap("parameters"), 4: .string("reclaimPolicy"),
        5: .strings("mountOptions"), 6: .boolean("allowVolumeExpansion"), 7: .string("volumeBindingMode"),
    ])

    /// `storage.v1.VolumeAttachment`.
    static let volumeAttachment = object([
        2: .message(
            "spec",
            MessageSchema([
                1: .string("attacher"), 2: .message("source", MessageSchema([1: .string("persistentVolumeName")])),
                3: .string("nodeName"),
            ])),
        3: .message("status", MessageSchema([1: .boolean("attached")])),
    ])

    /// `storage.v1.CSIDriver`.
    static let csiDriver = object([
        2: .message("spec", MessageSchema([1: .boolean("attachRequired"), 3: .strings("volumeLifecycleModes")]))
    ])

    /// `storage.v1.CSINode`.
    static let csiNode = object([
        2: .message(
            "spec",
            MessageSchema([
                1: .messages(
                    "drivers",
                    MessageSchema([1: .string("name"), 2: .string("nodeID"), 3: .strings("topologyKeys")]))
            ]))
    ])

    /// `core.v1.Node`.
    static let node = object([2: .message("spec", MessageSchema([3: .string("providerID")]))])
}
