import HostIO
import NodeFiles
import YAML

/// Files that a configuration file names.
struct FollowedFiles {
    /// A file named by another.
    struct Named: Equatable {
        /// The path as it was written, made absolute against the file's directory.
        var path: String
        var captureClass: CaptureClass
        /// The field that names it.
        var field: String
        /// Whether the component does not work without it.
        var isRequired = true
    }

    /// The files that a configuration names; none if the document is of a kind that names none.
    ///
    /// Sources: Kubernetes 1.36 API reference: `Config` v1 (relative paths count from the file's directory, client-go
    /// `clientcmd/loader.go`), `AdmissionConfiguration` and `AuthorizationConfiguration` (`apiserver.config.k8s.io`),
    /// `WebhookAdmissionConfiguration`, `EgressSelectorConfiguration` (`apiserver.k8s.io`), `KubeletConfiguration`
    /// (`kubelet.config.k8s.io`), `KubeSchedulerConfiguration`, `KubeProxyConfiguration`.
    static func named(in document: Node, path: String) -> [Named] {
        let named: [Named]
        switch document.text("kind") {
        case "Config": named = kubeconfig(document)
        case "AdmissionConfiguration": named = admission(document)
        case "WebhookAdmissionConfiguration":
            named = field(document, "kubeConfigFile", .admissionConfiguration)
        case "AuthorizationConfiguration":
            named = document.items("authorizers").compactMap { $0.value("webhook")?.value("connectionInfo") }
                .flatMap { field($0, "kubeConfigFile", .authorizationConfiguration) }
        case "EgressSelectorConfiguration": named = egress(document)
        case "KubeletConfiguration": named = kubelet(document)
        case "KubeSchedulerConfiguration", "KubeProxyConfiguration", "KubeControllerManagerConfiguration":
            named =
                (document.value("clientConnection").map { field($0, "kubeconfig", .kubeconfig) } ?? [])
                + document.items("extenders").compactMap { $0.value("tlsConfig") }.flatMap(extender)
        default:
            // What a plugin of the admission configuration reads: that of `ImagePolicyWebhook` has no kind.
            named = document.value("imagePolicy").map { field($0, "kubeConfigFile", .admissionConfiguration) } ?? []
        }
        return named.map { file in
            var file = file
            file.path = absolutePath(file.path, from: parentPath(path))
            return file
        }
    }

    private static func field(
        _ node: Node, _ name: String, _ captureClass: CaptureClass, isRequired: Bool = true
    ) -> [Named] {
        guard let path = node.text(name) else { return [] }
        return [Named(path: path, captureClass: captureClass, field: name, isRequired: isRequired)]
    }

    private static func kubeconfig(_ document: Node) -> [Named] {
        let clusters = document.items("clusters").compactMap { $0.value("cluster") }
        let users = document.items("users").compactMap { $0.value("user") }
        // Embedded data goes before a path.
        return clusters.filter { $0.text("certificate-authority-data") == nil }
            .flatMap { field($0, "certificate-authority", .caCertificate) }
            + users.filter { $0.text("client-certificate-data") == nil }
            .flatMap { field($0, "client-certificate", .certificate) }
            + users.filter { $0.text("client-key-data") == nil }.flatMap { field($0, "client-key", .privateKey) }
            + users.flatMap { field($0, "tokenFile", .joinToken) }
    }

    private static func admission(_ document: Node) -> [Named] {
        document.items("plugins").flatMap { plugin in
            var named = field(plugin, "path", .admissionConfiguration)
            if let configuration = plugin.value("configuration") {
                named += field(configuration, "kubeConfigFile", .admissionConfiguration)
                if let policy = configuration.value("imagePolicy") {
                    named += field(policy, "kubeConfigFile", .admissionConfiguration)
                }
            }
            return named
        }
    }

    private static func egress(_ document: Node) -> [Named] {
        document.items("egressSelections").flatMap { selection -> [Named] in
            guard let transport = selection.value("connection")?.value("transport"),
                let tls = transport.value("tcp")?.value("tlsConfig")
            else { return [] }
            return field(tls, "caBundle", .caCertificate) + field(tls, "clientCert", .certificate)
                + field(tls, "clientKey", .privateKey)
        }
    }

    /// The TLS files of a scheduler's extender (`kubescheduler.config.k8s.io`, `ExtenderTLSConfig`).
    private static func extender(_ tls: Node) -> [Named] {
        field(tls, "caFile", .component) + field(tls, "certFile", .component) + field(tls, "keyFile", .component)
    }

    private static func kubelet(_ document: Node) -> [Named] {
        let x509 = document.value("authentication")?.value("x509")
        return (x509.map { field($0, "clientCAFile", .caCertificate) } ?? [])
            + field(document, "staticPodPath", .staticPod, isRequired: false)
            + field(document, "tlsCertFile", .kubeletPKI) + field(document, "tlsPrivateKeyFile", .kubeletPKI)
            + field(document, "resolvConf", .network, isRequired: false)
    }
}
