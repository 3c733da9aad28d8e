/// By what a file system tells whose node it is.
public enum NodeIdentity {
    private static let limitByteCount = 1 << 20

    /// The node's name by its host name, the kubelet's user, or its member of etcd; nil if nothing there tells it.
    ///
    /// A kubeconfig's user `system:node:NAME` is that of Kubernetes' node authorizer; `--name` is etcd's, which kubeadm sets
    /// to the node's.
    public static func name(in root: NodeRoot) -> String? {
        hostName(root)
            ?? word(after: "system:node:", in: "/etc/kubernetes/kubelet.conf", root)
            ?? word(after: "--name=", in: "/etc/kubernetes/manifests/etcd.yaml", root)
    }

    private static func hostName(_ root: NodeRoot) -> String? {
        text(of: "/etc/hostname", root)?.split(whereSeparator: \.isWhitespace).first.map(String.init)
    }

    private static func word(after mark: String, in path: String, _ root: NodeRoot) -> String? {
        guard let text = text(of: path, root), let range = text.firstRange(of: mark) else { return nil }
        let word = text[range.upperBound...].prefix { $0.isLetter || $0.isNumber || $0 == "." || $0 == "-" }
        return word.isEmpty ? nil : String(word)
    }

    private static func text(of path: String, _ root: NodeRoot) -> String? {
        (try? root.bytes(of: path, limitByteCount: limitByteCount)).map { String(decoding: $0, as: UTF8.self) }
    }
}
