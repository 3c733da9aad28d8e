internal import CCurl

#if canImport(Glibc)
    import Glibc
#endif

/// A request that is under way, and what of its response is read how.
struct Exchange {
    private let handle: Handle
    private let prepared: PreparedRequest
    private let maxHeadByteCount: Int
    private let sentBefore: Int
    private let start = ContinuousClock.now

    init(_ handle: Handle, _ prepared: PreparedRequest, maxHeadByteCount: Int, sentBefore: Int) {
        self.handle = handle
        self.prepared = prepared
        self.maxHeadByteCount = maxHeadByteCount
        self.sentBefore = sentBefore
    }

    /// The next bytes of the body, nil at its end; they are valid until the next call.
    func receive() throws(HTTPError) -> UnsafeRawBufferPointer? {
        guard let bytes = handle.receive() else { throw error() }
        return bytes.isEmpty ? nil : bytes
    }

    /// The whole body.
    ///
    /// - Parameter isCut: whether what exceeds the limit is left out, or an error.
    func receiveAll(limit: Int, isCut: Bool) throws(HTTPError) -> (bytes: [UInt8], isCut: Bool) {
        var all: [UInt8] = []
        while let bytes = try receive() {
            if bytes.count > limit - all.count {
                guard isCut else { throw error(.tooLarge(limit: limit)) }
                all += bytes.prefix(limit - all.count)
                return (all, true)
            }
            all += bytes
        }
        return (all, false)
    }

    /// Receives the whole body into a buffer and returns its length.
    func receive(into buffer: UnsafeMutableRawBufferPointer) throws(HTTPError) -> Int {
        var filled = 0
        while filled < buffer.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[filled...])
            guard let count = handle.receive(into: rest) else { throw error() }
            if count == 0 { return filled }
            filled += count
        }
        guard try receive() == nil else { throw error(.tooLarge(limit: buffer.count)) }
        return filled
    }

    func cancelled() -> HTTPError { error(.cancelled) }

    /// Why the transfer failed.
    func error() -> HTTPError {
        let result = handle.result
        return error(reason(result))
    }

    /// An error with everything that is known of the transfer.
    func error(_ reason: HTTPError.Reason) -> HTTPError {
        let result = handle.result
        var error = HTTPError(reason, url: prepared.url)
        error.proxy = prepared.proxy?.server
        error.isAtProxy = isAtProxy(result)
        error.address = Self.text(result.address).isEmpty ? nil : Self.text(result.address)
        error.details =
            result.system_error != 0 && result.failure == CCURL_CONNECTION
            ? String(cString: strerror(Int32(result.system_error))) : Self.text(result.message)
        error.sentCount = sentBefore + result.sent_request_count
        error.sentByteCount = Int(result.sent_byte_count)
        error.receivedByteCount = Int(result.received_byte_count)
        error.bodyByteCount = prepared.body?.count
        return error
    }

    private func isAtProxy(_ result: ccurl_result) -> Bool {
        guard let proxy = prepared.proxy else { return false }
        switch result.failure {
        case CCURL_PROXY_NAME, CCURL_CONNECTION, CCURL_PROXY: return true
        case CCURL_CERTIFICATE, CCURL_TLS: return proxy.scheme == "https" && result.proxy_certificate_error != 0
        default: return false
        }
    }

    private func reason(_ result: ccurl_result) -> HTTPError.Reason {
        let isTunnelRefused = result.proxy_status != 0 && !(200...299).contains(result.proxy_status)
        switch result.failure {
        case CCURL_NAME, CCURL_PROXY_NAME: return .cannotResolve
        case CCURL_CONNECTION: return .cannotConnect
        case CCURL_PROXY: return .proxy(status: nil)
        case CCURL_TRAFFIC where isTunnelRefused: return .proxy(status: result.proxy_status)
        case CCURL_TRAFFIC: return .connectionLost
        case CCURL_CERTIFICATE: return .tls(certificateProblem(result))
        case CCURL_AUTHORITIES: return .tls(.noAuthorities(searched: []))
        case CCURL_TLS: return handshakeReason(result)
        case CCURL_TIME: return .timedOut(phase(result))
        case CCURL_PROTOCOL: return .notHTTP
        case CCURL_HEAD_SIZE: return .tooLarge(limit: maxHeadByteCount)
        case CCURL_CANCELLATION: return .cancelled
        case CCURL_MEMORY: return .outOfMemory
        default: return .other(code: Int(result.code))
        }
    }

    private func phase(_ result: ccurl_result) -> HTTPError.Phase {
        let elapsed = ContinuousClock.now - start
        // libcurl's clock has whole milliseconds.
        if let deadline = prepared.deadline, elapsed + .milliseconds(5) >= deadline { return .deadline(deadline) }
        if result.sent_request_count > 0 { return .stall(prepared.stallTimeout) }
        return result.lookup_time == 0 ? .lookup(elapsed) : .connection(elapsed)
    }

    /// By the numbers of OpenSSL's `x509_vfy.h`; libcurl compares names itself and has no number for that.
    private func certificateProblem(_ result: ccurl_result) -> HTTPError.TLSProblem {
        switch result.proxy_certificate_error != 0 ? result.proxy_certificate_error : result.certificate_error {
        case 0, 1, 62, 64: .wrongName(names: handle.certificateNames)
        case 9: .notYetValid
        case 10: .expired
        case 2, 18, 19, 20, 21, 24, 27: .unknownAuthority
        default: .certificate
        }
    }

    private func handshakeReason(_ result: ccurl_result) -> HTTPError.Reason {
        let text = Self.text(result.message).lowercased()
        let isLost = ["ssl_error_syscall", "unexpected eof", "connection reset", "broken pipe"]
            .contains { text.contains($0) }
        if isLost { return .connectionLost }
        if ["wrong version number", "packet length too long", "http request"].contains(where: { text.contains($0) }) {
            return .tls(.notTLS)
        }
        if ["unsupported protocol", "protocol version"].contains(where: { text.contains($0) }) {
            return .tls(.tooOld)
        }
        return .tls(.handshake)
    }

    private static func text<Characters>(_ characters: Characters) -> String {
        withUnsafeBytes(of: characters) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
