import Age
import Glibc
import Testing

/// Prints figures, and never fails for them; they mean something in release mode on an idle machine only.
@Suite(.serialized) struct ThroughputTests {
    private static let plaintextByteCount = 128 << 20

    @Test func prints() throws {
        let identity = try X25519Identity.generate()
        let plaintext = [UInt8](repeating: 0x5A, count: Self.plaintextByteCount)
        for workerCount in [1, 2] {
            try measure("seal, \(workerCount) worker") {
                var encryptor = try Encryptor(recipients: [identity.recipient], workerCount: workerCount)
                try forEachPiece(of: plaintext, 1 << 20) { try encryptor.write($0) { _ in } }
                try encryptor.finish { _ in }
            }
        }
        let file = try encrypt(plaintext, for: [identity.recipient])
        let reader = try open(file, with: [identity])
        for workerCount in [1, 2] {
            var byteCount = 0
            try measure("open blocks, \(workerCount) worker") {
                byteCount = 0
                try reader.forEachBlock(workerCount: workerCount) { byteCount += $0.count }
            }
            #expect(byteCount == plaintext.count)
        }
        try measure("open as a stream") {
            var decryptor = StreamDecryptor(identities: [identity], name: "x")
            try forEachPiece(of: file, 1 << 20) { try decryptor.write($0) { _ in } }
            try decryptor.finish { _ in }
        }
        let armored = Armor.encode(file)
        try measure("open as an armored stream") {
            var decryptor = StreamDecryptor(identities: [identity], name: "x")
            try forEachPiece(of: armored, 1 << 20) { try decryptor.write($0) { _ in } }
            try decryptor.finish { _ in }
        }
    }

    /// The best of three; by processor time too, which other programs disturb less.
    private func measure(_ name: String, _ body: () throws -> Void) throws {
        let megabytes = Double(Self.plaintextByteCount) / 1e6
        let rates = try (0..<3).map { _ in
            let cpuStart = clock()
            let wall = try ContinuousClock().measure(body)
            let cpuSeconds = Double(clock() - cpuStart) / Double(CLOCKS_PER_SEC)
            return (wall: megabytes / (wall / .seconds(1)), cpu: megabytes / cpuSeconds)
        }
        let wall = Int(rates.map(\.wall).max() ?? 0)
        let cpu = Int(rates.map(\.cpu).max() ?? 0)
        print("age \(name): \(wall) MB/s, \(cpu) MB per CPU second")
    }
}
