import Foundation
import TestSupport
import Testing
import X509

@testable import EtcdSnap

@Suite struct ServerProbeTests {
    /// A server's first TLS 1.2 flight, from `openssl s_server` with a certificate of the test's own.
    private func flight() throws -> [UInt8] {
        let pki = try TestPKI()
        let port = try EtcdServer.freePorts(1)[0]
        let server = try BackgroundProcess(
            "openssl",
            ["s_server", "-accept", "127.0.0.1:\(port)", "-cert", pki.server.certificatePath]
                + ["-key", pki.server.keyPath, "-quiet"])
        defer { server.stop() }
        try server.waitUntilListening(on: port)
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        address.sin_port = port.bigEndian
        let isConnected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        try #require(isConnected)
        let hello = ServerProbe.clientHello()
        try #require(send(descriptor, hello, hello.count, 0) == hello.count)
        var received: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 4096)
        while ServerProbe.leafCertificate(in: received) == nil {
            let count = recv(descriptor, &piece, piece.count, 0)
            try #require(count > 0)
            received += piece[..<count]
        }
        return received
    }

    @Test func findsTheCertificateAndSurvivesDamage() throws {
        let flight = try flight()
        #expect(ServerProbe.leafCertificate(in: flight)?.subject.description == "CN=server")
        for length in 0..<flight.count { _ = ServerProbe.leafCertificate(in: Array(flight.prefix(length))) }
        for index in flight.indices {
            for bit in 0..<8 {
                var damaged = flight
                damaged[index] ^= 1 << bit
                _ = ServerProbe.leafCertificate(in: damaged)
            }
        }
    }
}
