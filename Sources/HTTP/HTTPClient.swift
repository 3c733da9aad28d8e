internal import CCurl

/// A blocking client of HTTP/1.1 servers, safe to use from many threads at once.
///
/// Connections are kept and used again. Redirects are not followed, nothing is encoded or decoded, and a request is sent as it
/// was given. A response of any status is returned; ``HTTPError`` says why there is none.
///
/// One repetition is the client's own: where a connection that was kept ends without a byte of a response the request is
/// sent once more over a new one, as its server may have ended it for its age; ``HTTPResponse/sentCount`` tells.
public final class HTTPClient: Sendable {
    /// How this client connects.
    public let configuration: HTTPConfiguration
    private let pool = HandlePool()
    private let authorities: AuthorityCache

    /// Creates a client without connections.
    ///
    /// - Throws: ``HTTPError`` if the file of authorities has none, `SystemCallError` if it can't be read.
    public init(_ configuration: HTTPConfiguration = HTTPConfiguration()) throws {
        self.configuration = configuration
        authorities = try AuthorityCache(configuration.authorities)
    }

    /// Sends a request and returns the response with its body.
    ///
    /// - Throws: ``HTTPError``; for a body of more than `maxBodyByteCount` bytes too, if the status is one of success.
    public func perform(_ request: HTTPRequest, cancellation: HTTPCancellation? = nil) throws -> HTTPResponse {
        try perform(request, cancellation) { exchange, response in
            (response.body, _) = try exchange.receiveAll(limit: configuration.maxBodyByteCount, isCut: false)
        }
    }

    /// Sends a request and hands on the body of a response whose status is one of success, in pieces; that of others is in
    /// the response that is returned.
    ///
    /// - Parameter receiving: gets the head and the next bytes, which are valid until it returns. The server is held back
    ///   meanwhile. What it throws ends the request and is thrown on.
    /// - Throws: ``HTTPError``. The bytes that came before are then a part of the body.
    public func perform(
        _ request: HTTPRequest, cancellation: HTTPCancellation? = nil,
        receiving: (_ head: HTTPResponse, _ bytes: UnsafeRawBufferPointer) throws -> Void
    ) throws -> HTTPResponse {
        try perform(request, cancellation) { exchange, response in
            while let bytes = try exchange.receive() { try receiving(response, bytes) }
        }
    }

    /// Sends a request and receives the body of a response whose status is one of success into a buffer; that of others is in
    /// the response.
    ///
    /// A server that does not know ranges answers with status 200 instead of 206 and sends everything: look at the status.
    ///
    /// - Returns: the response, and how many bytes of the buffer were filled.
    /// - Throws: ``HTTPError``, also if the body does not fit.
    public func perform(
        _ request: HTTPRequest, cancellation: HTTPCancellation? = nil, into buffer: UnsafeMutableRawBufferPointer
    ) throws -> (response: HTTPResponse, byteCount: Int) {
        var filled = 0
        let response = try perform(request, cancellation) { exchange, _ in
            filled = try exchange.receive(into: buffer)
        }
        return (response, filled)
    }

    private func perform(
        _ request: HTTPRequest, _ cancellation: HTTPCancellation?,
        _ receive: (Exchange, inout HTTPResponse) throws -> Void
    ) throws -> HTTPResponse {
        let prepared = try PreparedRequest(request, configuration) { () throws(HTTPError) in try authorities.pem() }
        let first = try attempt(prepared, cancellation, mayUseKeptConnection: true, sentBefore: 0, receive)
        if let response = first.response { return response }
        let second = try attempt(
            prepared, cancellation, mayUseKeptConnection: false, sentBefore: first.sentCount, receive)
        guard let response = second.response else { throw HTTPError(.connectionLost, url: prepared.url) }
        return response
    }

    /// One request over one connection; no response says that it has to be sent again.
    private func attempt(
        _ prepared: PreparedRequest, _ cancellation: HTTPCancellation?, mayUseKeptConnection: Bool, sentBefore: Int,
        _ receive: (Exchange, inout HTTPResponse) throws -> Void
    ) throws -> (response: HTTPResponse?, sentCount: Int) {
        let handle = try pool.take(for: prepared.url.server)
        defer { pool.giveBack(handle) }
        return try prepared.withUnsafePointer(mayUseKeptConnection: mayUseKeptConnection) { request in
            let exchange = Exchange(
                handle, prepared, maxHeadByteCount: configuration.maxHeadByteCount, sentBefore: sentBefore)
            defer { handle.end() }
            guard handle.begin(request) != CCURL_FAILED else { throw exchange.error() }
            guard cancellation?.add(handle) != false else { throw exchange.cancelled() }
            defer { cancellation?.remove(handle) }
            guard handle.waitForHead() != CCURL_FAILED else {
                let result = handle.result
                let isStale = result.failure == CCURL_TRAFFIC && result.connection_count == 0 && !handle.hasHead
                guard isStale, mayUseKeptConnection else { throw exchange.error() }
                return (nil, result.sent_request_count)
            }
            guard var response = handle.response() else { throw exchange.error(.notHTTP) }
            response.sentCount = sentBefore + handle.result.sent_request_count
            if response.isSuccess {
                try receive(exchange, &response)
            } else {
                (response.body, response.isBodyCut) = try exchange.receiveAll(
                    limit: configuration.maxBodyByteCount, isCut: true)
            }
            return (response, response.sentCount)
        }
    }
}
