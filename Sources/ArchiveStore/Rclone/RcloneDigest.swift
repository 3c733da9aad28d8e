import Crypto
import FoundationEssentials
import HostIO

/// Digests that remotes have of objects by themselves, the strongest first; the raw values are rclone's names.
enum RcloneDigest: String, Sendable, CaseIterable {
    case sha256
    case sha1
    case md5
}

/// The digest of what goes by.
enum RunningDigest {
    case sha256(SHA256)
    case sha1(Insecure.SHA1)
    case md5(Insecure.MD5)

    init(_ kind: RcloneDigest) {
        switch kind {
        case .sha256: self = .sha256(SHA256())
        case .sha1: self = .sha1(Insecure.SHA1())
        case .md5: self = .md5(Insecure.MD5())
        }
    }

    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        switch self {
        case .sha256(var state):
            state.update(bufferPointer: bytes)
            self = .sha256(state)
        case .sha1(var state):
            state.update(bufferPointer: bytes)
            self = .sha1(state)
        case .md5(var state):
            state.update(bufferPointer: bytes)
            self = .md5(state)
        }
    }

    /// In lower-case hexadecimal, as rclone prints it.
    var hexadecimal: String {
        switch self {
        case .sha256(let state): state.finalize().hexadecimal
        case .sha1(let state): state.finalize().hexadecimal
        case .md5(let state): state.finalize().hexadecimal
        }
    }
}
