import FoundationEssentials
import HostIO

/// A certificate that was made here, with its key.
public struct IssuedCertificate: Sendable {
    /// The certificate in DER.
    public let der: [UInt8]
    /// Its key.
    public let key: LeafKey
    /// When validity begins.
    public let notBefore: Date
    /// When it ends.
    public let notAfter: Date

    /// The certificate as a PEM file.
    public var pem: [UInt8] { PEMFile.encode(PEMFile.Block(label: PEMFile.Block.certificateLabel, content: der)) }
}
