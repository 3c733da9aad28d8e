import HostIO
import NodeFiles

/// By what a file system tells whose node it is.
public enum NodeIdentity {
    /// The largest file that is read for it, in bytes.
    public static let limitByteCount = 1 << 20

    /// The node's names by its host name, the kubelet's user, and its member of etcd, in this order; empty if nothing tells.
    ///
    /// A kubeconfig's user `system:node:NAME` is that of Kubernetes' node authorizer; `--name` is etcd's, which kubeadm sets
    /// to the node's.
    ///
    /// - Parameter read: the bytes of the file at an absolute path; nil if it is not there or too large.
    public static func names(reading read: (String) -> [UInt8]?) -> [String] {
        func text(_ path: String) -> String? { read(path).map { String(decoding: $0, as: UTF8.self) } }
        let hostName = text("/etc/hostname")?.split(whereSeparator: \.isWhitespace).first.map(String.init)
        let kubelet = text("/etc/kubernetes/kubelet.conf").flatMap { word(after: "system:node:", in: $0) }
        let member = text("/etc/kubernetes/manifests/etcd.yaml").flatMap { word(after: "--name=", in: $0) }
        return [hostName, kubelet, member].compactMap { $0 }
    }

    /// The names of the node whose file system is at `root`.
    public static func names(in root: NodeRoot) -> [String] {
        names { try? root.bytes(of: $0, limitByteCount: limitByteCount) }
    }

    private static func word(after mark: String, in text: String) -> String? {
        guard let range = text.firstRange(of: mark) else { return nil }
        let word = text[range.upperBound...].prefix { $0.isLetter || $0.isNumber || $0 == "." || $0 == "-" }
        return word.isEmpty ? nil : String(word)
    }
}
