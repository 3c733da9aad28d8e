import HostIO
import NodeFiles
import YAML

extension LayoutBuilder {
    /// Adds the files that distributions' own configurations name, beside what their flags do.
    mutating func addFilesOfDistributions() {
        for distribution in ["k3s", "rke2"] where layout.distributions.contains(distribution) {
            addRegistries(of: distribution)
        }
        if layout.distributions.contains("microshift") { addFilesOfMicroShift() }
    }

    /// TLS files of container registries.
    ///
    /// Source: k3s documentation, "Private Registry Configuration"; rancher/wharfie, `pkg/registries/types.go`, `TLSConfig`.
    private mutating func addRegistries(of distribution: String) {
        let server = layout.components.first { $0.name == distribution }
        let path = server?.configuration.last("private-registry") ?? "/etc/rancher/\(distribution)/registries.yaml"
        guard root.attributes(of: path)?.kind == .file, let document = document(at: path) else { return }
        for registry in document.value("configs")?.mapping ?? [] {
            guard let tls = registry.value.value("tls") else { continue }
            for field in ["ca_file", "cert_file", "key_file"] {
                addNamed(tls.text(field), .containerRuntime, by: "\(path) \(field)")
            }
        }
    }

    /// Certificates for further names of the API server, and directories of manifests.
    ///
    /// Source: MicroShift, `pkg/config/config.go` (`ConfigFile`, `configDropInDir`), `apiserver.go` (`NamedCertificateEntry`),
    /// `manifests.go` (`KustomizePaths`, which are patterns).
    private mutating func addFilesOfMicroShift() {
        let directory = "/etc/microshift"
        let files = ["\(directory)/config.yaml"] + FilePattern.paths(matching: "\(directory)/config.d/*.yaml", in: root)
        for path in files where root.attributes(of: path)?.kind == .file {
            guard let document = document(at: path) else { continue }
            for entry in document.value("apiServer")?.items("namedCertificates") ?? [] {
                addNamed(entry.text("certPath"), .certificate, by: "\(path) namedCertificates")
                addNamed(entry.text("keyPath"), .privateKey, by: "\(path) namedCertificates")
            }
            for pattern in document.value("manifests")?.items("kustomizePaths") ?? [] {
                for found in FilePattern.paths(matching: pattern.presentText ?? "", in: root) {
                    guard PathPolicy.reasonToSkip(found) == nil else { continue }
                    collector.add(found, .distribution, by: "\(path) kustomizePaths", isRequired: false)
                }
            }
        }
    }

    private mutating func addNamed(_ path: String?, _ captureClass: CaptureClass, by referrer: String) {
        guard let path, path.hasPrefix("/") else { return }
        collector.add(joinPath("/", path), captureClass, by: referrer, isRequired: true)
    }

    // MARK: Volumes

    /// Whether a directory holds so little that it may be taken whatever it is for: configuration, not data.
    func isSmall(_ directory: String) -> Bool {
        var rest = (entries: 256, bytes: 4 << 20)
        return isSmall(directory, depth: 0, &rest)
    }

    private func isSmall(_ directory: String, depth: Int, _ rest: inout (entries: Int, bytes: Int)) -> Bool {
        guard depth < 8, let names = try? root.names(in: directory) else { return false }
        rest.entries -= names.count
        guard rest.entries >= 0 else { return false }
        for name in names {
            let path = joinPath(directory, name)
            guard let attributes = root.attributes(of: path) else { continue }
            switch attributes.kind {
            case .file: rest.bytes -= attributes.byteCount
            case .directory: if !isSmall(path, depth: depth + 1, &rest) { return false }
            default: break
            }
            guard rest.bytes >= 0 else { return false }
        }
        return true
    }
}
