internal import CCurl

/// A handle of libcurl with the connections that it keeps.
///
/// `@unchecked Sendable`: the pool gives it to one thread at a time, and ``cancel()``, which others call, only sets an atomic
/// flag and wakes the transfer up.
final class Handle: @unchecked Sendable {
    /// libcurl is prepared once, and never undone: threads of gRPC may still use OpenSSL at exit.
    private static let isLibraryReady = ccurl_initialize()

    /// What one step of a response in pieces may bring.
    private static let chunkByteCount = 64 << 10

    private let pointer: OpaquePointer
    private var chunk: UnsafeMutableRawBufferPointer?
    /// The host and the port that were spoken to last: a connection to them may be there.
    var lastServer: String?

    init() throws(HTTPError) {
        guard Self.isLibraryReady, let pointer = ccurl_create() else { throw HTTPError(.outOfMemory) }
        self.pointer = pointer
    }

    deinit {
        ccurl_destroy(pointer)
        chunk?.deallocate()
    }

    func begin(_ request: UnsafePointer<ccurl_request>) -> ccurl_state { ccurl_begin(pointer, request) }

    func waitForHead() -> ccurl_state { ccurl_wait(pointer) }

    /// Whether any byte of a response came.
    var hasHead: Bool {
        var count = 0
        _ = ccurl_head(pointer, &count)
        return count > 0
    }

    /// The response without its body; nil if what came is none.
    func response() -> HTTPResponse? {
        var count = 0
        let head = ccurl_head(pointer, &count)
        return HTTPResponse(head: UnsafeRawBufferPointer(start: head, count: count))
    }

    /// Waits for bytes of the body; none are the end.
    ///
    /// - Parameter buffer: not empty.
    /// - Returns: their number, nil if the transfer failed.
    func receive(into buffer: UnsafeMutableRawBufferPointer) -> Int? {
        guard let base = buffer.baseAddress else { return 0 }
        var count = 0
        let state = ccurl_receive(pointer, base.assumingMemoryBound(to: UInt8.self), buffer.count, &count)
        return state == CCURL_FAILED ? nil : count
    }

    /// Waits for bytes of the body and lends them, until the next call; none are the end, nil says that the transfer failed.
    func receive() -> UnsafeRawBufferPointer? {
        let buffer = chunk ?? .allocate(byteCount: Self.chunkByteCount, alignment: 64)
        chunk = buffer
        guard let count = receive(into: buffer) else { return nil }
        return UnsafeRawBufferPointer(rebasing: buffer[..<count])
    }

    var result: ccurl_result {
        var result = ccurl_result()
        ccurl_get_result(pointer, &result)
        return result
    }

    /// The names that the server's certificate is for, if it was seen.
    var certificateNames: [String] {
        var buffer = [CChar](repeating: 0, count: 2048)
        ccurl_copy_certificate_names(pointer, &buffer, buffer.count)
        let text = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return text.split(separator: ",").compactMap { part in
            part.split(separator: ":", maxSplits: 1).last.map { String($0.drop { $0 == " " }) }
        }
    }

    func end() { ccurl_end(pointer) }

    func cancel() { ccurl_cancel(pointer) }
}
