import KubernetesObjects
import YAML

/// What the ConfigMap `kube-system/kubeadm-config` says of how long certificates are valid.
///
/// kubeadm `v1beta4`, `ClusterConfiguration.certificateValidityPeriod`; a duration as Go writes it.
enum CertificateValidity {
    /// The seconds; nil where nothing says them.
    static func seconds(in configMap: UnsafeRawBufferPointer) -> Int? {
        var seconds: Int?
        _ = ObjectTexts { _ in true }.forEach(in: configMap) { place, text in
            guard place == "data[ClusterConfiguration]", let root = try? YAML.Node.first(in: [UInt8](text)) else {
                return
            }
            seconds = seconds ?? root.text("certificateValidityPeriod").flatMap(Self.seconds)
        }
        return seconds
    }

    /// A hundred years.
    private static let largest = 876_000 * 3600

    /// `8760h0m0s`, `2160h`, `90m`; nil for anything else, and for less than a second or more than a century.
    static func seconds(_ duration: String) -> Int? {
        let units: [Character: Int] = ["h": 3600, "m": 60, "s": 1]
        var seconds = 0
        var rest = duration[...]
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && $0.isNumber }
            guard digits.count <= 12, let number = Int(digits),
                let unit = rest[digits.endIndex...].first.flatMap({ units[$0] })
            else { return nil }
            seconds += number * unit
            guard seconds <= largest else { return nil }
            rest = rest[digits.endIndex...].dropFirst()
        }
        return (1...largest).contains(seconds) ? seconds : nil
    }
}
