import HostIO
import SwiftASN1
import X509

#if canImport(Glibc)
    import Glibc
#endif

/// Finds out what kind of server listens at an endpoint, to explain a failed connection.
///
/// It greets the server with a TLS 1.2 ClientHello (RFC 5246, section 7.4.1.2): in that version the server's
/// certificate still comes unencrypted. Nothing secret is sent, nothing received is trusted.
enum ServerProbe {
    /// What a server answered.
    enum Answer {
        /// TLS; with the server's certificate unless that couldn't be had (the server may insist on TLS 1.3).
        case tls(Certificate?)
        /// Bytes that aren't TLS, or the connection's end without any.
        case plaintext
        /// Nothing at all in time, or no connection.
        case silent
    }

    /// How long connecting and each read may take, in seconds.
    private static let timeoutSeconds = 2

    /// Connects to the first address that answers and greets the server; blocks.
    static func greet(_ addresses: HostAddresses) -> Answer {
        guard let socket = connectedSocket(to: addresses) else { return .silent }
        defer { close(socket) }
        let hello = clientHello()
        guard send(socket, hello, hello.count, Int32(MSG_NOSIGNAL)) == hello.count else { return .silent }
        return answer(from: socket)
    }

    private static func connectedSocket(to addresses: HostAddresses) -> Int32? {
        for address in addresses.addresses {
            if let socket = connectedSocket(to: address, addresses.port) { return socket }
        }
        return nil
    }

    private static func connectedSocket(to address: String, _ port: UInt16) -> Int32? {
        var hints = addrinfo()
        hints.ai_flags = AI_NUMERICHOST
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(address, String(port), &hints, &list) == 0 else { return nil }
        defer { freeaddrinfo(list) }
        return list.flatMap { connectedSocket(to: $0.pointee) }
    }

    private static func connectedSocket(to address: addrinfo) -> Int32? {
        let type = address.ai_socktype | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = socket(address.ai_family, type, address.ai_protocol)
        guard descriptor >= 0 else { return nil }
        var timeout = timeval(tv_sec: timeoutSeconds, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        // On Linux the send time-out also bounds connect, see socket(7).
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, size)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, size)
        if connect(descriptor, address.ai_addr, address.ai_addrlen) == 0 { return descriptor }
        close(descriptor)
        return nil
    }

    /// Reads until the certificate is complete, or until it is clear that none will come.
    private static func answer(from socket: Int32) -> Answer {
        let maxAnswerByteCount = 64 << 10
        var received: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 16 << 10)
        while received.count < maxAnswerByteCount {
            let count = recv(socket, &piece, piece.count, 0)
            if count <= 0 {
                if !received.isEmpty { break }
                return count == 0 || errno == ECONNRESET ? .plaintext : .silent
            }
            received += piece[..<count]
            guard isTLS(received) else { return .plaintext }
            if let certificate = leafCertificate(in: received) { return .tls(certificate) }
        }
        return isTLS(received) ? .tls(nil) : .plaintext
    }

    /// A record begins with its type, 22 for a handshake or 21 for an alert, and the version's 3 (RFC 5246, 6.2.1).
    private static func isTLS(_ bytes: [UInt8]) -> Bool {
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
        var messages = handshakeBytes(of: records)[...]
        while messages.count >= 4 {
            let type = messages[messages.startIndex]
            guard let body = takeVector(from: &messages, skipping: 1) else { return nil }
            guard type == 11 else { continue }
            // The list's length, then for each certificate its own (RFC 5246, 7.4.2).
            var list = body.dropFirst(3)
            guard let der = takeVector(from: &list, skipping: 0) else { return nil }
            return try? Certificate(derEncoded: Array(der))
        }
        return nil
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
