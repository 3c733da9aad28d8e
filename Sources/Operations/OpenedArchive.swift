import Age
import HostIO
import SealedArchive

/// An archive that is open, from a store or from anywhere else.
public struct OpenedArchive: Sendable {
    /// The sealed bytes.
    public var file: any RandomAccessBytes
    /// What to call it in reports.
    public var reference: String
    /// Its sidecar, when it is at hand.
    public var sidecar: Sidecar?

    /// An archive from its parts.
    public init(file: any RandomAccessBytes, reference: String, sidecar: Sidecar?) {
        self.file = file
        self.reference = reference
        self.sidecar = sidecar
    }

    /// Opens it, and checks that it is the one that its sidecar describes.
    func reader(_ identities: [any Identity]) throws -> ArchiveReader {
        // Before a key is tried: what a damaged header says is that no key fits.
        try sidecar?.object.checkHeader(of: file)
        let reader = try ArchiveReader(file, identities: identities)
        if let sidecar { try VerifyOperation.check(reader, against: sidecar) }
        return reader
    }
}
