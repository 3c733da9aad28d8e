import EtcdSnap
import Foundation
import HostIO
import TestSupport
import Testing

@testable import Operations

@Suite struct EtcdSourceTests {
    let layout = KubeadmLayout(root: kubeadmRoot)
    let directory = "\(kubeadmRoot)/etc/kubernetes/pki/etcd"

    private func endpoints(_ source: EtcdSource) -> [String] { source.client.endpoints.map(\.description) }

    @Test func findsWhatKubeadmLeft() throws {
        let source = try EtcdSource.resolve(Configuration.Etcd(), layout: layout)
        #expect(endpoints(source) == ["https://127.0.0.1:2379", "https://192.0.2.10:2379"])
        #expect(source.client.tls.caPath == "\(directory)/ca.crt")
        #expect(source.client.tls.certificatePath == "\(directory)/healthcheck-client.crt")
        #expect(source.client.tls.keyPath == "\(directory)/healthcheck-client.key")
        #expect(source.name == "etcd" && source.client.credentials == nil)
        #expect(source.discovered.count == 3)
    }

    @Test func whatIsGivenWins() throws {
        var section = Configuration.Etcd()
        section.endpoints = ["https://10.0.0.1:4001"]
        section.cacert = "/ca"
        section.cert = "/cert"
        section.key = "/key"
        section.serverName = "etcd.example"
        section.name = "events"
        (section.dialTimeoutSeconds, section.stallTimeoutSeconds, section.timeoutSeconds) = (1, 2, 3)
        let source = try EtcdSource.resolve(section, layout: layout)
        #expect(endpoints(source) == ["https://10.0.0.1:4001"])
        #expect(
            source.client.tls
                == TLSFiles(caPath: "/ca", certificatePath: "/cert", keyPath: "/key", serverName: "etcd.example"))
        #expect(source.name == "events" && source.discovered.isEmpty)
        #expect(source.client.dialTimeout == .seconds(1))
        #expect(source.client.stallTimeout == .seconds(2))
        #expect(source.client.totalTimeout == .seconds(3))
    }

    @Test func aPairIsTakenWholeOrNotAtAll() throws {
        var section = Configuration.Etcd()
        section.cert = "/cert"
        let source = try EtcdSource.resolve(section, layout: layout)
        #expect(source.client.tls.certificatePath == "/cert" && source.client.tls.keyPath == nil)
        #expect(source.client.tls.caPath == "\(directory)/ca.crt")
    }

    @Test func plaintextNeedsNoCertificates() throws {
        var section = Configuration.Etcd()
        section.endpoints = ["http://127.0.0.1:2379"]
        let source = try EtcdSource.resolve(section, layout: layout)
        #expect(source.client.tls == TLSFiles() && source.discovered.isEmpty)
    }

    @Test func withoutKubeadmItAsksTheUsualPort() throws {
        let scratch = try TemporaryDirectory()
        let source = try EtcdSource.resolve(Configuration.Etcd(), layout: KubeadmLayout(root: scratch.path))
        #expect(endpoints(source) == ["https://127.0.0.1:2379"])
        #expect(source.client.tls.caPath == nil && source.discovered.isEmpty)
    }

    @Test(arguments: [
        "", "text", "spec: {}", "spec:\n  containers: []", "spec: [", "spec:\n  containers:\n  - command: x",
    ])
    func aManifestWithoutURLsIsPassedOver(text: String) throws {
        let scratch = try TemporaryDirectory()
        try run("mkdir", ["-p", scratch.file("etc/kubernetes/manifests")])
        try scratch.write(text, to: "etc/kubernetes/manifests/etcd.yaml")
        let source = try EtcdSource.resolve(Configuration.Etcd(), layout: KubeadmLayout(root: scratch.path))
        #expect(endpoints(source) == ["https://127.0.0.1:2379"])
    }

    @Test func mistakesAreUsageErrors() throws {
        var user = Configuration.Etcd()
        user.user = "backup"
        let noPassword = #expect(throws: Failure.self) { try EtcdSource.resolve(user, layout: layout) }
        #expect(noPassword?.code == .usage && noPassword?.hint?.contains("--password-file") == true)
        user.passwordFile = "/nonexistent/password"
        #expect(throws: SystemCallError.self) { try EtcdSource.resolve(user, layout: layout) }
        let scratch = try TemporaryDirectory()
        try scratch.write("secret", to: "password")
        user.passwordFile = scratch.file("password")
        #expect(try EtcdSource.resolve(user, layout: layout).client.credentials?.user == "backup")
        for name in ["", ".", "..", ".a", "a/b", "a\0b"] {
            var section = Configuration.Etcd()
            section.name = name
            let error = #expect(throws: Failure.self, "\(name)") { try EtcdSource.resolve(section, layout: layout) }
            #expect(error?.code == .usage)
        }
        for endpoint in ["", "ftp://x", "https://", "https://x:99999"] {
            var section = Configuration.Etcd()
            section.endpoints = [endpoint]
            let error = #expect(throws: Failure.self, "\(endpoint)") { try EtcdSource.resolve(section, layout: layout) }
            #expect(error?.code == .usage)
        }
    }
}
