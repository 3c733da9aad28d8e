import FoundationEssentials
import HostIO
import SwiftASN1
import X509

/// Turns what gRPC reports into what is wrong.
///
/// gRPC 1.51 knows most causes of a failed connection only as text, and some (a rejected client certificate, TLS
/// against plaintext) not at all. Where its text leaves a choice, the server itself is asked with a TLS ClientHello.
/// May block for as long as that takes, see ``ServerProbe``.
func diagnose(_ error: ShimError, on channel: Channel) -> EtcdError {
    let reason = reason(for: error, on: channel)
    return EtcdError(
        reason, endpoint: channel.endpoint,
        message: printable(shortened(error.message, target: channel.addresses.target)))
}

/// gRPC status codes (`include/grpc/impl/codegen/status.h`).
enum StatusCode {
    static let unknown: Int32 = 2
    static let invalidArgument: Int32 = 3
    static let permissionDenied: Int32 = 7
    static let failedPrecondition: Int32 = 9
    static let outOfRange: Int32 = 11
    static let unimplemented: Int32 = 12
    static let unavailable: Int32 = 14
    static let unauthenticated: Int32 = 16
}

extension ShimError {
    /// Whether a new token may help: it expired, the server was restarted, or users were changed since.
    var isAboutToken: Bool {
        guard kind == .status else { return false }
        // rpctypes.ErrGRPCInvalidAuthToken, ErrGRPCAuthOldRevision and auth.ErrAuthOldRevision.
        return message.contains("invalid auth token") || (message.contains("revision") && message.contains("is old"))
    }

    /// Whether the server says that it needs no authentication (rpctypes.ErrGRPCAuthNotEnabled).
    var isAuthNotEnabled: Bool { kind == .status && message.contains("authentication is not enabled") }
}

private func reason(for error: ShimError, on channel: Channel) -> EtcdError.Reason {
    switch error.kind {
    case .deadline, .stalled: return .deadlineExceeded
    case .malformed: return .malformedResponse
    case .argument, .cancelled: return .status(code: error.code)
    case .status: break
    }
    // What an HTTP/2 server that isn't gRPC's answers, such as kube-apiserver.
    if error.message.contains("Received http2 header with status") { return .notEtcd }
    // rpctypes.ErrGRPCUserNotFound, and what the store of users says itself: of a certificate's common name.
    if error.message.contains("user name not found") || error.message.contains("user not found") { return .unknownUser }
    switch error.code {
    case StatusCode.unavailable: return reasonForUnavailable(error, on: channel)
    case StatusCode.permissionDenied: return .permissionDenied
    case StatusCode.unauthenticated: return .notAuthenticated
    case StatusCode.unimplemented: return error.message.contains("unknown service") ? .notEtcd : .unimplemented
    case StatusCode.outOfRange where error.message.contains("compacted"): return .compacted
    case StatusCode.invalidArgument, StatusCode.unknown:
        // rpctypes.ErrGRPCAuthFailed and ErrGRPCUserEmpty; auth.ErrUserEmpty where 3.5 and earlier don't translate it.
        if error.message.contains("authentication failed") { return .wrongPassword }
        if error.message.contains("user name is empty") { return .notAuthenticated }
        if error.message.contains("permission denied") { return .permissionDenied }
        return error.isAboutToken ? .notAuthenticated : .status(code: error.code)
    default: return .status(code: error.code)
    }
}

private func reasonForUnavailable(_ error: ShimError, on channel: Channel) -> EtcdError.Reason {
    let text = error.message
    // The server itself uses the code too: no leader, time-outs.
    guard text.contains("failed to connect") || text.contains("resolution failed") || text.contains("address list")
    else { return .status(code: error.code) }
    guard !neverConnected.contains(where: { text.contains($0) }) else { return .unreachable }
    let transport = channel.endpoint.transport
    guard transport != .socket else { return .unreachable }
    switch (transport, ServerProbe.greet(channel.addresses)) {
    case (.socket, _): return .unreachable
    case (.plaintext, .tls): return .serverSpeaksTLS
    case (.plaintext, .http2): return .unreachable
    case (.plaintext, .brokenTLS), (_, .other): return .notEtcd
    case (.tls, .http2): return .serverSpeaksPlaintext
    case (.tls, .brokenTLS): return .handshakeFailed
    case (.tls, .tls(let greeting)): return reasonForHandshake(text, greeting, channel)
    case (_, .closed): return .connectionClosed
    case (_, .silent):
        if text.contains(Words.nameMismatch) {
            return .serverNameMismatch(expected: channel.expectedName, names: [])
        }
        if text.contains(Words.untrusted) { return .serverUntrusted(issuer: nil) }
        // On a busy host the probe may have no answer in time; that there was a connection gRPC knows by itself.
        return Words.lost.contains { text.contains($0) } ? .connectionClosed : .unreachable
    }
}

/// What gRPC says of attempts that never reached a server.
private let neverConnected = [
    "Connection refused", "No route to host", "Network is unreachable", "Connection timed out", "Permission denied",
    "Operation not permitted", "Function not implemented",
]

/// What gRPC says of certificates that it refuses, and of connections that it lost.
private enum Words {
    static let nameMismatch = "not in peer certificate"
    static let untrusted = "certificate verify failed"
    /// What servers say, as OpenSSL puts it, where it is not about a certificate.
    static let alerts = [
        "alert protocol version", "alert internal error", "unrecognized name", "alert handshake failure",
    ]
    /// `handshake_failure`, `protocol_version`, `insufficient_security`.
    static let alertsToOffers: Set<UInt8> = [40, 70, 71]
    static let lost = ["Socket closed", "reset by peer", "Endpoint read failed"]
}

/// Why a handshake with a server failed that does speak TLS.
private func reasonForHandshake(
    _ text: String, _ greeting: ServerProbe.Greeting, _ channel: Channel
) -> EtcdError.Reason {
    if text.contains(Words.nameMismatch) {
        return .serverNameMismatch(expected: channel.expectedName, names: names(of: greeting.certificate))
    }
    if text.contains(Words.untrusted) { return reasonToRefuse(greeting.certificate) }
    // HTTP/2 is agreed upon during the handshake; etcd always does.
    if text.contains("ALPN") { return .notEtcd }
    // A server that asks for no certificate has not refused one, and neither has one that ends the handshake before that.
    // Only to the versions and suites that the probe offers it may say no for the probe's sake alone.
    let isRefused = greeting.alert.map { !Words.alertsToOffers.contains($0) } ?? false
    if greeting.asksForCertificate == false || isRefused || Words.alerts.contains(where: text.contains) {
        return .handshakeFailed
    }
    return channel.tls?.key == nil ? .clientCertificateRequired : .clientCertificateRejected
}

private func reasonToRefuse(_ certificate: Certificate?) -> EtcdError.Reason {
    guard let certificate else { return .serverUntrusted(issuer: nil) }
    let now = Date()
    guard certificate.notValidBefore <= now, now <= certificate.notValidAfter else {
        return .serverCertificateOutdated(notBefore: certificate.notValidBefore, notAfter: certificate.notValidAfter)
    }
    return .serverUntrusted(issuer: certificate.issuer.description)
}

private func names(of certificate: Certificate?) -> [String] {
    // An extension that can't be read has no names to show.
    guard let names = try? certificate?.extensions.subjectAlternativeNames else { return [] }
    return names.compactMap { name in
        switch name {
        case .dnsName(let text): text
        case .ipAddress(let octets): IPAddress(bytes: octets.bytes)?.text
        default: nil
        }
    }
}

/// gRPC's text without its standing preamble, `failed to connect to all addresses; last error: UNKNOWN: <target>: `, where
/// the target is that of the endpoint; without `UNKNOWN: ` and percent-encoding where it is one of several.
private func shortened(_ message: String, target: String) -> String {
    guard let preamble = message.firstRange(of: "last error: ") else { return message }
    let rest = message[preamble.upperBound...].replacing("%5B", with: "[").replacing("%5D", with: "]")
    if let name = rest.firstRange(of: "\(target): ") { return String(rest[name.upperBound...]) }
    return String(rest.trimmingPrefix("UNKNOWN: ").trimmingPrefix("ipv6:").trimmingPrefix("ipv4:"))
}
