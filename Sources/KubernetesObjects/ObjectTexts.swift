import Protobuf

/// The texts in a stored object, each with the field that has it.
///
/// Protobuf is walked without its schema: what is text is given as text, and what is a message is entered, so that a name
/// which follows another field's tag is not taken for a longer one. `managedFields`, which only repeat others, are left out.
public struct ObjectTexts {
    /// A text is lent; its place is like `data[kubeconfig.conf]` or `spec`, empty where no name is known.
    public typealias Body = (_ place: String, _ text: UnsafeRawBufferPointer) -> Void

    private static let maximumDepth = 40
    private let isWanted: (UnsafeRawBufferPointer) -> Bool

    /// - Parameter isWanted: whether bytes may have what is looked for; where it says no, nothing below is looked at.
    public init(where isWanted: @escaping (UnsafeRawBufferPointer) -> Bool) { self.isWanted = isWanted }

    /// Visits the texts.
    ///
    /// - Returns: false for a value that is neither protobuf nor JSON, of which nothing is visited.
    public func forEach(in value: UnsafeRawBufferPointer, _ body: Body) -> Bool {
        if let envelope = ProtobufEnvelope(value) {
            let names = Self.fields[envelope.kind] ?? Self.usualFields
            return walk(envelope.object, 0, body) { number in
                number == 1
                    ? .metadata
                    : Self.mapNames.contains(names[number] ?? "")
                        ? .map(names[number] ?? "") : .below(names[number] ?? "")
            }
        }
        guard value.first == UInt8(ascii: "{"), let object = ObjectValue(json: value) else { return false }
        walk(object, "", body)
        return true
    }

    // MARK: Protobuf

    /// How the fields of a message are called.
    private enum Naming {
        case metadata
        /// A map's entry: key (1) and value (2).
        case map(String)
        /// Somewhere below a field.
        case below(String)
        /// Nobody wants it.
        case left
    }

    private static let usualFields: [UInt64: String] = [2: "spec", 3: "status"]
    /// What is not `spec` and `status` of the kinds that often have names of nodes.
    private static let fields: [String: [UInt64: String]] = [
        "ConfigMap": [2: "data", 3: "binaryData"], "Secret": [2: "data", 3: "type"], "Endpoints": [2: "subsets"],
        "EndpointSlice": [2: "endpoints", 3: "ports"], "ControllerRevision": [2: "data"],
        "RoleBinding": [2: "subjects", 3: "roleRef"], "ClusterRoleBinding": [2: "subjects", 3: "roleRef"],
        "Role": [2: "rules"], "ClusterRole": [2: "rules"], "ServiceAccount": [2: "secrets"],
        "MutatingWebhookConfiguration": [2: "webhooks"], "ValidatingWebhookConfiguration": [2: "webhooks"],
        "StorageClass": [2: "provisioner", 3: "parameters"], "PriorityClass": [:], "Event": [:],
    ]
    private static let metadataFields: [UInt64: String] = [
        1: "name", 2: "generateName", 3: "namespace", 11: "labels", 12: "annotations", 13: "ownerReferences",
        14: "finalizers",
    ]
    private static let managedFields: UInt64 = 17
    private static let mapNames: Set<String> = ["data", "binaryData", "labels", "annotations"]

    /// - Returns: whether it is a message.
    @discardableResult
    private func walk(
        _ message: UnsafeRawBufferPointer, _ depth: Int, _ body: Body, _ naming: (UInt64) -> Naming
    ) -> Bool {
        guard depth < Self.maximumDepth, ProtobufReader.forEachField(in: message, { _ in true }) else { return false }
        return ProtobufReader.forEachField(in: message) { field in
            guard case .bytes(let payload) = field.payload, isWanted(payload) else { return true }
            switch naming(field.number) {
            case .left: break
            case .metadata: walkMetadata(payload, depth + 1, body)
            case .map(let name): walkEntry(payload, depth + 1, name, body)
            case .below(let name):
                if isText(payload) { body(name, payload) }
                walk(payload, depth + 1, body) { _ in .below(name) }
            }
            return true
        }
    }

    private func walkMetadata(_ message: UnsafeRawBufferPointer, _ depth: Int, _ body: Body) {
        walk(message, depth, body) { number in
            if number == Self.managedFields { return .left }
            let name = "metadata" + (Self.metadataFields[number].map { ".\($0)" } ?? "")
            return number == 11 || number == 12 ? .map(name) : .below(name)
        }
    }

    private func walkEntry(_ entry: UnsafeRawBufferPointer, _ depth: Int, _ name: String, _ body: Body) {
        var key = ""
        _ = ProtobufReader.forEachField(in: entry) { field in
            if field.number == 1, case .bytes(let bytes) = field.payload {
                key = String(decoding: bytes, as: UTF8.self)
            }
            return true
        }
        walk(entry, depth, body) { _ in .below("\(name)[\(key)]") }
    }

    /// Whether bytes are text: no control characters but those of lines, and valid UTF-8.
    private func isText(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.allSatisfy { $0 >= 0x20 && $0 != 0x7F || $0 == 0x0A || $0 == 0x09 || $0 == 0x0D }
            && String(validating: bytes, as: UTF8.self) != nil
    }

    // MARK: JSON

    private func walk(_ value: ObjectValue, _ place: String, _ body: Body) {
        switch value {
        case .string(let text):
            var text = text
            text.withUTF8 { body(place, UnsafeRawBufferPointer($0)) }
        case .list(let elements): for element in elements { walk(element, place, body) }
        case .object(let fields):
            for (name, field) in fields.sorted(by: { $0.key < $1.key })
            where place != "metadata" || name != "managedFields" {
                var name = name
                let whole =
                    place.isEmpty
                    ? name : Self.mapNames.contains(lastPart(of: place)) ? "\(place)[\(name)]" : "\(place).\(name)"
                name.withUTF8 { body(whole, UnsafeRawBufferPointer($0)) }
                walk(field, whole, body)
            }
        case .integer, .boolean, .null: break
        }
    }

    private func lastPart(of place: String) -> String {
        place.lastIndex(of: ".").map { String(place[place.index(after: $0)...]) } ?? place
    }
}
