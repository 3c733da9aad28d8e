import Protobuf

/// What an object of any kind tells of who made it and where it belongs, as far as a rebuild asks.
///
/// Field numbers of k8s.io/api 1.36 `core/v1/generated.proto` and `coordination/v1/generated.proto`.
public struct ObjectFacts: Sendable, Equatable {
    /// The kind, such as `Pod`.
    public var kind: String
    /// The labels.
    public var labels: [String: String]
    /// The annotations.
    public var annotations: [String: String]
    /// The node that a pod runs on.
    public var nodeName: String?
    /// Who holds a lease.
    public var holderIdentity: String?
    /// For how long a lease is held without being renewed.
    public var leaseDurationSeconds: Int?

    /// Nil if a value is neither protobuf nor JSON of an object; what is encrypted has to be decrypted before.
    public init?(_ value: UnsafeRawBufferPointer) {
        let object: ObjectValue
        if let envelope = ProtobufEnvelope(value) {
            guard let decoded = Self.schema(of: envelope.kind).decode(envelope.object) else { return nil }
            kind = envelope.kind
            object = decoded
        } else {
            guard value.first == UInt8(ascii: "{"), let decoded = ObjectValue(json: value),
                let kind = decoded["kind"]?.text
            else { return nil }
            self.kind = kind
            object = decoded
        }
        let metadata = object["metadata"]
        labels = metadata?["labels"]?.textFields ?? [:]
        annotations = metadata?["annotations"]?.textFields ?? [:]
        nodeName = object["spec"]?["nodeName"]?.text
        holderIdentity = object["spec"]?["holderIdentity"]?.text
        leaseDurationSeconds = (object["spec"]?["leaseDurationSeconds"]?.text).flatMap { Int($0) }
    }

    /// Whether a kubelet has made the pod of a file of its own.
    public var isMirrorPod: Bool { kind == "Pod" && annotations["kubernetes.io/config.mirror"] != nil }

    private static let metadata = MessageSchema([11: .stringMap("labels"), 12: .stringMap("annotations")])
    private static let pod = MessageSchema([
        1: .message("metadata", metadata), 2: .message("spec", MessageSchema([10: .string("nodeName")])),
    ])
    private static let lease = MessageSchema([
        1: .message("metadata", metadata),
        2: .message("spec", MessageSchema([1: .string("holderIdentity"), 2: .integer("leaseDurationSeconds")])),
    ])
    private static let other = MessageSchema([1: .message("metadata", metadata)])

    private static func schema(of kind: String) -> MessageSchema {
        switch kind {
        case "Pod": pod
        case "Lease": lease
        default: other
        }
    }
}
