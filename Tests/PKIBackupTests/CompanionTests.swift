import Foundation
import TestSupport
import Testing

@testable import PKIBackup

/// What serves the control plane and is no part of it: KMS plugins, load balancers, proxies, runtimes.
@Suite(.timeLimit(.minutes(45))) struct CompanionTests {
    private static let units = "/etc/systemd/system"
    private let tree: NodeTree

    init() throws { tree = try NodeTree() }

    private func unit(_ name: String, _ command: String, _ more: String = "") throws {
        try tree.write("[Service]\n\(more)ExecStart=\(command)\n", to: "\(Self.units)/\(name).service")
    }

    private func captured() -> Set<String> { Set(tree.discover().references.map(\.path)) }

    // MARK: KMS

    private func addServer(endpoint: String = "unix:///run/kms/vault.sock") throws {
        try unit("kube-apiserver", "/usr/bin/kube-apiserver --encryption-provider-config=/srv/e.yaml")
        try tree.write(
            """
            kind: EncryptionConfiguration
            resources:
            - resources: [secrets]
              providers: [{kms: {apiVersion: v2, name: vault, endpoint: "\(endpoint)"}}, {identity: {}}]
            """, to: "/srv/e.yaml")
    }

    @Test(arguments: [
        "--socket=/run/kms/vault.sock --config=/srv/kms/c.hcl",
        "-listen unix:///var/run/kms/vault.sock -c /srv/kms/c.hcl",
        "--config /srv/kms/c.hcl", "$ARGUMENTS",
    ])
    func aPluginThatAUnitStarts(_ arguments: String) throws {
        try addServer()
        let text = arguments.hasPrefix("--config ") ? "socket = \"/run/kms/vault.sock\"\n" : ""
        try tree.write(text + "vault { token_path = \"/srv/kms/token\" }\n", to: "/srv/kms/c.hcl")
        try tree.write("s.x\n", to: "/srv/kms/token")
        try tree.write(
            "ARGUMENTS=--socket=/run/kms/vault.sock --config=/srv/kms/c.hcl\n", to: "/etc/default/vault-kms")
        try tree.write("[Service]\nNice=1\n", to: "\(Self.units)/vault-kms.service.d/nice.conf")
        try unit("vault-kms", "/usr/local/bin/vault-kms \(arguments)", "EnvironmentFile=/etc/default/vault-kms\n")
        let layout = tree.discover()
        let unit = "\(Self.units)/vault-kms.service"
        let expected = [unit, "\(unit).d/nice.conf", "/etc/default/vault-kms", "/srv/kms/c.hcl", "/srv/kms/token"]
        #expect(Set(expected).subtracting(layout.references.map(\.path)) == [])
        #expect(layout.kmsPlugins == ["unix:///run/kms/vault.sock": ["the service vault-kms"]])
        #expect(layout.codes.isEmpty)
    }

    @Test func aPluginThatASocketStarts() throws {
        try addServer()
        try tree.write("[Socket]\nListenStream=/run/kms/vault.sock\n", to: "\(Self.units)/plugin.socket")
        try tree.write("x\n", to: "/srv/kms/credentials")
        try unit("plugin", "/usr/local/bin/plugin", "Environment=CREDENTIALS=/srv/kms/credentials\n")
        let expected = ["plugin.socket", "plugin.service"].map { "\(Self.units)/\($0)" } + ["/srv/kms/credentials"]
        #expect(Set(expected).subtracting(captured()) == [])
    }

    @Test func otherUnitsAreNoPlugins() throws {
        try addServer(endpoint: "unix:///run/kms/other.sock")
        try tree.write("x\n", to: "/srv/kms/c.hcl")
        try unit("vault-kms", "/usr/local/bin/vault-kms --socket=/run/kms/vault.sock --config=/srv/kms/c.hcl")
        let layout = tree.discover()
        #expect(layout.kmsPlugins.isEmpty && layout.reference("/srv/kms/c.hcl") == nil)
    }

    // MARK: Proxies and load balancers

    @Test func aProxyOfEtcd() throws {
        let files = ["/srv/x/ca.pem", "/srv/x/c.pem", "/srv/x/k.pem"]
        try tree.touch(files)
        try unit(
            "etcd-proxy",
            "/usr/bin/etcd grpc-proxy start --cert=/srv/x/c.pem --key=/srv/x/k.pem --cacert /srv/x/ca.pem")
        let layout = tree.discover()
        #expect(Set(files + ["\(Self.units)/etcd-proxy.service"]).subtracting(layout.references.map(\.path)) == [])
        #expect(layout.etcds.isEmpty && layout.components.isEmpty)
    }

    @Test func aLoadBalancerWithItsConfigurationElsewhere() throws {
        try tree.write("frontend x\n bind :6443 ssl crt /srv/lb/c.pem ca-file /srv/lb/ca.pem\n", to: "/srv/lb/h.cfg")
        try tree.write("vrrp_script c { script \"/opt/lb/check.sh --fast\" }\n", to: "/etc/keepalived/keepalived.conf")
        try tree.touch(["/srv/lb/c.pem", "/srv/lb/ca.pem", "/opt/lb/check.sh", "/srv/lb/unrelated"])
        try unit("balancer", "/usr/sbin/haproxy -Ws -f /srv/lb/h.cfg -p /run/haproxy.pid")
        let captured = captured()
        #expect(
            Set(["/srv/lb/h.cfg", "/srv/lb/c.pem", "/srv/lb/ca.pem", "/opt/lb/check.sh"]).subtracting(captured) == [])
        #expect(!captured.contains("/srv/lb/unrelated"))
    }

    /// kubeadm's documented virtual address: what the pod mounts comes back with it, and has to be there.
    @Test func aLoadBalancerInAStaticPod() throws {
        let directory = "/etc/keepalived"
        try tree.write(
            "vrrp_script c { script \"\(directory)/check_apiserver.sh\" }\n", to: "\(directory)/keepalived.conf")
        try tree.touch(["\(directory)/check_apiserver.sh"])
        try tree.write(
            """
            apiVersion: v1
            kind: Pod
            metadata: {name: keepalived}
            spec:
              containers:
              - {name: keepalived, image: osixia/keepalived, volumeMounts: [
                  {mountPath: /usr/local/etc/keepalived/keepalived.conf, name: config},
                  {mountPath: /etc/keepalived/check_apiserver.sh, name: check},
                  {mountPath: /etc/keepalived/notify.sh, name: notify}]}
              volumes:
              - {name: config, hostPath: {path: \(directory)/keepalived.conf}}
              - {name: check, hostPath: {path: \(directory)/check_apiserver.sh}}
              - {name: notify, hostPath: {path: \(directory)/notify.sh, type: File}}
            """, to: "/etc/kubernetes/manifests/keepalived.yaml")
        let references = tree.discover().references.filter { $0.path.hasPrefix(directory + "/") }
        #expect(references.map(\.captureClass) == [.component, .component, .component])
        #expect(references.filter(\.isRequired).map(\.path) == ["\(directory)/notify.sh"])
    }

    // MARK: Runtimes

    @Test func registriesOfContainerdElsewhere() throws {
        try tree.write(
            """
            imports = ["/srv/containerd/*.toml"]
            [plugins."io.containerd.grpc.v1.cri".registry]
              config_path = "/srv/certs.d"
            """, to: "/etc/containerd/config.toml")
        try tree.write("[x]\nca = '/srv/r/more.pem'\n", to: "/srv/containerd/a.toml")
        try tree.write(
            """
            [host."https://r.example"]
              ca = "/srv/r/ca.pem"
              client = [["/srv/r/c.pem", "/srv/r/k.pem"]]
            """, to: "/srv/certs.d/r.example/hosts.toml")
        let files = ["/srv/r/more.pem", "/srv/r/ca.pem", "/srv/r/c.pem", "/srv/r/k.pem"]
        try tree.touch(files)
        #expect(Set(files + ["/srv/certs.d", "/srv/containerd/a.toml"]).subtracting(captured()) == [])
    }

    @Test func whatCloudConfigurationsName() throws {
        try tree.write("[Global]\nca-file=/srv/y/ca.pem\n", to: "/etc/kubernetes/cloud.conf")
        try tree.touch(["/srv/y/ca.pem"])
        #expect(tree.discover().reference("/srv/y/ca.pem")?.captureClass == .cloudProvider)
    }

    @Test func mountsOfRKE2() throws {
        try tree.write(
            """
            kube-controller-manager-extra-mount: "/srv/n:/n:ro"
            etcd-extra-mount: ["/srv/em:/em", "/srv/em2:/em2"]
            """, to: "/etc/rancher/rke2/config.yaml")
        try tree.touch(["/srv/n/f", "/srv/em/f", "/srv/em2/f"])
        #expect(Set(["/srv/n", "/srv/em", "/srv/em2"]).subtracting(captured()) == [])
    }

    @Test(arguments: [
        ("a=/srv/x b='/srv/y z' \"/srv/z\"", ["/srv/x", "/srv/y", "/srv/z"]),
        ("https://h/a unix:///run/x file a/b", []), ("x:/srv/a:/b,/c.", ["/srv/a", "/b", "/c"]), ("//c / /.", []),
    ])
    func pathsInATextOfAnySyntax(_ text: String, _ expected: [String]) {
        #expect(NamedPaths.paths(in: text.utf8) == expected)
    }
}
