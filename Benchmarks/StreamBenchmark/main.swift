import EtcdSnap
import HostIO

#if canImport(Glibc)
    import Glibc
#endif

// Receives a snapshot with all its checks and keeps nothing of it, so that the client's own cost can be measured.
//
// Usage: stream-benchmark ENDPOINT CA CERT KEY

let arguments = CommandLine.arguments
guard arguments.count == 5 else {
    print("usage: stream-benchmark ENDPOINT CA CERT KEY")
    exit(2)
}
let client = try Client(
    ClientConfiguration(
        endpoints: [try Endpoint(parsing: arguments[1])],
        tls: TLSFiles(caPath: arguments[2], certificatePath: arguments[3], keyPath: arguments[4])))
let stream = try await client.snapshot(from: client.endpoints[0])
var byteCount = 0
for try await block in stream { byteCount += block.count }
print("\(byteCount) bytes, trailer matched: \(stream.summary != nil)")
