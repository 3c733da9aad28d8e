import Foundation
import TestSupport

@testable import EtcdSnap

/// An HTTP/2 server without TLS that answers one RPC with the messages it was given, whatever was asked.
///
/// A real etcd can't be brought to send what these tests need. Frames are those of RFC 9113, messages those of gRPC's
/// `doc/PROTOCOL-HTTP2.md`.
final class ScriptedServer: Sendable {
    /// What follows the messages.
    enum Ending: Sendable {
        /// Trailers with this gRPC status.
        case status(Int)
        /// Nothing, with the connection open.
        case silence
    }

    let endpoint: Endpoint
    private let listener: Int32

    init(_ messages: [[UInt8]], ending: Ending = .status(0)) throws {
        let port = try EtcdServer.freePorts(1)[0]
        endpoint = Endpoint(transport: .plaintext, host: "127.0.0.1", port: port)
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        listener = descriptor
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        address.sin_port = port.bigEndian
        let isBound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        guard isBound, listen(descriptor, 1) == 0 else { throw TestSupportError("cannot listen: error \(errno)") }
        Thread.detachNewThread { Self.serve(descriptor, messages, ending) }
    }

    deinit {
        // Wakes the thread, which is then done.
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
    }

    private static func serve(_ listener: Int32, _ messages: [[UInt8]], _ ending: Ending) {
        let connection = accept(listener, nil, nil)
        guard connection >= 0 else { return }
        defer { close(connection) }
        send(frame(type: 4, flags: 0, stream: 0, []), to: connection)
        guard skip(24, of: connection) else { return }
        while let (type, stream) = readFrame(connection) {
            if type == 4 { send(frame(type: 4, flags: 1, stream: 0, []), to: connection) }
            // HEADERS: the RPC begins.
            guard type == 1 else { continue }
            let headers: [UInt8] = [0x88] + literal("content-type", "application/grpc")
            send(frame(type: 1, flags: 4, stream: stream, headers), to: connection)
            for message in messages {
                send(frame(type: 0, flags: 0, stream: stream, prefixed(message)), to: connection)
            }
            if case .status(let code) = ending {
                send(frame(type: 1, flags: 5, stream: stream, literal("grpc-status", "\(code)")), to: connection)
            }
        }
    }

    private static func readFrame(_ connection: Int32) -> (type: UInt8, stream: UInt8)? {
        var header = [UInt8](repeating: 0, count: 9)
        guard recv(connection, &header, 9, Int32(MSG_WAITALL)) == 9 else { return nil }
        let length = Int(header[0]) << 16 | Int(header[1]) << 8 | Int(header[2])
        return skip(length, of: connection) ? (header[3], header[8]) : nil
    }

    private static func skip(_ count: Int, of connection: Int32) -> Bool {
        var bytes = [UInt8](repeating: 0, count: count)
        return count == 0 || recv(connection, &bytes, count, Int32(MSG_WAITALL)) == count
    }

    private static func send(_ bytes: [UInt8], to connection: Int32) {
        _ = Foundation.send(connection, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }

    private static func frame(type: UInt8, flags: UInt8, stream: UInt8, _ payload: [UInt8]) -> [UInt8] {
        let count = payload.count
        return [UInt8(count >> 16), UInt8(count >> 8 & 0xFF), UInt8(count & 0xFF), type, flags, 0, 0, 0, stream]
            + payload
    }

    /// A header field without indexing (RFC 7541, 6.2.2).
    private static func literal(_ name: String, _ value: String) -> [UInt8] {
        [0, UInt8(name.utf8.count)] + name.utf8 + [UInt8(value.utf8.count)] + value.utf8
    }

    /// A message with its flag for compression and its length.
    private static func prefixed(_ message: [UInt8]) -> [UInt8] {
        [0, 0, 0, UInt8(message.count >> 8), UInt8(message.count & 0xFF)] + message
    }
}

/// A SnapshotResponse in its wire form.
func snapshotMessage(remaining: UInt64, blob: [UInt8], version: String = "") -> [UInt8] {
    var message: [UInt8] = []
    if remaining > 0 { message += [0x10] + varint(remaining) }
    if !blob.isEmpty { message += [0x1A] + varint(UInt64(blob.count)) + blob }
    if !version.isEmpty { message += [0x22] + varint(UInt64(version.utf8.count)) + version.utf8 }
    return message
}

/// A number as protobuf writes it.
func varint(_ value: UInt64) -> [UInt8] {
    var rest = value
    var bytes: [UInt8] = []
    while rest >= 0x80 {
        bytes.append(UInt8(rest & 0x7F) | 0x80)
        rest >>= 7
    }
    return bytes + [UInt8(rest)]
}
