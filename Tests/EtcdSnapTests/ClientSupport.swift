import HostIO
import TestSupport
import Testing

@testable import EtcdSnap

extension EtcdServer {
    var endpoint: Endpoint {
        Endpoint(transport: pki == nil ? .plaintext : .tls, host: "127.0.0.1", port: clientPort)
    }

    /// How to reach the member, with its authority's client certificate.
    var configuration: ClientConfiguration {
        ClientConfiguration(endpoints: [endpoint], tls: pki?.clientFiles ?? TLSFiles())
    }
}

extension TestPKI {
    var clientFiles: TLSFiles {
        TLSFiles(caPath: caPath, certificatePath: client.certificatePath, keyPath: client.keyPath)
    }
}

/// The error that `body` throws, or a recorded issue.
func etcdError(_ body: () async throws -> some Any) async -> EtcdError? {
    do {
        let value = try await body()
        Issue.record("no error but \(value)")
    } catch let error as EtcdError {
        return error
    } catch {
        Issue.record("\(error) is no EtcdError")
    }
    return nil
}

/// All bytes of a snapshot.
func collect(_ stream: SnapshotStream) async throws -> [UInt8] {
    var bytes: [UInt8] = []
    for try await block in stream { block.withUnsafeBytes { bytes += $0 } }
    return bytes
}
