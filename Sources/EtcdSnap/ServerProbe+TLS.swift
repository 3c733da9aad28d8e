import SwiftASN1
import X509

/// The little of TLS that a probe needs.
extension ServerProbe {
    /// A record begins with its type, 22 for a handshake or 21 for an alert, and the version's 3 (RFC 5246, 6.2.1).
    static func isTLS(_ bytes: [UInt8]) -> Bool {
        guard let type = bytes.first, type == 22 || type == 21 else { return false }
        return bytes.count < 2 || bytes[1] == 3
    }

    /// A ClientHello with the suites, curves and signature schemes that Go's server accepts in TLS 1.2.
    static func clientHello() -> [UInt8] {
        // ECDHE with AES-GCM or ChaCha20-Poly1305, for ECDSA and RSA certificates, and two of RSA key exchange.
        let suites: [UInt8] = [
            0xC0, 0x2B, 0xC0, 0x2F, 0xC0, 0x2C, 0xC0, 0x30, 0xCC, 0xA9, 0xCC, 0xA8, 0x00, 0x9C, 0x00, 0x9D,
        ]
        let curves: [UInt8] = [0x00, 0x1D, 0x00, 0x17, 0x00, 0x18]  // x25519, secp256r1, secp384r1
        let signatures: [UInt8] = [  // rsa_pss and rsa_pkcs1, ecdsa, ed25519
            0x08, 0x04, 0x04, 0x03, 0x08, 0x07, 0x08, 0x05, 0x08, 0x06, 0x04, 0x01, 0x05, 0x03, 0x05, 0x01,
        ]
        let extensions =
            prefixed([0, 10], prefixed([], curves)) + prefixed([0, 11], [1, 0])
            + prefixed([0, 13], prefixed([], signatures))
        var random = SystemRandomNumberGenerator()
        let nonce = (0..<32).map { _ in UInt8.random(in: 0...255, using: &random) }
        let body = [3, 3] + nonce + [0] + prefixed([], suites) + [1, 0] + prefixed([], extensions)
        let handshake = [1, 0] + prefixed([], body)
        return prefixed([22, 3, 1], handshake)
    }

    /// A header, the content's length in two bytes, and the content.
    private static func prefixed(_ header: [UInt8], _ content: [UInt8]) -> [UInt8] {
        header + [UInt8(content.count >> 8), UInt8(content.count & 0xFF)] + content
    }

    /// The first certificate of the handshake's Certificate message; nil while that isn't complete or if it is damaged.
    static func leafCertificate(in records: [UInt8]) -> Certificate? {
        guard let body = messages(in: records).first(where: { $0.type == Message.certificate })?.body else {
            return nil
        }
        // The list's length, then for each certificate its own (RFC 5246, 7.4.2).
        var list = body.dropFirst(3)
        guard let der = takeVector(from: &list, skipping: 0) else { return nil }
        return try? Certificate(derEncoded: Array(der))
    }

    /// What a server's first records tell; nil if they hold neither a ServerHello nor an alert.
    static func greeting(in records: [UInt8]) -> Greeting? {
        let types = messages(in: records).map(\.type)
        guard types.first == Message.serverHello || isAlert(records) else { return nil }
        let asks = types.contains(Message.certificateRequest)
        let isWhole = types.contains(Message.serverHelloDone)
        return Greeting(
            certificate: leafCertificate(in: records), asksForCertificate: asks ? true : isWhole ? false : nil,
            alert: isAlert(records) ? records[6] : nil)
    }

    /// Whether a server waits for its client now, or has refused to go on.
    static func isComplete(_ records: [UInt8]) -> Bool {
        isAlert(records) || messages(in: records).contains { $0.type == Message.serverHelloDone }
    }

    /// Types of handshake messages (RFC 5246, section 7.4).
    private enum Message {
        static let serverHello: UInt8 = 2
        static let certificate: UInt8 = 11
        static let certificateRequest: UInt8 = 13
        static let serverHelloDone: UInt8 = 14
    }

    /// An alert has a level, 1 or 2, and a description (RFC 5246, section 7.2).
    private static func isAlert(_ records: [UInt8]) -> Bool {
        records.count >= 7 && records[0] == 21 && records[3] == 0 && records[4] == 2 && (1...2).contains(records[5])
    }

    /// The complete handshake messages of records.
    private static func messages(in records: [UInt8]) -> [(type: UInt8, body: ArraySlice<UInt8>)] {
        var rest = handshakeBytes(of: records)[...]
        var result: [(UInt8, ArraySlice<UInt8>)] = []
        while let type = rest.first, let body = takeVector(from: &rest, skipping: 1) { result.append((type, body)) }
        return result
    }

    /// The contents of the complete handshake records, put together.
    private static func handshakeBytes(of records: [UInt8]) -> [UInt8] {
        var rest = records[...]
        var result: [UInt8] = []
        while rest.count >= 5, rest[rest.startIndex] == 22 {
            let length = Int(rest[rest.startIndex + 3]) << 8 | Int(rest[rest.startIndex + 4])
            guard rest.count >= 5 + length else { break }
            result += rest.dropFirst(5).prefix(length)
            rest = rest.dropFirst(5 + length)
        }
        return result
    }

    /// Takes a header of `headerCount` bytes, a length of three bytes and as many bytes; returns the last.
    private static func takeVector(
        from bytes: inout ArraySlice<UInt8>, skipping headerCount: Int
    ) -> ArraySlice<UInt8>? {
        let start = bytes.startIndex + headerCount
        guard bytes.count >= headerCount + 3 else { return nil }
        let length = Int(bytes[start]) << 16 | Int(bytes[start + 1]) << 8 | Int(bytes[start + 2])
        guard bytes.count >= headerCount + 3 + length else { return nil }
        let content = bytes[(start + 3)..<(start + 3 + length)]
        bytes = bytes[(start + 3 + length)...]
        return content
    }
}
