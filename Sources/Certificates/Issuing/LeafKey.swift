import Crypto
import CryptoExtras
import FoundationEssentials
import HostIO
import X509

/// A new private key in the form in which kubeadm writes it.
public struct LeafKey: Sendable {
    /// The key in DER: PKCS#1 (RFC 8017) or SEC 1 (RFC 5915).
    public let der: SecretBytes
    /// The label of its PEM block.
    public let label: String
    /// The key as swift-certificates signs with it.
    let signer: Certificate.PrivateKey

    /// Makes a key.
    ///
    /// - Throws: ``Failure`` if there is no randomness.
    public init(_ algorithm: LeafKeyAlgorithm) throws(Failure) {
        do {
            self =
                switch algorithm {
                case .rsa2048: try Self.rsa(2048)
                case .rsa3072: try Self.rsa(3072)
                case .rsa4096: try Self.rsa(4096)
                case .p256: Self.p256()
                case .p384: Self.p384()
                }
        } catch {
            throw Failure(.failed, "a key of the kind \(algorithm.rawValue) can't be made", cause: error)
        }
    }

    private init(der: SecretBytes, label: String, signer: Certificate.PrivateKey) {
        self.der = der
        self.label = label
        self.signer = signer
    }

    /// The key as a PEM file.
    public var pem: SecretBytes {
        var block = PEMFile.Block(label: label, content: der.withUnsafeBytes { Array($0) })
        var text = PEMFile.encode(block)
        defer {
            block.content.wipe()
            text.wipe()
        }
        return text.withUnsafeBytes { SecretBytes(copying: $0) }
    }

    private static func rsa(_ bitCount: Int) throws -> LeafKey {
        let key = try _RSA.Signing.PrivateKey(keySize: _RSA.Signing.KeySize(bitCount: bitCount))
        var encoded = key.derRepresentation
        defer { encoded.resetBytes(in: encoded.startIndex..<encoded.endIndex) }
        return LeafKey(
            der: encoded.withUnsafeBytes { SecretBytes(copying: $0) }, label: "RSA PRIVATE KEY",
            signer: Certificate.PrivateKey(key))
    }

    private static func p256() -> LeafKey {
        let key = P256.Signing.PrivateKey()
        return LeafKey(
            der: SEC1Frame.p256.bytes(key.rawRepresentation, key.publicKey.x963Representation),
            label: "EC PRIVATE KEY", signer: Certificate.PrivateKey(key))
    }

    private static func p384() -> LeafKey {
        let key = P384.Signing.PrivateKey()
        return LeafKey(
            der: SEC1Frame.p384.bytes(key.rawRepresentation, key.publicKey.x963Representation),
            label: "EC PRIVATE KEY", signer: Certificate.PrivateKey(key))
    }
}

/// The bytes of an `ECPrivateKey` around scalar and point, whose lengths a curve fixes.
private struct SEC1Frame {
    /// `SEQUENCE`, version 1, and the head of the `OCTET STRING` with the scalar.
    let head: [UInt8]
    /// `[0]` with the curve's object identifier, and the heads of `[1]` and of the `BIT STRING` with the point.
    let middle: [UInt8]

    static let p256 = SEC1Frame(
        head: [0x30, 0x77, 0x02, 0x01, 0x01, 0x04, 0x20],
        middle: [0xA0, 0x0A, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07, 0xA1, 0x44, 0x03, 0x42, 0x00])
    static let p384 = SEC1Frame(
        head: [0x30, 0x81, 0xA4, 0x02, 0x01, 0x01, 0x04, 0x30],
        middle: [0xA0, 0x07, 0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x22, 0xA1, 0x64, 0x03, 0x62, 0x00])

    /// The whole key; the scalar is wiped, but for copies that its maker has.
    func bytes(_ scalar: consuming Data, _ point: Data) -> SecretBytes {
        defer { scalar.resetBytes(in: scalar.startIndex..<scalar.endIndex) }
        let count = head.count + scalar.count + middle.count + point.count
        return SecretBytes(count: count) { target in
            var offset = 0
            func put(_ part: UnsafeRawBufferPointer) {
                UnsafeMutableRawBufferPointer(rebasing: target[offset..<offset + part.count]).copyMemory(from: part)
                offset += part.count
            }
            head.withUnsafeBytes(put)
            scalar.withUnsafeBytes(put)
            middle.withUnsafeBytes(put)
            point.withUnsafeBytes(put)
        }
    }
}
