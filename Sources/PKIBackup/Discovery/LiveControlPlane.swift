import HostIO
import NodeFiles

/// What runs of a control plane on this host, in whose files nothing may be placed meanwhile.
public struct LiveControlPlane {
    /// Distributions are one process of the name.
    private static let programs: Set<String> = [
        "kubelet", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd", "kine", "k3s", "rke2", "k0s",
        "microshift", "kubelite",
    ]
    /// The ports of Kubernetes' documentation, "Ports and Protocols", "Control plane".
    private static let ports: [(number: Int, component: String)] = [
        (2379, "etcd's clients"), (2380, "etcd's peers"), (6443, "the API server"), (10250, "the kubelet"),
    ]

    private let processes: ProcessTable
    private let proc: NodeRoot

    /// The processes and sockets in a directory laid out as `/proc` is.
    public init(processes directory: String = "/proc") {
        processes = ProcessTable(directory: directory)
        proc = NodeRoot(prefix: directory)
    }

    /// Whether it can be told at all: not where `/proc` is not mounted.
    public var isVisible: Bool { processes.isVisible }

    /// What uses the files below `root`: processes for which it is the root directory, or on this host's own root anything
    /// that runs or listens; each in a few words.
    public func users(of root: OpenDirectory) throws -> [String] {
        let isHost = try root.attributes().identity == OpenDirectory(path: "/").attributes().identity
        let identity = try root.attributes().identity
        let running = processes.running(Self.programs).filter { isHost || hasRoot(identity, $0.number) }
            .map { "\($0.program) (process \($0.number))" }
        return isHost ? running + listeners() : running
    }

    private func hasRoot(_ identity: FileIdentity, _ number: Int) -> Bool {
        let directory = try? OpenDirectory(path: proc.location(of: "/\(number)/root"))
        return (try? directory?.attributes().identity) == identity
    }

    /// TCP sockets that listen (proc_pid_net(5), `/proc/net/tcp`: `local_address` ends in the port, `st` is 0A).
    private func listeners() -> [String] {
        var listening: Set<Int> = []
        for name in ["tcp", "tcp6"] {
            guard let bytes = try? proc.bytes(of: "/self/net/\(name)", limitByteCount: 64 << 20) else { continue }
            for line in bytes.split(separator: 0x0A).dropFirst() {
                let fields = String(decoding: line, as: UTF8.self).split(separator: " ")
                guard fields.count > 3, fields[3] == "0A", let port = fields[1].split(separator: ":").last else {
                    continue
                }
                if let number = Int(port, radix: 16) { listening.insert(number) }
            }
        }
        return Self.ports.filter { listening.contains($0.number) }.map {
            "a listener on port \($0.number), that of \($0.component)"
        }
    }
}
