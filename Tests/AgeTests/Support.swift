import Age
import Foundation
import HostIO
import Testing

/// Bytes in memory, to read at random.
struct MemoryBytes: RandomAccessBytes {
    var name = "memory"
    var bytes: [UInt8]
    var byteCount: Int { bytes.count }

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        guard offset < bytes.count else { return 0 }
        let part = bytes[offset..<min(bytes.count, offset + buffer.count)]
        buffer.copyBytes(from: part)
        return part.count
    }
}

enum Fixture {
    static let directory = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures/age")

    static func bytes(_ name: String) throws -> [UInt8] {
        Array(try Data(contentsOf: directory.appending(path: name)))
    }

    static func identities(_ name: String) throws -> [any KeyIdentity] {
        try IdentityFile.parse(bytes(name), name: name, passphrase: nil)
    }

    static let hello = Array("hello, age\n".utf8)
    static let passphrase = Array("correct horse".utf8)
    /// The identity of 32 bytes 0x42 of the specification.
    static let fixedIdentity = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
    static let fixedRecipient = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"

    static func fixed() throws -> X25519Identity { try X25519Identity(Array(fixedIdentity.utf8)) }
}

/// Bytes that are the same in every run and do not repeat with the chunks.
func pattern(_ count: Int) -> [UInt8] {
    var state: UInt32 = 0x9E37_79B9
    return (0..<count).map { _ in
        state = state &* 1_664_525 &+ 1_013_904_223
        return UInt8(state >> 24)
    }
}

func fileKey(_ bytes: [UInt8] = Array(0..<16)) throws -> FileKey {
    try bytes.withUnsafeBytes { try FileKey(copying: $0) }
}

/// A whole file, from writes of `pieceByteCount` bytes.
func encrypt(
    _ plaintext: [UInt8], for recipients: [any Recipient], pieceByteCount: Int = .max, workerCount: Int = 1
) throws -> [UInt8] {
    var encryptor = try Encryptor(recipients: recipients, workerCount: workerCount)
    return try drain(&encryptor, plaintext, pieceByteCount: pieceByteCount)
}

func drain(_ encryptor: inout Encryptor, _ plaintext: [UInt8], pieceByteCount: Int = .max) throws -> [UInt8] {
    var file = encryptor.headerBytes
    try forEachPiece(of: plaintext, pieceByteCount) { piece in try encryptor.write(piece) { file += $0 } }
    try encryptor.finish { file += $0 }
    return file
}

/// The plaintext of a whole file by the stream reader, from reads of `pieceByteCount` bytes.
func decryptStream(
    _ file: [UInt8], with identities: [any Identity], pieceByteCount: Int = .max, released: ((Int) -> Void)? = nil
) throws -> [UInt8] {
    var decryptor = StreamDecryptor(identities: identities, name: "test")
    var plaintext: [UInt8] = []
    defer { released?(plaintext.count) }
    try forEachPiece(of: file, pieceByteCount) { piece in try decryptor.write(piece) { plaintext += $0 } }
    try decryptor.finish { plaintext += $0 }
    return plaintext
}

/// The plaintext of a whole file by the random-access reader.
func decryptRandomAccess(_ file: [UInt8], with identities: [any Identity]) throws -> [UInt8] {
    let reader = try open(file, with: identities)
    return try reader.bytes(at: 0, count: reader.byteCount)
}

func open(_ file: [UInt8], with identities: [any Identity]) throws -> PayloadReader {
    try OpenedFile(MemoryBytes(file), identities: identities).payload
}

func forEachPiece(
    of bytes: [UInt8], _ pieceByteCount: Int, _ body: (UnsafeRawBufferPointer) throws -> Void
) throws {
    try bytes.withUnsafeBytes { bytes in
        var start = 0
        while start < bytes.count {
            let end = start + min(pieceByteCount, bytes.count - start)
            try body(UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
            start = end
        }
    }
}

func parseHeader(_ bytes: [UInt8]) throws -> Header { try Header.read(from: MemoryBytes(bytes)) }

/// The ``AgeError`` that `body` throws; nil if it throws nothing, which is recorded.
func ageError(
    sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void
) -> AgeError? {
    #expect(throws: AgeError.self, sourceLocation: sourceLocation, performing: body)
}

func kind(sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void) -> AgeError.Kind? {
    ageError(sourceLocation: sourceLocation, body)?.kind
}
