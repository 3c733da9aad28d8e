import EtcdSnap
import Foundation
import HostIO
import NodeFiles
import PKIBackup
import TestSupport
import Testing

@testable import Operations

@Suite struct EtcdSourceTests {
    let root = NodeRoot(prefix: kubeadmRoot)
    let directory = "\(kubeadmRoot)/etc/kubernetes/pki/etcd"
    let kubeadm = DiscoveredEtcd(
        name: "etcd", endpoints: ["https://127.0.0.1:2379", "https://192.0.2.10:2379"],
        caPath: "/etc/kubernetes/pki/etcd/ca.crt", certificatePath: "/etc/kubernetes/pki/etcd/healthcheck-client.crt",
        keyPath: "/etc/kubernetes/pki/etcd/healthcheck-client.key", source: "the test")
    let events = DiscoveredEtcd(name: "etcd-events", endpoints: ["http://127.0.0.1:2381"], source: "the test")

    private func endpoints(_ source: EtcdSource) -> [String] { source.client.endpoints.map(\.description) }

    private func resolve(_ section: Configuration.Etcd, found: DiscoveredEtcd? = nil) throws -> EtcdSource {
        try EtcdSource.resolve(section, found: found ?? kubeadm, root: root)
    }

    @Test func findsWhatKubeadmLeft() throws {
        let found = NodeDiscovery(root: root).discover().etcds
        let sources = try EtcdSource.resolveAll(Configuration.Etcd(), found: found, root: root)
        let source = try #require(sources.first)
        #expect(sources.count == 1 && source.isRequired)
        #expect(endpoints(source) == ["https://127.0.0.1:2379", "https://192.0.2.10:2379"])
        #expect(source.client.tls.caPath == "\(directory)/ca.crt")
        let pair = "\(kubeadmRoot)/etc/kubernetes/pki/apiserver-etcd-client"
        #expect(source.client.tls.certificatePath == "\(pair).crt" && source.client.tls.keyPath == "\(pair).key")
        #expect(source.client.fallbackEndpoints.map(\.description) == ["https://[::1]:2379"])
        #expect(source.name == "etcd" && source.client.credentials == nil)
        #expect(source.discovered.count == 3)
    }

    /// What was found may be elsewhere as well; what was given is where it is said to be.
    @Test func whatIsFoundHasFallbacks() throws {
        var etcd = kubeadm
        etcd.advertisedEndpoints = ["https://cp1.example:2379"]
        let found = try resolve(Configuration.Etcd(), found: etcd).client
        #expect(
            found.fallbackEndpoints.map(\.description) == ["https://cp1.example:2379", "https://[::1]:2379"])
        #expect(found.ownNames == ["192.0.2.10", "cp1.example"])
        // Where an API server is told the advertised name, that is an endpoint, and still the member's name.
        var named = kubeadm
        named.endpoints = ["https://127.0.0.1:2379", "https://cp1.example:2379"]
        #expect(try resolve(Configuration.Etcd(), found: named).client.ownNames == ["cp1.example"])
        var section = Configuration.Etcd()
        section.endpoints = ["https://127.0.0.1:2379"]
        let given = try resolve(section, found: etcd).client
        #expect(given.fallbackEndpoints.isEmpty && given.ownNames.isEmpty)
        let usual = try #require(try EtcdSource.resolveAll(Configuration.Etcd(), found: []).first).client
        #expect(usual.fallbackEndpoints.map(\.description) == ["https://[::1]:2379"])
    }

    @Test func everyEtcdIsTakenOnce() throws {
        let all = try EtcdSource.resolveAll(Configuration.Etcd(), found: [kubeadm, events], root: root)
        #expect(all.map(\.name) == ["etcd", "etcd-events"])
        #expect(all.map(\.isRequired) == [true, false])
        var own = Configuration.Etcd()
        own.endpoints = ["http://127.0.0.1:2381"]
        let byEndpoint = try EtcdSource.resolveAll(own, found: [kubeadm, events], root: root)
        #expect(byEndpoint.map(\.name) == ["etcd-events", "etcd"])
        var other = Configuration.Etcd()
        other.name = "etcd-events"
        let configured = try EtcdSource.resolveAll(Configuration.Etcd(), others: [other], found: [kubeadm, events])
        #expect(configured.map(\.isRequired) == [true, true])
        #expect(endpoints(configured[1]) == ["http://127.0.0.1:2381"])
        for others in [[Configuration.Etcd()], [other, other]] {
            let error = #expect(throws: Failure.self) {
                try EtcdSource.resolveAll(Configuration.Etcd(), others: others, found: [kubeadm])
            }
            #expect(error?.code == .usage)
        }
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
        let source = try resolve(section)
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
        let source = try resolve(section)
        #expect(source.client.tls.certificatePath == "/cert" && source.client.tls.keyPath == nil)
        #expect(source.client.tls.caPath == "\(directory)/ca.crt")
    }

    @Test func plaintextNeedsNoCertificates() throws {
        var section = Configuration.Etcd()
        section.endpoints = ["http://127.0.0.1:2379"]
        let source = try resolve(section)
        #expect(source.client.tls == TLSFiles() && source.discovered.isEmpty)
    }

    @Test func anotherMembersEndpointTakesTheNodesCertificates() throws {
        for endpoint in [
            "https://192.0.2.11:2379", "https://localhost:2379", "127.0.0.1:2379", "https://127.0.0.1:2379/",
        ] {
            var section = Configuration.Etcd()
            section.endpoints = [endpoint]
            let sources = try EtcdSource.resolveAll(section, found: [kubeadm], root: root)
            #expect(sources.count == 1 && sources[0].client.tls.keyPath == "\(directory)/healthcheck-client.key")
            #expect(sources[0].client.endpoints.count == 1)
        }
        var named = Configuration.Etcd()
        named.name = "main"
        #expect(try EtcdSource.resolveAll(named, found: [kubeadm], root: root).map(\.name) == ["main"])
    }

    @Test func anEndpointThatCantBeReachedIsPassedOver() throws {
        var odd = events
        odd.endpoints = ["https://127.0.0.1:port", "unix:///run/etcd.sock"]
        let sources = try EtcdSource.resolveAll(Configuration.Etcd(), found: [kubeadm, odd], root: root)
        #expect(sources.map(\.name) == ["etcd", "etcd-events"] && sources[1].client.endpoints.isEmpty)
        #expect(!sources[1].isRequired)
    }

    @Test func whereNothingIsFoundItAsksTheUsualPort() throws {
        let source = try #require(try EtcdSource.resolveAll(Configuration.Etcd(), found: []).first)
        #expect(endpoints(source) == ["https://127.0.0.1:2379"])
        #expect(source.client.tls.caPath == nil && source.discovered.isEmpty && source.name == "etcd")
    }

    @Test func mistakesAreUsageErrors() throws {
        var user = Configuration.Etcd()
        user.user = "backup"
        let noPassword = #expect(throws: Failure.self) { try resolve(user) }
        #expect(noPassword?.code == .usage && noPassword?.settings == [.passwordFile])
        var nobody = user
        nobody.user = nil
        nobody.passwordFile = "/nonexistent/password"
        let noUser = #expect(throws: Failure.self) { try resolve(nobody) }
        #expect(noUser?.code == .usage && noUser?.settings == [.user])
        user.passwordFile = "/nonexistent/password"
        #expect(throws: SystemCallError.self) { try resolve(user) }
        let scratch = try TemporaryDirectory()
        try scratch.write("secret", to: "password")
        user.passwordFile = scratch.file("password")
        #expect(try resolve(user).client.credentials?.user == "backup")
        for name in ["", ".", "..", ".a", "a/b", "a\0b"] {
            var section = Configuration.Etcd()
            section.name = name
            let error = #expect(throws: Failure.self, "\(name)") { try resolve(section) }
            #expect(error?.code == .usage)
        }
        for endpoint in ["", "ftp://x", "https://", "https://x:99999"] {
            var section = Configuration.Etcd()
            section.endpoints = [endpoint]
            let error = #expect(throws: Failure.self, "\(endpoint)") { try resolve(section) }
            #expect(error?.code == .usage)
        }
    }
}
