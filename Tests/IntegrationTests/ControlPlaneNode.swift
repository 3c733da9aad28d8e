import Foundation
import TestSupport

/// The file system of a control-plane node as kubeadm made it: `Tests/Fixtures/kubeadm` with the modes that keys have.
struct ControlPlaneNode {
    /// The directory that is the node's root.
    let root: String

    /// A node whose etcd's arguments are the fixture's, of another cluster than any server of a test.
    init(in directory: TemporaryDirectory) throws {
        root = directory.file("node")
        let fixture = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures/kubeadm/etc").path
        try shell(
            """
            umask 022; mkdir "$1"; cp -R "$2" "$1/etc"
            find "$1" -type d -exec chmod 0755 {} +
            find "$1" -type f -exec chmod 0644 {} +
            find "$1" -type f '(' -name '*.key' -o -name '*.conf' ')' -exec chmod 0600 {} +
            """, root, fixture)
    }

    /// A node whose manifests are those of a server: its name and its URLs.
    init(in directory: TemporaryDirectory, runs server: EtcdServer) throws {
        try self.init(in: directory)
        try shell(
            #"""
            cd "$1/etc/kubernetes/manifests"
            sed -i -e "s#https://127.0.0.1:2379,https://192.0.2.10:2379#$3#" -e "s#https://[0-9.]*:2379#$3#" \
                -e "s#https://192.0.2.10:2380#$4#g" -e "s#=cp0#=$2#" etcd.yaml kube-apiserver.yaml
            """#, root, server.name, server.clientURL, "http://127.0.0.1:\(server.peerPort)")
    }

    /// Adds the manifest of a second etcd, without TLS, to one that runs `server`.
    func addEvents(_ events: EtcdServer, beside server: EtcdServer) throws {
        try shell(
            #"""
            cd "$1/etc/kubernetes/manifests"
            sed -e '/--[a-z-]*\(cert\|key\|ca\)-file=/d' -e '/--.*client-cert-auth/d' -e "s#$2#$3#g" \
                -e 's#/var/lib/etcd#/var/lib/etcd-events#' -e 's#^  name: etcd$#  name: etcd-events#' \
                -e "s#http://127.0.0.1:$4#http://127.0.0.1:$5#" etcd.yaml >etcd-events.yaml
            """#, root, server.clientURL, events.clientURL, "\(server.peerPort)", "\(events.peerPort)")
    }

    /// A path of the node as this host sees it.
    func file(_ path: String) -> String { root + path }

    /// Changes the tree by a script that runs in the node's root.
    func change(_ script: String) throws { try shell("cd \"$1\"; \(script)", root) }

    /// Replaces etcd's own certificates and its clients' by those of an authority whose server is running.
    func adopt(_ pki: TestPKI) throws {
        try shell(
            """
            cd "$1/etc/kubernetes/pki"
            cp "$2" etcd/ca.crt; cp "$(dirname "$2")/ca.key" etcd/ca.key
            for name in etcd/server etcd/peer; do cp "$3" $name.crt; cp "$4" $name.key; done
            for name in etcd/healthcheck-client apiserver-etcd-client; do cp "$5" $name.crt; cp "$6" $name.key; done
            """, root, pki.caPath, pki.server.certificatePath, pki.server.keyPath, pki.client.certificatePath,
            pki.client.keyPath)
    }

    /// Everything below the root but for directories: absolute paths of the node.
    func files() throws -> Set<String> {
        let text = try shell("cd \"$1\"; find . ! -type d -printf '/%P\\0'", root).text
        return Set(text.split(separator: "\0").map(String.init))
    }
}

/// Everything below a directory with kind, mode, owner, size, link count, inode, times of content and of change, and
/// digests: what differs if anything was touched.
func listing(_ directory: String) throws -> String {
    try shell(
        """
        cd "$1"
        find . -printf '%y %m %U:%G %s %n %i %T@ %C@ %P %l\\n' | LC_ALL=C sort
        find . -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum
        """, directory
    ).text
}

/// What rsync would change below a copy's root, which has a mode and times of its own.
func differencesBelow(_ original: String, _ copy: String) throws -> [Substring] {
    try differences(original, copy).split(separator: "\n").filter { !$0.hasSuffix(" ./") }
}
