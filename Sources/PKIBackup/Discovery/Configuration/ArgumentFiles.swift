import HostIO
import NodeFiles

/// Components whose arguments are in a file of each one's name: MicroK8s' and Canonical Kubernetes' snaps.
///
/// Sources: MicroK8s, `microk8s-resources/default-args` and `microk8s-resources/wrappers/run-kubelite-with-args`; Canonical
/// Kubernetes, `src/k8s/pkg/snap/snap.go` (`ServiceArgumentsDir`).
enum ArgumentFiles {
    /// A snap's directory of such files, with the variables that they may use.
    struct Snap {
        let distribution: String
        let directory: String
        let variables: [String: String]
    }

    static let snaps = [
        Snap(
            distribution: "microk8s", directory: "/var/snap/microk8s/current/args",
            variables: [
                "SNAP": "/snap/microk8s/current", "SNAP_DATA": "/var/snap/microk8s/current",
                "SNAP_COMMON": "/var/snap/microk8s/common",
            ]),
        Snap(
            distribution: "k8s", directory: "/var/snap/k8s/common/args",
            variables: [
                "SNAP": "/snap/k8s/current", "SNAP_DATA": "/var/snap/k8s/current",
                "SNAP_COMMON": "/var/snap/k8s/common",
            ]),
    ]

    /// Programs that have such a file.
    static let programs = [
        "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "etcd", "flanneld",
    ]

    /// The arguments of a file: those of each line, without comments, quotes undone and variables in their place.
    static func words(_ bytes: [UInt8], variables: [String: String]) -> [String] {
        var words: [String] = []
        ShellWords.read(String(decoding: bytes, as: UTF8.self), variables) { command, _ in words += command }
        return words
    }
}

extension LayoutBuilder {
    /// Adds the components that snaps start with arguments of files.
    mutating func addArgumentFiles() {
        for snap in ArgumentFiles.snaps {
            for program in ArgumentFiles.programs {
                let path = joinPath(snap.directory, program)
                guard root.attributes(of: path)?.kind == .file, let bytes = bytes(of: path) else { continue }
                collector.add(path, .distribution, by: "\(snap.distribution) arguments", isRequired: false)
                let words = ArgumentFiles.words(bytes, variables: snap.variables)
                let flags = CommandLineFlags.flags(words)
                var component = Component(name: program, source: path)
                component.workingDirectory = "/"
                component.configuration = MergedConfiguration(flags.values, unresolved: flags.unresolved, from: path)
                guard !layout.components.contains(where: { isSame($0, component) }), isUsed(component) else { continue }
                add(component)
            }
        }
        addDqlite()
    }

    /// The files of an etcd and a network are there, whether they are used or not.
    private func isUsed(_ component: Component) -> Bool {
        guard component.name == "etcd" else { return true }
        guard let path = dataDirectory(of: component) else { return false }
        return root.attributes(of: joinPath(path, "member"))?.kind == .directory
    }

    /// MicroK8s has the cluster's data in dqlite, which only its own processes can read.
    private mutating func addDqlite() {
        let server = layout.components.first { $0.name == "kube-apiserver" && $0.source.hasPrefix("/var/snap/") }
        guard layout.datastore == nil, let server,
            server.flags["etcd-servers"]?.contains(where: { $0.hasPrefix("unix:") }) == true
        else { return }
        layout.datastore = .elsewhere("dqlite")
        layout.datastoreOrigin = server.source
    }
}
