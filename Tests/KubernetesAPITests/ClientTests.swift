import Foundation
import HostIO
import KubernetesAPI
import TestSupport
import Testing

/// Whom a client trusts, and what it proves itself with.
@Suite struct AccessTests {
    @Test func certificatesProveTheClient() throws {
        let server = try Server()
        let client = try server.client()
        try client.checkReady()
        #expect(try client.whoAmI() == "kubernetes-admin")
        #expect(try client.version().hasPrefix("v1."))
    }

    /// The certificate of a lost cluster's API server names no loopback address.
    @Test func theServersNameMayBeAnother() throws {
        let server = try Server(names: "DNS:kubernetes")
        #expect(throws: APIConnectionError.self) { try server.client().checkReady() }
        try server.client(serverName: "kubernetes").checkReady()
        #expect(throws: APIConnectionError.self) { try server.client(serverName: "other").checkReady() }
    }

    @Test func strangersAreRefused() throws {
        let server = try Server()
        let other = try TestPKI(name: "other")
        let node = try server.pki.issue("node", commonName: "system:node:cp-1", organization: "system:nodes")
        let status = refusal { _ = try server.client(node).list(configMaps) }
        #expect(status?.code == 403 && status?.reason == "Forbidden")
        #expect(status?.failure.code == .untrusted && status?.failure.message.contains("system:node:cp-1") == true)
        // Its certificate is of another authority.
        #expect(throws: (any Error).self) { try server.client(other.client).checkReady() }
        var access = try server.access()
        access.authorities = Array(try Data(contentsOf: URL(filePath: other.caPath)))
        let trusting = try KubernetesClient(access)
        let error = #expect(throws: APIConnectionError.self) { try trusting.checkReady() }
        #expect(error?.failure.code == .untrusted)
    }

    @Test func tokensAreNeverShown() throws {
        let server = try Server()
        let access = try server.access().with(.token(secret(" not-a-token\n")), origin: "a token")
        let client = try KubernetesClient(access)
        let status = try #require(refusal { _ = try client.whoAmI() })
        #expect(status.code == 401 && status.failure.hint?.contains("a token") == true)
        #expect(!"\(status) \(access) \(client)".contains("not-a-token"))
    }

    @Test(arguments: [
        ("server: http://127.0.0.1:6443", "without TLS"), ("server: https://", "host and port"),
        ("insecure-skip-tls-verify: true, server: https://127.0.0.1:1", "skips the verification"),
    ])
    func kubeconfigsThatCantBeUsed(_ cluster: String, _ words: String) throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write(
            """
            kind: Config
            clusters: [{name: c, cluster: {\(cluster), certificate-authority-data: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t}}]
            contexts: [{name: x, context: {cluster: c, user: u}}]
            current-context: x
            users: [{name: u, user: {token: secret-token}}]
            """, to: "config")
        let error = #expect(throws: Failure.self) { try KubernetesClient(APIServerAccess(kubeconfig: path)) }
        let text = "\(error?.message ?? "") \(error?.hint ?? "")"
        #expect(text.contains(words) && text.contains(path) && !text.contains("secret-token"))
    }
}

/// What is asked, and what is made of the answers.
@Suite struct ObjectTests {
    @Test func listsHavePages() throws {
        let server = try Server(manyConfigMaps(23))
        let client = try server.client()
        let found = try client.list(configMaps, pageCount: 10)
        #expect(Set(found.map(\.name)).count == 23)
        #expect(server.server.requests().count { $0.contains("continue=") } == 2)
        #expect(try client.count(configMaps, pageCount: 4) == 23)
        #expect(try client.list(configMaps, namespace: "other").isEmpty)
        #expect(try client.count(pods) == 0)
    }

    @Test func aListWhosePageIsGoneBeginsAgain() throws {
        let server = try Server(manyConfigMaps(23), faults: ["expire"])
        #expect(try server.client().list(configMaps, pageCount: 10).count == 23)
        #expect(server.server.requests().count { $0.hasSuffix(" 410") } == 1)
    }

    @Test func busyServersAreAskedAgain() throws {
        let server = try Server(faults: ["busy"])
        #expect(try server.client().list(configMaps).isEmpty)
        #expect(server.server.requests().map { $0.suffix(3) } == ["429", "200"])
    }

    @Test func patchesNeedTheObjectThatWasRead() throws {
        let server = try Server(manyConfigMaps(1))
        let client = try server.client()
        let object = try #require(try client.get(configMaps, namespace: "default", name: "c0"))
        try client.patch(configMaps, object, ["data": ["a": "tried"]], dryRun: true)
        let changed = try client.patch(configMaps, object, ["data": ["b": "new"]])
        #expect(changed.value["data"]?.texts == ["a": "0", "b": "new"])
        #expect(changed.resourceVersion != object.resourceVersion && changed.uid == object.uid)
        let status = try #require(refusal { try client.patch(configMaps, object, ["data": ["b": "late"]]) })
        #expect(status.isConflict && status.reason == "Conflict" && status.message.contains("has been modified"))
        #expect(try client.get(configMaps, namespace: "default", name: "c0")?.value["data"]?["b"]?.text == "new")
        #expect(try client.get(configMaps, namespace: "default", name: "absent") == nil)
    }

    @Test func deletionsNeedTheObjectThatWasRead() throws {
        let server = try Server(manyConfigMaps(2))
        let client = try server.client()
        var objects = try client.list(configMaps)
        let other = objects.removeLast()
        let object = objects.removeLast()
        var stranger = object
        if case .object(var fields) = stranger.value, case .object(var metadata)? = fields["metadata"] {
            metadata["uid"] = "another"
            fields["metadata"] = .object(metadata)
            stranger.value = .object(fields)
        }
        #expect(refusal { try client.delete(configMaps, stranger) }?.isConflict == true)
        #expect(try client.delete(configMaps, object, gracePeriod: 0))
        #expect(try !client.delete(configMaps, object))
        try client.patch(configMaps, other, ["data": ["b": "new"]])
        #expect(refusal { try client.delete(configMaps, other, isUnchanged: true) }?.isConflict == true)
        #expect(try client.delete(configMaps, other))
        #expect(try client.list(configMaps).isEmpty)
    }

    @Test func typesAreDiscovered() throws {
        let server = try Server()
        defer { withExtendedLifetime(server) {} }
        let discovery = try server.client().discover()
        let names = discovery.types.map(\.path.name)
        #expect(names.contains("configmaps") && names.contains("deployments.apps") && !names.contains("pods/log"))
        #expect(Set(names).count == names.count)
        let widgets = try #require(discovery.types.first { $0.path.name == "widgets.example.org" })
        #expect(widgets.path.version == "v1" && widgets.kind == "Widget" && widgets.isNamespaced)
        #expect(discovery.types.first { $0.path.name == "bindings" }?.verbs == ["create"])
        #expect(discovery.types.first { $0.path.name == "nodes" }?.isNamespaced == false)
        #expect(discovery.refusals.map(\.group) == ["metrics.k8s.io"])
        #expect(discovery.refusals.first?.status.isUnavailable == true)
    }

    @Test func namesAreEncoded() {
        let roles = ResourcePath(group: "rbac.authorization.k8s.io", resource: "clusterroles")
        #expect(
            roles.path(name: "system:a/b?c") == "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:a%2Fb%3Fc")
        #expect(pods.path(namespace: "kube-system") == "/api/v1/namespaces/kube-system/pods")
    }
}
