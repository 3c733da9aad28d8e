import Age
import Foundation
import HostIO
import SealedArchive
import TestSupport
import Testing

@testable import Operations

@Suite struct NodeDocumentTests {
    /// Somebody may have sealed it who only knows a public key: it must not be read into memory whatever its size.
    @Test func aDocumentThatIsTooLargeIsNotRead() throws {
        let scratch = try TemporaryDirectory()
        let identity = try X25519Identity.generate()
        let time = Date(timeIntervalSince1970: 1_795_402_800)
        let file = try PendingFile(in: OpenDirectory(path: scratch.path), name: "archive")
        let archive = try ArchiveWriter(
            to: file, recipients: [identity.recipient],
            header: ArchiveHeader(id: BackupID(time: time), cluster: "c", node: "n", createdAt: time))
        let byteCount = (64 << 20) + 1
        try archive.begin(
            EntryMetadata(path: CertificateDocument.path, byteCount: byteCount, time: time), role: "host")
        let zeros = [UInt8](repeating: 0, count: byteCount)
        try zeros.withUnsafeBytes { try archive.write($0) }
        try archive.end()
        _ = try archive.finish(Manifest(archive: archive.header))
        try file.publish()
        let opened = OpenedArchive(file: try RandomAccessFile(path: file.path), reference: "x", sidecar: nil)
        let error = try #require(throws: Failure.self) {
            try CertificatesOperation.certificates(of: opened, identities: [identity])
        }
        #expect(error.code == .integrity && error.message.contains("\(byteCount) bytes, too many for a document"))
    }
}
