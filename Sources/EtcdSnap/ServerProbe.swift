import HostIO
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
        /// TLS, and what the server says before its client has to prove anything.
        case tls(Greeting)
        /// HTTP/2 without TLS, as etcd speaks it.
        case http2
        /// Other bytes that aren't TLS: HTTP/1.1, or something else.
        case other(isHTTP: Bool)
        /// Records that look like TLS and hold no handshake.
        case brokenTLS
        /// The end of the connection without a byte, whatever is asked: often a proxy whose backend is gone.
        case closed
        /// Nothing at all in time, or no connection.
        case silent
    }

    /// A server's first messages.
    struct Greeting {
        /// The server's certificate; nil if it couldn't be had: the server may insist on TLS 1.3.
        var certificate: Certificate?
        /// Whether the server asks for a client's certificate; nil if that couldn't be told.
        var asksForCertificate: Bool?
        /// The description of an alert that the probe's first message was answered with (RFC 5246, section 7.2).
        var alert: UInt8?
    }

    /// How long connecting and each read may take, in seconds.
    private static let timeoutSeconds = 2

    /// Connects to the first address that answers and greets the server, a second time without TLS if need be; blocks.
    static func greet(_ addresses: HostAddresses) -> Answer {
        let received: [UInt8]
        switch ask(addresses, clientHello(), until: { isTLS($0) && !isComplete($0) }) {
        case .none: return .silent
        case .some(let bytes): received = bytes
        }
        if !received.isEmpty, isTLS(received) { return greeting(in: received).map(Answer.tls) ?? .brokenTLS }
        // etcd without TLS closes on a ClientHello, and so does much else.
        let plain = ask(addresses, http2Preface, until: { $0.count < 9 }) ?? []
        if isHTTP2Settings(plain) { return .http2 }
        let said = received.isEmpty ? plain : received
        return said.isEmpty ? .closed : .other(isHTTP: said.starts(with: "HTTP/".utf8))
    }

    /// The client's half of the beginning of HTTP/2 (RFC 9113, section 3.4): the preface, and SETTINGS that set nothing.
    private static let http2Preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + [0, 0, 0, 4, 0, 0, 0, 0, 0]

    /// The server's half begins with SETTINGS on stream 0: frame type 4, no longer than a few settings of 6 bytes.
    private static func isHTTP2Settings(_ bytes: [UInt8]) -> Bool {
        bytes.count >= 9 && bytes[0] == 0 && bytes[1] == 0 && Int(bytes[2]).isMultiple(of: 6) && bytes[3] == 4
            && bytes[5..<9].allSatisfy { $0 == 0 }
    }

    /// Sends bytes and returns what comes back while that is incomplete: nothing if the server closes without a byte, nil
    /// if it is silent or there is no connection.
    private static func ask(
        _ addresses: HostAddresses, _ question: [UInt8], until isIncomplete: ([UInt8]) -> Bool
    ) -> [UInt8]? {
        guard let socket = connectedSocket(to: addresses) else { return nil }
        defer { close(socket) }
        guard send(socket, question, question.count, Int32(MSG_NOSIGNAL)) == question.count else { return nil }
        let maxAnswerByteCount = 64 << 10
        var received: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 16 << 10)
        repeat {
            let count = recv(socket, &piece, piece.count, 0)
            if count <= 0 {
                let isClosed = count == 0 || errno == ECONNRESET || errno == EPIPE
                return received.isEmpty && !isClosed ? nil : received
            }
            received += piece[..<count]
        } while received.count < maxAnswerByteCount && isIncomplete(received)
        return received
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
}
