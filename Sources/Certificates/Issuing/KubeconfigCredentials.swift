import HostIO
import YAML

/// Gives the user of a kubeconfig other credentials where the old ones stand; every other byte stays.
enum KubeconfigCredentials {
    /// A field of a user and the bytes that are to be in it.
    typealias Field = (name: String, value: SecretBytes)

    static let certificateField = "client-certificate-data"
    static let keyField = "client-key-data"

    /// The kubeconfig with other values of fields that it has.
    ///
    /// - Throws: ``Failure`` that names the path, and nothing of the content, for what can't be changed safely.
    static func replacing(
        _ fields: [Field], of user: String, in kubeconfig: SecretBytes, path: String
    ) throws(Failure) -> SecretBytes {
        var bytes = kubeconfig.withUnsafeBytes { Array($0) }
        defer { bytes.wipe() }
        let root = try document(bytes, path)
        guard let root, !root.hasAlias, let value = root.items("users").first(where: { $0.text("name") == user }) else {
            throw refusal(path, "has aliases, or not the user \(quoted(user))")
        }
        var replacements: [(range: Range<Int>, value: SecretBytes)] = []
        for field in fields {
            guard let node = value.value("user")?.value(field.name), let scalar = node.scalar,
                scalar.style != .literal, scalar.style != .folded
            else { throw refusal(path, "does not have the \(field.name) of the user \(quoted(user)) on one line") }
            replacements.append((node.mark.contentBytes, field.value))
        }
        // So that the array does not grow, which would leave copies behind.
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count + replacements.reduce(0) { $0 + ($1.value.count + 2) / 3 * 4 })
        var position = 0
        for (range, value) in replacements.sorted(by: { $0.range.lowerBound < $1.range.lowerBound }) {
            result += bytes[position..<range.lowerBound]
            // Base64 needs no quotes in any style of YAML.
            var text = value.withUnsafeBytes { Base64.encode($0, padded: true) }
            result += text
            text.wipe()
            position = range.upperBound
        }
        result += bytes[position...]
        defer { result.wipe() }
        return result.withUnsafeBytes { SecretBytes(copying: $0) }
    }

    /// The kubeconfig that is in bytes.
    ///
    /// - Throws: ``Failure`` that names the path, and nothing of the content.
    static func read(_ bytes: SecretBytes, path: String) throws(Failure) -> Kubeconfig {
        var copy = bytes.withUnsafeBytes { Array($0) }
        defer { copy.wipe() }
        let root = try document(copy, path)
        do {
            return try Kubeconfig(root, path: path)
        } catch {
            throw Failure(wrapping: error)
        }
    }

    private static func document(_ bytes: [UInt8], _ path: String) throws(Failure) -> Node? {
        do {
            return try Node.first(in: bytes)
        } catch {
            throw Failure(.failed, "\(quoted(path)) is not valid YAML: \(error)")
        }
    }

    private static func refusal(_ path: String, _ why: String) -> Failure {
        Failure(
            .failed, "the kubeconfig \(quoted(path)) \(why), and its certificate can't be replaced safely",
            hint: "write it as kubeadm does, with the data of the certificate and the key on a line each")
    }
}

extension Node {
    /// Whether an alias stands in it, so that one value counts in two places.
    fileprivate var hasAlias: Bool {
        if isAlias { return true }
        return switch content {
        case .scalar: false
        case .sequence(let nodes): nodes.contains(where: \.hasAlias)
        case .mapping(let pairs): pairs.contains { $0.key.hasAlias || $0.value.hasAlias }
        }
    }
}
