import Protobuf

/// The kinds of objects that tell where a cluster's volumes are.
public enum VolumeObjectKind: String, Sendable, Codable, CaseIterable {
    /// A volume.
    case persistentVolume = "PersistentVolume"
    /// A claim to a volume.
    case persistentVolumeClaim = "PersistentVolumeClaim"
    /// How volumes are made.
    case storageClass = "StorageClass"
    /// A volume that is to be attached to a node.
    case volumeAttachment = "VolumeAttachment"
    /// A driver of the Container Storage Interface.
    case csiDriver = "CSIDriver"
    /// The drivers on a node.
    case csiNode = "CSINode"
    /// A node.
    case node = "Node"

    /// The second component of the keys in etcd (`k8s.io/kubernetes` 1.36 `pkg/registry`; nodes have kept an old name).
    public var resource: String {
        switch self {
        case .persistentVolume: "persistentvolumes"
        case .persistentVolumeClaim: "persistentvolumeclaims"
        case .storageClass: "storageclasses"
        case .volumeAttachment: "volumeattachments"
        case .csiDriver: "csidrivers"
        case .csiNode: "csinodes"
        case .node: "minions"
        }
    }

    var schema: MessageSchema {
        switch self {
        case .persistentVolume: .persistentVolume
        case .persistentVolumeClaim: .persistentVolumeClaim
        case .storageClass: .storageClass
        case .volumeAttachment: .volumeAttachment
        case .csiDriver: .csiDriver
        case .csiNode: .csiNode
        case .node: .node
        }
    }
}

/// What a value in etcd is, as the apiserver stores it.
enum StoredValue {
    /// The object, under the names that its fields have in JSON.
    case object(ObjectValue)
    /// Encrypted at rest.
    case encrypted
    /// Neither JSON nor protobuf of the kind that is expected, or with more elements than is sensible.
    case unreadable

    private static let encryptedMagic = Array("k8s:enc:".utf8)

    init(_ bytes: UnsafeRawBufferPointer, expecting kind: VolumeObjectKind) {
        if bytes.starts(with: Self.encryptedMagic) {
            self = .encrypted
        } else if let object = Self.decode(bytes, kind) {
            self = .object(object)
        } else {
            self = .unreadable
        }
    }

    private static func decode(_ bytes: UnsafeRawBufferPointer, _ kind: VolumeObjectKind) -> ObjectValue? {
        if let envelope = ProtobufEnvelope(bytes) {
            return envelope.kind == kind.rawValue ? kind.schema.decode(envelope.object) : nil
        }
        guard bytes.first == UInt8(ascii: "{"), let object = ObjectValue(json: bytes) else { return nil }
        return object["kind"]?.text == kind.rawValue ? object : nil
    }
}

/// `k8s\0` and a `runtime.Unknown`: type (1) and object (2).
///
/// k8s.io/apimachinery 1.36 `pkg/runtime/serializer/protobuf` (`protoEncodingPrefix`), `pkg/runtime/generated.proto`.
struct ProtobufEnvelope {
    private static let magic: [UInt8] = [0x6B, 0x38, 0x73, 0x00]
    private static let typeSchema = MessageSchema([1: .string("apiVersion"), 2: .string("kind")])

    var kind: String
    var object: UnsafeRawBufferPointer
    private var type: UnsafeRawBufferPointer

    /// Nil if the bytes are something else or malformed.
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.starts(with: Self.magic) else { return nil }
        var type: UnsafeRawBufferPointer?
        var object: UnsafeRawBufferPointer?
        let unknown = UnsafeRawBufferPointer(rebasing: bytes[Self.magic.count...])
        let isWellFormed = ProtobufReader.forEachField(in: unknown) { field in
            guard case .bytes(let payload) = field.payload else { return true }
            if field.number == 1 { type = payload }
            if field.number == 2 { object = payload }
            return true
        }
        guard isWellFormed, let type, let object, let kind = Self.typeSchema.decode(type)?["kind"]?.text else {
            return nil
        }
        self.kind = kind
        self.object = object
        self.type = type
    }

    /// The envelope with only those fields that are read.
    func projected(by schema: MessageSchema) -> [UInt8]? {
        guard let object = schema.project(object) else { return nil }
        var unknown = ProtobufWriter()
        unknown.field(1, type)
        unknown.field(2, object)
        return Self.magic + unknown.bytes
    }
}
