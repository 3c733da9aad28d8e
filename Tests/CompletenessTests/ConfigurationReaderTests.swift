import Certificates
import EncryptionAtRest
import Foundation
import HostIO
import Testing
import YAML

@testable import PKIBackup

@Suite struct ConfigurationReaderTests {
    @Test func `a kubeconfig's files are resolved from its directory, and data goes first`() throws {
        let text = """
            {"apiVersion": "v1", "kind": "Config", "current-context": "c",
             "clusters": [{"name": "a", "cluster": {"server": "https://[::1]:6443", "certificate-authority": "ca.crt",
               "tls-server-name": "kubernetes", "insecure-skip-tls-verify": true}}],
             "contexts": [{"name": "c", "context": {"cluster": "a", "user": "u"}}],
             "users": [{"name": "u", "user": {"client-certificate": "/x/u.crt", "client-key": "sub/u.key",
                "client-certificate-data": "AAEC", "tokenFile": "token", "exec": {"command": "./get"}}},
               {"name": "v", "user": {"exec": {"command": "aws"}, "token": null, "password": "p"}}]}
            """
        let kubeconfig = try Kubeconfig(
            try YAMLDocument.first(in: Array(text.utf8), path: "/etc/k/admin.conf"), path: "/etc/k/admin.conf")
        #expect(kubeconfig.referencedFiles == ["/etc/k/ca.crt", "/etc/k/sub/u.key", "/etc/k/token"])
        #expect(kubeconfig.clusters[0].serverName == "kubernetes" && kubeconfig.clusters[0].skipsVerification)
        #expect(kubeconfig.users[0].certificateData == [0, 1, 2] && kubeconfig.users[0].certificatePath == nil)
        #expect(kubeconfig.users[0].execCommand == "/etc/k/get" && kubeconfig.users[1].execCommand == "aws")
        #expect(!kubeconfig.users[1].hasToken && kubeconfig.users[1].hasPassword)
        #expect(kubeconfig.contexts[0].cluster == "a" && kubeconfig.contexts[0].user == "u")
    }

    @Test func `a secret prints as its length`() throws {
        let text = "kind: Config\nusers: [{name: u, user: {client-key-data: Q2FuYXJ5}}]"
        let kubeconfig = try Kubeconfig(try YAMLDocument.first(in: Array(text.utf8), path: "/k"), path: "/k")
        let key = try #require(kubeconfig.users[0].keyData)
        #expect("\(key)" == "6 secret bytes")
        var dump = ""
        Swift.dump(kubeconfig, to: &dump)
        #expect(!dump.contains("Canary") && !dump.contains("67"))
    }

    @Test func `an encryption configuration tells its prefixes and no key`() throws {
        let text = """
            kind: EncryptionConfig
            apiVersion: v1
            resources:
            - resources: [secrets, '*.apps']
              providers:
              - aesgcm: {keys: [{name: g, secret: AAECAwQFBgcICQoLDA0ODw==}]}
              - secretbox: {keys: [{name: s, secret: AAEC}, {name: t, secret: '%'}]}
              - kms: {name: one, endpoint: 'unix:///a'}
              - kms: {apiVersion: v2, name: two, endpoint: 'unix:///b'}
              - identity: {}
            """
        let configuration = try EncryptionConfiguration(parsing: Array(text.utf8), path: "/e")
        #expect(
            configuration.prefixes
                == ["aesgcm:v1:g", "secretbox:v1:s", "secretbox:v1:t", "kms:v1:one", "kms:v2:two"])
        #expect(configuration.rules[0].resources == ["secrets", "*.apps"])
        #expect(configuration.providers.flatMap(\.keys).map(\.byteCount) == [16, 3, nil])
        #expect(configuration.providers.map(\.kind) == ["aesgcm", "secretbox", "kms", "kms", "identity"])
    }

    @Test func `an error names the line and nothing of the content`() throws {
        let text = "kind: Config\nusers:\n- user: {client-key-data: Canary, x: [}\n"
        let error = try #require(throws: Failure.self) {
            try Kubeconfig(try YAMLDocument.first(in: Array(text.utf8), path: "/k"), path: "/k")
        }
        #expect(error.message.hasPrefix(#""/k" is not valid YAML: line 3, column 39: "#))
        #expect(!error.message.contains("Canary"))
    }
}
