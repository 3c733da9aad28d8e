/// Why there is no response, or only a part of one.
public struct HTTPError: Error, Sendable, Equatable {
    /// What went wrong.
    public enum Reason: Sendable, Equatable {
        /// The request can't be sent as it is; how so, which names no value of a field.
        case invalidRequest(String)
        /// The proxy that is configured is none; how so, which names no user and no password.
        case invalidProxy(String)
        /// The host's name has no address, or that can't be told.
        case cannotResolve
        /// No connection: nothing listens, no route.
        case cannotConnect
        /// A connection was there and ended before the response was complete.
        case connectionLost
        /// Something took too long.
        case timedOut(Phase)
        /// There is no trust, or no TLS.
        case tls(TLSProblem)
        /// The proxy did not lead to the server; its status if it said one.
        case proxy(status: Int?)
        /// What answers does not speak HTTP.
        case notHTTP
        /// The response is larger than the limit, in bytes.
        case tooLarge(limit: Int)
        /// Another thread ended the request.
        case cancelled
        /// There was no memory.
        case outOfMemory
        /// Something that libcurl has a number for.
        case other(code: Int)
    }

    /// What took too long, and how long it was waited for.
    public enum Phase: Sendable, Equatable {
        /// Which address the name has.
        case lookup(Duration)
        /// The connection, with TLS and the proxy's part.
        case connection(Duration)
        /// Hardly a byte passed for so long.
        case stall(Duration)
        /// The whole request.
        case deadline(Duration)
    }

    /// What is wrong with TLS.
    public enum TLSProblem: Sendable, Equatable {
        /// No authority is known, and so nobody can be trusted; where they were looked for.
        case noAuthorities(searched: [String])
        /// No trusted authority has signed the certificate.
        case unknownAuthority
        /// The certificate has expired, or one above it has.
        case expired
        /// The certificate is not valid yet, or one above it is not.
        case notYetValid
        /// The certificate is for other names; which ones, if that is known.
        case wrongName(names: [String])
        /// The certificate is refused for another reason.
        case certificate
        /// The server does not speak TLS.
        case notTLS
        /// The server offers no version of TLS that is secure.
        case tooOld
        /// The handshake failed.
        case handshake
    }

    /// What went wrong.
    public var reason: Reason
    /// The host and the port that were asked; nil where it did not come to that.
    public var server: String?
    /// The host, as the URL has it.
    public var host: String?
    /// The host and the port of the proxy on the way.
    public var proxy: String?
    /// Whether the trouble is the proxy's own: its name, its port, its certificate, its refusal.
    public var isAtProxy = false
    /// The address at the other end of the connection.
    public var address: String?
    /// The words of libcurl or of the system.
    public var details = ""
    /// How often the request was sent, wholly or in part.
    public var sentCount = 0
    /// How many bytes of the request's body were sent, and received of the response's.
    public var sentByteCount = 0
    /// How many bytes of the response's body came.
    public var receivedByteCount = 0
    /// How many bytes the request's body has.
    public var bodyByteCount: Int?

    /// An error for a reason, of which nothing else is known.
    public init(_ reason: Reason) { self.reason = reason }

    init(_ reason: Reason, url: HTTPURL) {
        self.reason = reason
        server = url.server
        host = url.host
    }

    /// Whether the server may have got the request, and so may have done what it asks for.
    public var requestMayHaveArrived: Bool { sentCount > 0 }

    /// Whether the same request may succeed when it is sent again, nothing else having changed.
    ///
    /// Whether it may be sent again is another question: see ``requestMayHaveArrived``.
    public var isWorthRetrying: Bool {
        switch reason {
        case .cannotResolve, .cannotConnect, .connectionLost, .timedOut: true
        case .proxy(let status): status.map { $0 == 408 || $0 == 429 || $0 >= 500 } ?? true
        case .invalidRequest, .invalidProxy, .tls, .notHTTP, .tooLarge, .cancelled, .outOfMemory, .other: false
        }
    }
}
