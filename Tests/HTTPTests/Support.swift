import Foundation
import HTTP
import HostIO
import Synchronization
import TestSupport

/// Bytes that differ from place to place.
func pattern(_ count: Int) -> [UInt8] {
    var state: UInt64 = 0x9E37_79B9_7F4A_7C15
    return (0..<count).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return UInt8(truncatingIfNeeded: state >> 56)
    }
}

/// Whether bytes are the same; an expectation would look for the differences of so many for hours.
func isSame(_ left: some Sequence<UInt8>, _ right: some Sequence<UInt8>) -> Bool { left.elementsEqual(right) }

/// The error that a request ends with; nil if there is a response.
func failure(_ client: HTTPClient, _ request: HTTPRequest, _ cancellation: HTTPCancellation? = nil) throws -> HTTPError?
{
    do {
        _ = try client.perform(request, cancellation: cancellation)
        return nil
    } catch let error as HTTPError {
        return error
    }
}

/// What a block took.
func elapsed(_ body: () throws -> Void) rethrows -> Duration { try ContinuousClock().measure(body) }

/// Runs something on a thread of its own, some time from now.
func later(_ seconds: Double, _ body: @escaping @Sendable () -> Void) {
    Thread.detachNewThread {
        usleep(UInt32(seconds * 1_000_000))
        body()
    }
}

extension HTTPResponse {
    /// The body as text.
    var text: String { String(decoding: body, as: UTF8.self) }
}

/// A response as it is sent, with the length of its body.
func answer(_ body: String = "", status: String = "200 OK", fields: String = "") -> String {
    "HTTP/1.1 \(status)\r\nContent-Length: \(body.utf8.count)\r\n\(fields)\r\n\(body)"
}

/// A server that sends something to everybody who has asked for anything, and then closes the connection or resets it.
func answering(_ text: String, resets: Bool = false) throws -> ScriptedServer {
    try ScriptedServer { connection, _ in
        _ = connection.readHead()
        connection.send(text)
        guard resets else { return }
        usleep(50_000)  // what was sent must be read before the reset
        connection.reset()
    }
}

/// A value that several threads change.
final class Shared<Value: Sendable>: Sendable {
    private let value: Mutex<Value>

    init(_ value: Value) { self.value = Mutex(value) }

    func withLock<Result: Sendable>(_ body: @Sendable (inout Value) -> Result) -> Result {
        value.withLock { value in body(&value) }
    }
}
