import Foundation
import SealedArchive
import TestSupport
import Testing

@testable import PKIBackup

/// Files that configurations name, which are in no directory of a known layout.
@Suite(.timeLimit(.minutes(45))) struct DistributionFileTests {
    private let tree: NodeTree

    init() throws { tree = try NodeTree() }

    private func expect(
        _ files: [String: CaptureClass], sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        try tree.touch(files.keys.sorted())
        let layout = tree.discover()
        #expect(layout.findings.isEmpty, "\(layout.findings)", sourceLocation: sourceLocation)
        for (path, captureClass) in files {
            #expect(layout.reference(path)?.captureClass == captureClass, "\(path)", sourceLocation: sourceLocation)
        }
    }

    @Test(arguments: ["k3s", "rke2"]) func registries(_ distribution: String) throws {
        try tree.write(
            """
            mirrors: {docker.io: {endpoint: ["https://registry.example.org"]}}
            configs:
              registry.example.org:
                auth: {username: u}
                tls: {ca_file: /srv/r/ca.pem, cert_file: /srv/r/client.pem, key_file: /srv/r/client-key.pem}
            """, to: "/etc/rancher/\(distribution)/registries.yaml")
        try tree.write("token: t\n", to: "/etc/rancher/\(distribution)/config.yaml")
        try expect([
            "/srv/r/ca.pem": .containerRuntime, "/srv/r/client.pem": .containerRuntime,
            "/srv/r/client-key.pem": .containerRuntime,
        ])
    }

    @Test func namedCertificatesAndManifestsOfMicroShift() throws {
        try tree.write(
            "apiServer: {namedCertificates: [{names: [a], certPath: /srv/a.crt, keyPath: /srv/a.key}]}\n",
            to: "/etc/microshift/config.yaml")
        try tree.write(
            """
            apiServer:
              namedCertificates:
              - {certPath: /srv/b.crt, keyPath: /srv/b.key}
            manifests:
              kustomizePaths: [/usr/lib/microshift/manifests, "/srv/apps/*"]
            """, to: "/etc/microshift/config.d/10.yaml")
        try tree.touch(["/srv/apps/one/kustomization.yaml"])
        try expect([
            "/srv/a.crt": .certificate, "/srv/a.key": .privateKey, "/srv/b.crt": .certificate,
            "/srv/b.key": .privateKey,
        ])
        #expect(tree.discover().reference("/srv/apps/one")?.captureClass == .distribution)
    }

    @Test func argumentsOfK0sInOneValue() throws {
        try tree.write(
            "[Service]\nExecStart=/usr/bin/k0s controller --enable-worker '--kubelet-extra-args=--v=2 "
                + "--config=/srv/kubelet.yaml' '--kube-controller-manager-extra-args=--cloud-config=/srv/cloud.conf'\n"
                + "[Install]\nWantedBy=multi-user.target\n", to: "/etc/systemd/system/k0scontroller.service")
        try tree.write("kind: KubeletConfiguration\n", to: "/srv/kubelet.yaml")
        try expect(["/srv/cloud.conf": .cloudProvider])
        #expect(tree.discover().reference("/srv/kubelet.yaml")?.captureClass == .kubeletConfiguration)
    }

    @Test func argumentsOfKubeProxy() throws {
        try tree.write("kube-proxy-arg: [config=/srv/proxy.yaml]\n", to: "/etc/rancher/k3s/config.yaml")
        try expect(["/srv/proxy.yaml": .component])
    }
}
