import HostIO
import SwiftASN1
import X509

/// The subject alternative names of a certificate in the order in which kubeadm writes them.
///
/// DNS names are sorted, for kubeadm takes them out of a set; addresses stay in their order. Whatever else a certificate
/// has, such as URIs, comes behind them.
public struct AlternativeNames: Hashable, Sendable {
    /// DNS names, sorted, each once.
    public let dnsNames: [String]
    /// IP addresses, each once.
    public let ipAddresses: [IPAddress]
    /// Names of other kinds.
    public let others: [GeneralName]

    /// Names in any order and number.
    public init(_ hosts: [CertificateHost] = [], others: [GeneralName] = []) {
        var names: Set<String> = []
        var addresses: [IPAddress] = []
        var known: Set<IPAddress> = []
        for host in hosts {
            switch host {
            case .dns(let name): names.insert(name)
            case .ip(let address): if known.insert(address).inserted { addresses.append(address) }
            }
        }
        dnsNames = names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        ipAddresses = addresses
        var seen: Set<GeneralName> = []
        self.others = others.filter { seen.insert($0).inserted }
    }

    /// The names in an extension.
    ///
    /// - Throws: errors of swift-certificates; ``Failure`` if an address has not 4 or 16 bytes.
    init(_ names: SubjectAlternativeNames) throws {
        var hosts: [CertificateHost] = []
        var others: [GeneralName] = []
        for name in names {
            switch name {
            case .dnsName(let text): hosts.append(.dns(text))
            case .ipAddress(let octets):
                guard let address = IPAddress(bytes: octets.bytes) else {
                    throw Failure(.failed, "an IP address among its names has \(octets.bytes.count) bytes, not 4 or 16")
                }
                hosts.append(.ip(address))
            default: others.append(name)
            }
        }
        self.init(hosts, others: others)
    }

    /// The names and addresses by which a server is checked.
    public var hosts: [CertificateHost] { dnsNames.map { .dns($0) } + ipAddresses.map { .ip($0) } }

    /// Whether there are none.
    public var isEmpty: Bool { dnsNames.isEmpty && ipAddresses.isEmpty && others.isEmpty }

    /// The names as the extension has them.
    var generalNames: SubjectAlternativeNames {
        SubjectAlternativeNames(
            dnsNames.map { .dnsName($0) }
                + ipAddresses.map { .ipAddress(ASN1OctetString(contentBytes: $0.bytes[...])) } + others)
    }
}
