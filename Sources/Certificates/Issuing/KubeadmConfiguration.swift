import HostIO

/// What a `ClusterConfiguration` of kubeadm says that certificates follow from.
public struct KubeadmConfiguration: Sendable, Hashable {
    /// The address of the service `kubernetes`: the first of the first service range.
    public let serviceAddress: IPAddress
    /// The domain of services, such as `cluster.local`.
    public let dnsDomain: String
    /// What `apiServer.certSANs` lists.
    public var apiServerNames: [String] = []
    /// What `etcd.local.serverCertSANs` lists.
    public var etcdServerNames: [String] = []
    /// What `etcd.local.peerCertSANs` lists.
    public var etcdPeerNames: [String] = []
    /// Whether `etcd.external` takes the place of the node's own etcd, whose certificates then come from elsewhere.
    public var hasExternalEtcd = false
    /// The kind of keys.
    public var keyAlgorithm = LeafKeyAlgorithm.rsa2048
    /// The hours that a certificate is valid for.
    public var validityHours = 8760
    /// The version of the cluster.
    public var version: KubernetesVersion

    /// A configuration from its texts.
    ///
    /// - Parameter serviceSubnet: one range, or two with a comma between them.
    /// - Throws: ``Failure`` that names the text that can't be right.
    public init(
        serviceSubnet: String, dnsDomain: String = "cluster.local", version: KubernetesVersion
    ) throws(Failure) {
        guard let address = Self.firstAddress(of: serviceSubnet) else {
            throw Failure(.usage, "the service subnet \(quoted(serviceSubnet)) is not a range of IP addresses")
        }
        serviceAddress = address
        guard CertificateHost.isDNSName(dnsDomain) else {
            throw Failure(.usage, "the DNS domain \(quoted(dnsDomain)) is not a DNS name in lower case (RFC 1123)")
        }
        self.dnsDomain = dnsDomain
        self.version = version
    }

    /// The first address behind that of the network, in the first range of a list.
    static func firstAddress(of subnets: String) -> IPAddress? {
        let parts = subnets.prefix { $0 != "," }.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPAddress(parts[0]), let length = UInt8(parts[1]),
            length <= address.bytes.count * 8
        else { return nil }
        let network = address.bytes.enumerated().map { index, byte -> UInt8 in
            let bits = max(0, min(8, Int(length) - index * 8))
            return byte & ~UInt8(truncatingIfNeeded: 0xFF >> bits)
        }
        return IPAddress(bytes: network)?.successor
    }
}
