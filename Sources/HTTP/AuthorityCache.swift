import HostIO
import Synchronization

/// The authorities that are trusted, as PEM; the host's are read when they are needed first.
final class AuthorityCache: Sendable {
    private static let maxByteCount = 16 << 20

    private let known: Mutex<[UInt8]?>

    init(_ authorities: HTTPConfiguration.Authorities) throws {
        switch authorities {
        case .system: known = Mutex(nil)
        case .pem(let bytes): known = Mutex(try Self.checked(bytes, from: "the text that was given"))
        case .file(let path):
            let file = try RandomAccessFile(path: path)
            let bytes = try file.bytes(at: 0, count: min(file.byteCount, Self.maxByteCount))
            known = Mutex(try Self.checked(bytes, from: quoted(path)))
        }
    }

    func pem() throws(HTTPError) -> [UInt8] {
        if let pem = known.withLock({ $0 }) { return pem }
        guard let pem = SystemAuthorities.pem() else {
            throw HTTPError(
                .tls(.noAuthorities(searched: SystemAuthorities.bundles + SystemAuthorities.directories)))
        }
        known.withLock { $0 = pem }
        return pem
    }

    private static func checked(_ bytes: [UInt8], from place: String) throws(HTTPError) -> [UInt8] {
        guard bytes.firstRange(of: "-----BEGIN CERTIFICATE-----".utf8) != nil else {
            throw HTTPError(.tls(.noAuthorities(searched: [place])))
        }
        return bytes
    }
}
