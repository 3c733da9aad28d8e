import Age
import HostIO
import Testing

private let chunk = PayloadFormat.chunkByteCount
private let sealedChunk = PayloadFormat.sealedChunkByteCount
/// Lengths around every decision that depends on chunks and batches of them.
private let edges = [
    0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk - 1, 2 * chunk, 2 * chunk + 1, 15 * chunk + 1, 16 * chunk,
    16 * chunk + 1,
    17 * chunk, 32 * chunk, 33 * chunk + 5,
]

@Suite struct EncryptorTests {
    @Test(arguments: edges)
    func roundTripsAtTheEdges(byteCount: Int) throws {
        let identity = try X25519Identity.generate()
        let plaintext = pattern(byteCount)
        let file = try encrypt(plaintext, for: [identity.recipient])
        let headerByteCount = try parseHeader(file).byteCount
        #expect(file.count == headerByteCount + PayloadFormat.payloadByteCount(plaintextByteCount: byteCount))
        #expect(try decryptRandomAccess(file, with: [identity]) == plaintext)
        #expect(try decryptStream(file, with: [identity]) == plaintext)
    }

    /// The bytes of a file do not depend on how the plaintext arrives or on how many threads seal it.
    @Test(arguments: [1, 7, 4096, chunk - 1, chunk, chunk + 1, 5 * chunk, 16 * chunk + 3, Int.max], [1, 2, 3])
    func piecesAndWorkersChangeNothing(pieceByteCount: Int, workerCount: Int) throws {
        let key = try fileKey()
        let header = try Header(stanzas: [Stanza(type: "X", arguments: [], body: [])], fileKey: key)
        let lengths = pieceByteCount < 100 ? [0, chunk, chunk + 1] : edges + [40 * chunk]
        for byteCount in lengths {
            let plaintext = pattern(byteCount)
            var plain = try Encryptor(header: header, fileKey: key, payloadNonce: Array(0..<16))
            var other = try Encryptor(
                header: header, fileKey: key, payloadNonce: Array(0..<16), workerCount: workerCount)
            let expected = try drain(&plain, plaintext)
            #expect(try drain(&other, plaintext, pieceByteCount: pieceByteCount) == expected, "\(byteCount) bytes")
            #expect(other.plaintextByteCount == byteCount)
        }
    }

    @Test func filesOfOnePlaintextDiffer() throws {
        let recipient = try Fixture.fixed().recipient
        let one = try encrypt(Fixture.hello, for: [recipient])
        let other = try encrypt(Fixture.hello, for: [recipient])
        #expect(one.count == other.count)
        #expect(one.suffix(43) != other.suffix(43) && one.prefix(100) != other.prefix(100))
    }

    @Test func sinksMayFail() throws {
        struct Full: Error {}
        var encryptor = try Encryptor(recipients: [Fixture.fixed().recipient])
        let plaintext = pattern(20 * chunk)
        #expect(throws: Full.self) {
            try plaintext.withUnsafeBytes { try encryptor.write($0) { _ in throw Full() } }
        }
    }

    @Test func writingAfterTheEndIsABug() async {
        await #expect(processExitsWith: .failure) {
            var encryptor = try Encryptor(recipients: [X25519Identity.generate().recipient])
            try encryptor.finish { _ in }
            try encryptor.finish { _ in }
        }
    }
}

@Suite struct PayloadReaderTests {
    private let identity: X25519Identity

    init() throws { identity = try Fixture.fixed() }

    private func file(_ byteCount: Int) throws -> [UInt8] { try encrypt(pattern(byteCount), for: [identity.recipient]) }

    @Test func rangesReadLikeTheArray() throws {
        let plaintext = pattern(40 * chunk + 77)
        let reader = try open(encrypt(plaintext, for: [identity.recipient]), with: [identity])
        #expect(reader.byteCount == plaintext.count && reader.chunkCount == 41)
        let offsets = [0, 1, chunk - 1, chunk, chunk + 1, 15 * chunk + 9, 16 * chunk, 40 * chunk, 40 * chunk + 76]
        for offset in offsets {
            for count in [0, 1, 2, chunk - 1, chunk, chunk + 1, 16 * chunk, 17 * chunk + 1, plaintext.count] {
                let expected = Array(plaintext[offset..<min(plaintext.count, offset + count)])
                #expect(try reader.bytes(at: offset, count: count) == expected, "\(count) bytes at \(offset)")
            }
        }
        #expect(try reader.bytes(at: plaintext.count, count: 5).isEmpty)
        #expect(try reader.bytes(at: plaintext.count + 1, count: 5).isEmpty)
    }

    @Test func threadsMayReadAtOnce() async throws {
        let plaintext = pattern(20 * chunk)
        let reader = try open(encrypt(plaintext, for: [identity.recipient]), with: [identity])
        let matches = try await withThrowingTaskGroup(of: Bool.self) { group in
            for task in 0..<8 {
                group.addTask {
                    try (0..<20).allSatisfy { round in
                        let offset = (task * 7919 + round * 70_001) % plaintext.count
                        let bytes = try reader.bytes(at: offset, count: 100_000)
                        return bytes.elementsEqual(plaintext[offset...].prefix(100_000))
                    }
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(matches.count == 8 && matches.allSatisfy { $0 })
    }

    @Test(arguments: [1, 2, 3], [1, 3, 16])
    func blocksComeInOrder(workerCount: Int, blockChunkCount: Int) throws {
        for byteCount in [0, 1, chunk, 3 * chunk + 1, 41 * chunk] {
            let plaintext = pattern(byteCount)
            let reader = try open(encrypt(plaintext, for: [identity.recipient]), with: [identity])
            for offset in [0, 1, chunk, 2 * chunk + 5] {
                var seen: [UInt8] = []
                try reader.forEachBlock(from: offset, blockChunkCount: blockChunkCount, workerCount: workerCount) {
                    #expect($0.count <= blockChunkCount * chunk)
                    seen += $0
                }
                #expect(seen == Array(plaintext.dropFirst(offset)))
            }
        }
    }

    @Test(arguments: [1, 2, 3])
    func blocksBeforeTheDamageAreReleasedAndNothingElse(workerCount: Int) throws {
        var file = try file(41 * chunk)
        file[200 + 20 * sealedChunk] ^= 1
        let reader = try open(file, with: [identity])
        var count = 0
        let error = ageError {
            try reader.forEachBlock(blockChunkCount: 4, workerCount: workerCount) { count += $0.count }
        }
        #expect(error?.kind == .payload && error?.location == .chunk(20))
        #expect(count == 20 * chunk)
    }

    @Test func theConsumersErrorEndsTheWalk() throws {
        struct Enough: Error {}
        let reader = try open(file(41 * chunk), with: [identity])
        var blockCount = 0
        #expect(throws: Enough.self) {
            try reader.forEachBlock(blockChunkCount: 1, workerCount: 2) { _ in
                blockCount += 1
                if blockCount == 3 { throw Enough() }
            }
        }
        #expect(blockCount == 3)
    }

    @Test func damageIsFoundWhereItIsRead() throws {
        var file = try file(5 * chunk)
        file[200 + 2 * sealedChunk] ^= 0x80
        let reader = try open(file, with: [identity])
        #expect(try reader.bytes(at: 0, count: 2 * chunk) == Array(pattern(2 * chunk)))
        #expect(try reader.bytes(at: 3 * chunk, count: chunk).count == chunk)
        let error = try #require(ageError { _ = try reader.bytes(at: 2 * chunk - 1, count: 3) })
        #expect(error.kind == .payload && error.location == .chunk(2))
        #expect(error.message.contains("chunk 2 of 5"))
    }

    @Test func sourcesThatShrinkAreRefused() throws {
        struct Shrinking: RandomAccessBytes {
            let base: MemoryBytes
            let name = "shrinking"
            var byteCount: Int { base.byteCount }

            func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
                // The end, which is read at the start, is there; the middle is not.
                let isMiddle = offset > 60_000 && offset < 200_000
                return isMiddle ? 0 : try base.read(at: offset, into: buffer)
            }
        }
        let source = Shrinking(base: MemoryBytes(try file(5 * chunk)))
        let header = try Header.read(from: source)
        let reader = try PayloadReader(
            source: source, payloadOffset: header.byteCount, fileKey: header.unlock(with: [identity], name: "x"))
        #expect(kind { _ = try reader.bytes(at: chunk, count: 1) } == .payload)
    }
}

/// What both readers have to find.
@Suite struct PayloadDamageTests {
    private let identity: X25519Identity
    private let headerByteCount = 168

    init() throws { identity = try Fixture.fixed() }

    private func check(_ file: [UInt8], releasesAtMost limit: Int, _ comment: Comment) {
        #expect(kind { _ = try open(file, with: [identity]).bytes(at: 0, count: 1 << 24) } == .payload, comment)
        for pieceByteCount in [1000, Int.max] {
            var releasedCount = 0
            #expect(
                kind {
                    _ = try decryptStream(file, with: [identity], pieceByteCount: pieceByteCount) { releasedCount = $0 }
                } == .payload, comment)
            #expect(releasedCount <= limit, comment)
        }
    }

    @Test func truncations() throws {
        let file = try encrypt(pattern(3 * chunk + 100), for: [identity.recipient])
        let start = headerByteCount + 16
        for boundary in 0...3 {
            for delta in [0, 1, 15, 16, 17, 5000, sealedChunk - 1] {
                let count = start + boundary * sealedChunk + delta
                guard count < file.count else { continue }
                // A reader that sees the file only once has released the chunks before the last it got.
                check(Array(file.prefix(count)), releasesAtMost: boundary * chunk, "cut at \(boundary) + \(delta)")
            }
        }
        let cut = Array(file.prefix(start + 2 * sealedChunk))
        let error = try #require(ageError { _ = try open(cut, with: [identity]) })
        #expect(error.message.contains("cut short after 2 chunks"))
    }

    @Test(arguments: [0, 1, chunk, chunk + 1, 2 * chunk])
    func trailingBytes(byteCount: Int) throws {
        let file = try encrypt(pattern(byteCount), for: [identity.recipient])
        for extra in [1, 16, 17, sealedChunk] {
            check(file + [UInt8](repeating: 0, count: extra), releasesAtMost: byteCount, "\(extra) bytes more")
        }
    }

    @Test func swappedAndDroppedChunks() throws {
        let file = try encrypt(pattern(4 * chunk), for: [identity.recipient])
        let head = file.prefix(headerByteCount + 16)
        let chunks = (0..<4).map { Array(file.dropFirst(head.count + $0 * sealedChunk).prefix(sealedChunk)) }
        for order in [[1, 0, 2, 3], [0, 1, 3], [0, 2, 1, 3], [0, 0, 1, 2, 3], [3, 1, 2, 0], [0, 1, 2, 3, 3]] {
            check(Array(head) + order.flatMap { chunks[$0] }, releasesAtMost: 4 * chunk, "order \(order)")
        }
    }

    /// A last chunk without plaintext is authentic here, but no writer makes it after another chunk.
    @Test func emptyLastChunks() throws {
        let key = try fileKey()
        let header = try Header(recipients: [identity.recipient], fileKey: key)
        let nonce = [UInt8](repeating: 9, count: 16)
        var whole = try Encryptor(header: header, fileKey: key, payloadNonce: nonce)
        let file = try drain(&whole, pattern(chunk + 1))
        check(file.dropLast(1 + 16) + emptyLastChunkOne, releasesAtMost: chunk, "an empty last chunk")
    }

    /// The tag of an empty chunk 1 with the last flag under file key 00-0f and payload nonce 16 x 09, from an
    /// implementation of RFC 8439 in Python.
    private let emptyLastChunkOne: [UInt8] = [
        0xa0, 0x2e, 0x9e, 0x3f, 0x28, 0xfc, 0xa2, 0x08, 0x26, 0xed, 0x1d, 0x7e, 0x3b, 0x0e, 0x0e, 0x8c,
    ]

    @Test func everyTagBitOfASmallPayload() throws {
        let file = try Fixture.bytes("x25519-fixed.age")
        for index in headerByteCount..<file.count {
            for bit in 0..<8 {
                var flipped = file
                flipped[index] ^= 1 << bit
                #expect(kind { _ = try decryptRandomAccess(flipped, with: [identity]) } == .payload)
                #expect(kind { _ = try decryptStream(flipped, with: [identity]) } == .payload)
            }
        }
    }

    @Test func sampledBitsOfALargePayload() throws {
        let file = try encrypt(pattern(3 * chunk), for: [identity.recipient])
        for index in stride(from: headerByteCount, to: file.count, by: 3001) {
            var flipped = file
            flipped[index] ^= 1 << (index % 8)
            check(flipped, releasesAtMost: 2 * chunk, "byte \(index)")
        }
    }

    @Test(arguments: [1, 2, 17, 4096, sealedChunk - 1, sealedChunk, sealedChunk + 1])
    func readsOfAnySizeGiveTheSame(pieceByteCount: Int) throws {
        let lengths = pieceByteCount < 100 ? [0, chunk] : [0, 1, chunk, chunk + 1, 3 * chunk]
        for byteCount in lengths {
            let file = try encrypt(pattern(byteCount), for: [identity.recipient])
            let plaintext = try decryptStream(file, with: [identity], pieceByteCount: pieceByteCount)
            #expect(plaintext == pattern(byteCount))
            let armored = Armor.encode(file)
            #expect(try decryptStream(armored, with: [identity], pieceByteCount: pieceByteCount) == plaintext)
        }
    }

    /// The index in the nonce has more than one byte.
    @Test(arguments: [257, 258])
    func chunkIndicesBeyondAByte(chunkCount: Int) throws {
        let plaintext = pattern(chunkCount * chunk)
        let file = try encrypt(plaintext, for: [identity.recipient], workerCount: 2)
        #expect(try decryptRandomAccess(file, with: [identity]) == plaintext)
        #expect(try decryptStream(file, with: [identity]) == plaintext)
    }
}
