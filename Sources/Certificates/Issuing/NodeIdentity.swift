import HostIO

/// How a control-plane node is named and reached.
public struct NodeIdentity: Sendable, Hashable {
    /// The name of the node, in lower case.
    public let nodeName: String
    /// Its addresses, several on a dual-stack node, beginning with the one that API server and etcd advertise.
    public let addresses: [IPAddress]
    /// The host of the control-plane endpoint, nil for a cluster without one.
    public let endpoint: CertificateHost?

    /// An identity from texts of configuration.
    ///
    /// - Parameter endpointHost: the host of `controlPlaneEndpoint` without its port.
    /// - Throws: ``Failure`` that names the text that can't be right.
    public init(nodeName: String, addresses: [IPAddress], endpointHost: String?) throws(Failure) {
        self.nodeName = try Self.nodeName(nodeName)
        guard !addresses.isEmpty else {
            throw Failure(.usage, "the node \(quoted(nodeName)) has no address")
        }
        self.addresses = addresses
        endpoint = try endpointHost.map { (host) throws(Failure) in try Self.endpoint(host) }
    }

    /// The address that API server and etcd advertise.
    public var advertiseAddress: IPAddress { addresses[0] }

    /// Everything that a server of the node may be reached by.
    var hosts: Set<CertificateHost> {
        Set([.dns(nodeName)] + addresses.map { .ip($0) } + [endpoint].compactMap(\.self))
    }

    private static func nodeName(_ text: String) throws(Failure) -> String {
        let name = text.lowercased()
        guard CertificateHost.isDNSName(name) else {
            throw Failure(
                .usage, "the node name \(quoted(text)) is not a DNS name (RFC 1123)",
                hint: "use letters, digits, hyphens and dots; write an internationalised name in its xn-- form")
        }
        return name
    }

    private static func endpoint(_ text: String) throws(Failure) -> CertificateHost {
        guard let host = CertificateHost(text), !text.hasPrefix("*") else {
            throw Failure(
                .usage, "the control-plane endpoint's host \(quoted(text)) is neither an IP address nor a DNS name",
                hint: "write names in lower case and internationalised ones in their xn-- form")
        }
        return host
    }
}
