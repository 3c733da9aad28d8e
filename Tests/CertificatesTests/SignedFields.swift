import SwiftASN1
import TestSupport

@testable import Certificates

/// The parts of a certificate or a request in DER.
struct SignedFields {
    let signed: [ArraySlice<UInt8>]
    let algorithm: ArraySlice<UInt8>

    init(_ der: [UInt8]) throws {
        let outer = try Self.children(try DER.parse(der))
        signed = try Self.children(outer[0]).map(\.encodedBytes)
        algorithm = outer[1].encodedBytes
    }

    /// The extensions of a certificate, each whole, but for the authority's key identifier: of that the bytes before it.
    func extensions() throws -> [ArraySlice<UInt8>] {
        let list = try Self.children(try Self.children(try DER.parse(signed[7]))[0])
        return list.map {
            $0.encodedBytes.starts(with: Self.authorityKeyIdentifier) ? $0.encodedBytes.prefix(13) : $0.encodedBytes
        }
    }

    /// The head of an extension of 31 bytes with 20 bytes of identifier: sequence, object identifier 2.5.29.35.
    private static let authorityKeyIdentifier: [UInt8] = [0x30, 0x1F, 0x06, 0x03, 0x55, 0x1D, 0x23]

    private static func children(_ node: ASN1Node) throws -> [ASN1Node] {
        guard case .constructed(let nodes) = node.content else { throw TestSupportError("not constructed") }
        return Array(nodes)
    }
}

extension IssuedCertificate {
    /// The certificate, read again.
    func parsed(path: String) throws -> ParsedCertificate { try ParsedCertificate(der, path: path, index: 0) }
}
