import Foundation
import HostIO
import SealedArchive
import TestSupport
import Testing

@testable import NodeFiles
@testable import PKIBackup

@Suite(.timeLimit(.minutes(45))) struct DiscoveryTests {
    @Test func kubeadm() throws {
        let tree = try NodeTree.kubeadm()
        try tree.touch(["/var/lib/etcd/member/snap/db"])
        let layout = tree.discover()
        #expect(layout.findings.isEmpty, "\(layout.findings)")
        #expect(layout.distributions == ["kubeadm"])
        #expect(
            Set(layout.components.map(\.name)) == [
                "kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd",
            ])
        #expect(layout.component("kube-apiserver")?.image == "registry.k8s.io/kube-apiserver:v1.36.2")
        #expect(layout.component("kube-apiserver")?.flags["secure-port"] == ["6443"])
        let expected: [(String, CaptureClass)] = [
            ("/etc/kubernetes/pki/ca.crt", .caCertificate), ("/etc/kubernetes/pki/ca.key", .caKey),
            ("/etc/kubernetes/pki/sa.key", .serviceAccountKey), ("/etc/kubernetes/pki/sa.pub", .serviceAccountKey),
            ("/etc/kubernetes/pki/apiserver.crt", .certificate), ("/etc/kubernetes/pki/apiserver.key", .privateKey),
            ("/etc/kubernetes/pki/etcd/server.key", .privateKey), ("/etc/kubernetes/scheduler.conf", .kubeconfig),
            ("/etc/kubernetes/admin.conf", .kubeconfig), ("/etc/kubernetes", .component),
        ]
        for (path, captureClass) in expected {
            #expect(layout.reference(path)?.captureClass == captureClass, "\(path)")
        }
        #expect(layout.reference("/etc/kubernetes/pki/apiserver.crt")?.isRequired == true)
        #expect(layout.reference("/etc/kubernetes/pki/ca.crt")?.otherReferrers.isEmpty == false)
        #expect(Set(layout.references.map(\.path)).count == layout.references.count)
        #expect(layout.skipped.contains { $0.path == "/var/lib/etcd" && $0.reason.contains("etcd") })
        #expect(layout.skipped.contains { $0.path == "/etc/ssl/certs" })
        #expect(layout.excludedPaths.contains { $0.path == "/var/lib/etcd" })
        #expect(
            layout.etcds == [
                DiscoveredEtcd(
                    name: "etcd", endpoints: ["https://127.0.0.1:2379", "https://192.0.2.10:2379"],
                    caPath: "/etc/kubernetes/pki/etcd/ca.crt",
                    certificatePath: "/etc/kubernetes/pki/apiserver-etcd-client.crt",
                    keyPath: "/etc/kubernetes/pki/apiserver-etcd-client.key", dataDirectory: "/var/lib/etcd",
                    source: "kube-apiserver --etcd-servers, /etc/kubernetes/manifests/etcd.yaml")
            ])
    }

    private func manifest(
        _ name: String, arguments: [String], extra: String = "", mounts: [(String, String)] = []
    ) -> String {
        var text = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: \(name)\nspec:\n  containers:\n  - name: \(name)\n"
        text += "    image: registry/\(name):1\n    command: [\(name)]\n    args:\n"
        for argument in arguments { text += "    - \(argument)\n" }
        text += extra
        text += "    volumeMounts:\n"
        for (index, mount) in mounts.enumerated() { text += "    - {name: v\(index), mountPath: \(mount.1)}\n" }
        text += "  volumes:\n"
        for (index, mount) in mounts.enumerated() { text += "  - {name: v\(index), hostPath: {path: \(mount.0)}}\n" }
        return text
    }

    @Test func pathsAreThoseOfTheNodeNotOfTheContainer() throws {
        let tree = try NodeTree()
        try tree.touch(["/srv/keys/sub/ca.crt", "/srv/keys/other.txt", "/srv/audit.yaml", "/srv/flagged.bin"])
        let text = """
            apiVersion: v1
            kind: Pod
            metadata: {name: api}
            spec:
              initContainers:
              - {name: prepare, image: busybox, command: [sh, -c, 'true']}
              containers:
              - name: sidecar
                image: sidecar:2
                args: [--unknown-file, /keys/other.txt, --in-image=/nowhere/x]
                volumeMounts: [{name: keys, mountPath: /keys}]
              - name: main
                image: kube:1
                command: [/usr/local/bin/kube-apiserver]
                args: ["--client-ca-file", "/pki/ca.crt", "--audit-policy-file=/policy/$(NAME)", "-v=2",
                       "--tls-sni-cert-key=/keys/sni.crt,/keys/sni.key:a.example,b.example", "--oidc-ca-file=/image/oidc.crt",
                       --audit-log-path=/var/log/audit/audit.log, --extra, --another-file=/pki]
                env: [{name: NAME, value: audit.yaml}, {name: SECRET, valueFrom: {}}]
                volumeMounts:
                - {name: keys, mountPath: /pki, subPath: sub}
                - {name: keys, mountPath: /keys}
                - {name: policy, mountPath: /policy/audit.yaml}
                - {name: logs, mountPath: /var/log/audit}
              volumes:
              - {name: keys, hostPath: {path: /srv/keys/}}
              - {name: policy, hostPath: {path: /srv/audit.yaml, type: File}}
              - {name: logs, hostPath: {path: /var/log/kubernetes}}
              - {name: socket, hostPath: {path: /srv/socket, type: Socket}}
              - {name: empty, emptyDir: {}}
            """
        try tree.write(text, to: "/etc/kubernetes/manifests/api.yaml")
        let layout = tree.discover()
        #expect(layout.findings.isEmpty, "\(layout.findings)")
        #expect(layout.reference("/srv/keys/sub/ca.crt")?.captureClass == .caCertificate)
        #expect(layout.reference("/srv/audit.yaml")?.captureClass == .auditPolicy)
        #expect(layout.reference("/srv/keys/sni.crt")?.captureClass == .certificate)
        #expect(layout.reference("/srv/keys/sni.key")?.captureClass == .privateKey)
        #expect(layout.reference("/srv/keys/other.txt")?.captureClass == .component)
        #expect(layout.reference("/srv/keys/sub")?.captureClass == .component)
        #expect(layout.reference("/srv/keys")?.referrer == "hostPath of api")
        let skipped = Dictionary(uniqueKeysWithValues: layout.skipped.map { ($0.path, $0.reason) })
        #expect(skipped["/image/oidc.crt"]?.contains("in the image") == true)
        #expect(skipped["/var/log/kubernetes/audit.log"] == "a log")
        #expect(skipped["/var/log/kubernetes"] == "logs")
        #expect(skipped["/srv/socket"] == "a socket")
        #expect(!layout.references.contains { $0.path.contains("/nowhere") || $0.path.hasPrefix("/pki") })
        #expect(layout.components.map(\.name) == ["sidecar", "kube-apiserver", "prepare"])
        #expect(layout.component("kube-apiserver")?.environment["NAME"] == "audit.yaml")
    }

    @Test func configurationFilesAreFollowed() throws {
        let tree = try NodeTree()
        let files: [String: String] = [
            "/etc/k/admission.yaml": """
            kind: AdmissionConfiguration
            plugins: [{name: A, path: sub/webhook.yaml}, {name: ImagePolicyWebhook, path: image.yaml},
                      {name: P, configuration: {kubeConfigFile: /etc/k/inline.conf}}]
            """,
            "/etc/k/sub/webhook.yaml": "kind: WebhookAdmissionConfiguration\nkubeConfigFile: /etc/k/webhook.conf",
            "/etc/k/image.yaml": "imagePolicy: {kubeConfigFile: /etc/k/image.conf}",
            "/etc/k/webhook.conf": """
            kind: Config
            clusters: [{name: c, cluster: {certificate-authority: relative-ca.crt}}]
            users: [{name: u, user: {client-certificate: /etc/k/u.crt, client-key: u.key, tokenFile: u.token}}]
            """,
            "/etc/k/authz.yaml": """
            kind: AuthorizationConfiguration
            authorizers: [{type: Webhook, webhook: {connectionInfo: {type: KubeConfigFile, kubeConfigFile: /etc/k/authz.conf}}}]
            """,
            "/etc/k/egress.yaml": """
            kind: EgressSelectorConfiguration
            egressSelections:
            - name: cluster
              connection: {transport: {tcp: {url: x, tlsConfig: {caBundle: /etc/k/e-ca.crt, clientCert: /etc/k/e.crt, clientKey: /etc/k/e.key}}}}
            """,
            "/etc/k/scheduler.yaml": "kind: KubeSchedulerConfiguration\nclientConnection: {kubeconfig: /etc/k/s.conf}",
            "/var/lib/kubelet/config.yaml": """
            kind: KubeletConfiguration
            staticPodPath: /etc/own-pods
            authentication: {x509: {clientCAFile: /etc/k/kubelet-ca.crt}}
            tlsCertFile: /etc/k/kubelet.crt
            """,
            "/etc/own-pods/api.yaml": manifest(
                "kube-apiserver",
                arguments: [
                    "--admission-control-config-file=/etc/k/admission.yaml", "--authorization-config=/etc/k/authz.yaml",
                    "--egress-selector-config-file=/etc/k/egress.yaml",
                ], mounts: [("/etc/k", "/etc/k")]),
            "/etc/own-pods/scheduler.yaml": manifest(
                "kube-scheduler", arguments: ["--config=/etc/k/scheduler.yaml"], mounts: [("/etc/k", "/etc/k")]),
        ]
        for (path, text) in files { try tree.write(text, to: path) }
        let layout = tree.discover()
        #expect(layout.findings.isEmpty, "\(layout.findings)")
        let expected: [(String, CaptureClass)] = [
            ("/etc/k/sub/webhook.yaml", .admissionConfiguration), ("/etc/k/webhook.conf", .admissionConfiguration),
            ("/etc/k/image.conf", .admissionConfiguration), ("/etc/k/inline.conf", .admissionConfiguration),
            ("/etc/k/relative-ca.crt", .caCertificate), ("/etc/k/u.crt", .certificate), ("/etc/k/u.key", .privateKey),
            ("/etc/k/u.token", .joinToken), ("/etc/k/authz.conf", .authorizationConfiguration),
            ("/etc/k/e-ca.crt", .caCertificate), ("/etc/k/e.key", .privateKey), ("/etc/k/s.conf", .kubeconfig),
            ("/etc/k/kubelet-ca.crt", .caCertificate), ("/etc/k/kubelet.crt", .kubeletPKI),
            ("/etc/own-pods", .staticPod),
        ]
        for (path, captureClass) in expected {
            #expect(layout.reference(path)?.captureClass == captureClass, "\(path)")
        }
        #expect(layout.reference("/etc/k/webhook.conf")?.referrer == "/etc/k/sub/webhook.yaml kubeConfigFile")
    }

    @Test func badManifestsAreFindings() throws {
        let tree = try NodeTree.kubeadm()
        let directory = "/etc/kubernetes/manifests"
        try tree.write("kind: Pod\nspec: {{ .Values.spec }\n  - [", to: "\(directory)/template.yaml")
        try tree.write("", to: "\(directory)/empty.yaml")
        try tree.write("kind: ConfigMap\ndata: {}", to: "\(directory)/other.yaml")
        try tree.write(String(repeating: "[", count: 500_000), to: "\(directory)/deep.yaml")
        try tree.write("a: &a [x]\nb: [\(String(repeating: "*a,", count: 1000))]", to: "\(directory)/aliases.yaml")
        try tree.write("kind: Pod\nspec: 3\n", to: "\(directory)/scalar.yaml")
        try tree.write(
            "kind: Pod\nspec: {containers: {a: b}, volumes: [1, {hostPath: [x]}]}\n", to: "\(directory)/shapes.yaml")
        try tree.write("not read", to: "\(directory)/.hidden.yaml")
        try tree.make(
            "printf 'a: \\377\\376' > .\(directory)/binary.yaml; mkfifo .\(directory)/pipe; ln -s loop .\(directory)/loop"
        )
        try tree.make("truncate -s 5G .\(directory)/huge.yaml; mkdir .\(directory)/subdirectory")
        let layout = tree.discover()
        let found = layout.findings.map { "\($0.code) \(lastName($0.subject))" }.sorted()
        #expect(
            found == [
                "file-unreadable huge.yaml", "manifest-not-a-pod other.yaml", "manifest-unparsable aliases.yaml",
                "manifest-unparsable binary.yaml", "manifest-unparsable deep.yaml", "manifest-unparsable empty.yaml",
                "manifest-unparsable template.yaml",
            ])
        #expect(layout.findings.allSatisfy { !$0.message.contains("Values") && $0.advice != nil })
        // The rest is found all the same.
        #expect(layout.component("kube-apiserver") != nil && layout.etcds.count == 1)
    }

    @Test func wideVolumesAreNotCaptured() throws {
        let tree = try NodeTree()
        let paths = [
            "/", "/etc", "/var/lib", "/usr/share/ca-certificates", "/lib/modules", "/run", "/proc", "/dev", "/home",
        ]
        let text = manifest("kube-controller-manager", arguments: ["--x"], mounts: paths.map { ($0, "/mnt\($0)") })
        try tree.write(text, to: "/etc/kubernetes/manifests/a.yaml")
        for path in paths { try tree.make("mkdir -p .\(path)") }
        try tree.write(
            manifest("registry", arguments: [], mounts: [("/srv/images", "/data")]),
            to: "/etc/kubernetes/manifests/b.yaml")
        try tree.make("mkdir -p srv/images; truncate -s 5M srv/images/blob")
        let layout = tree.discover()
        #expect(layout.references.map(\.path) == ["/etc/kubernetes/manifests"])
        #expect(Set(layout.skipped.map(\.path)) == Set(paths + ["/srv/images"]))
    }

    /// A root is a world of its own: links in it lead nowhere else.
    @Test func linksStayInTheRoot() throws {
        let tree = try NodeTree()
        try tree.touch(["/real/pki/ca.crt"])
        try tree.make(
            "mkdir etc; ln -s /real/pki etc/pki; ln -s ../../../../../etc/passwd etc/escape; ln -s a etc/b; ln -s b etc/a"
        )
        let root = tree.root
        #expect(try root.realLocation(of: "/etc/pki/ca.crt") == "\(tree.path)/real/pki/ca.crt")
        #expect(try root.bytes(of: "/etc/pki/../pki/ca.crt").count > 0)
        #expect(throws: SystemCallError.self) { try root.bytes(of: "/etc/escape") }
        #expect(throws: SystemCallError.self) { try root.bytes(of: "/etc/a") }
        #expect(throws: (any Error).self) { try root.bytes(of: "/etc") }
        #expect(try root.realLocation(of: "/..") == tree.path)
        #expect(try root.realLocation(of: "/real/pki/..") == "\(tree.path)/real")
        #expect(root.attributes(of: "/etc/escape") == nil)
    }
}
