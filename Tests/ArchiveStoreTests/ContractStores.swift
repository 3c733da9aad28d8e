import Foundation
import HTTP
import HostIO
import S3
import TestSupport
import Testing

@testable import ArchiveStore

/// A kind of store that the contract is tested on.
enum StoreKind: String, CaseIterable, CustomTestStringConvertible {
    case local, seaweedfs, moto
    /// rclone on a remote of files, and on OpenSSH's server of sftp.
    case rcloneLocal, rcloneSFTP

    var testDescription: String { rawValue }

    var isOfRclone: Bool { self == .rcloneLocal || self == .rcloneSFTP }
}

/// A store of a kind on a server of its own, which ends with this.
final class ContractStore {
    let kind: StoreKind
    let scratch: TemporaryDirectory
    private let server: AnyObject?
    private let endpoint: String?
    private let keys: String

    /// The keys of whoever may do everything.
    private static let admin = SeaweedServer.Identity(
        key: "AKIDCONTRACT", secret: "contractcontractcontract", actions: ["Admin", "Read", "Write", "List"])
    static let bucket = "etcd-snap"

    init(_ kind: StoreKind) throws {
        self.kind = kind
        scratch = try TemporaryDirectory()
        keys = try scratch.write(
            "aws_access_key_id = \(Self.admin.key)\naws_secret_access_key = \(Self.admin.secret)\n", to: "keys")
        chmod(keys, 0o600)
        switch kind {
        case .local: (server, endpoint) = (nil, nil)
        case .rcloneLocal: (server, endpoint) = (try RcloneLaboratory(.local, .debian), nil)
        case .rcloneSFTP: (server, endpoint) = (try RcloneLaboratory(.openSSH, .newer), nil)
        case .seaweedfs:
            let seaweed = try SeaweedServer([Self.admin])
            (server, endpoint) = (seaweed, seaweed.url)
        case .moto:
            let moto = try MotoServer()
            (server, endpoint) = (moto, moto.url)
        }
        if endpoint != nil { try makeBucket() }
    }

    private static let retries = RetryPolicy(patience: .seconds(20))

    /// The store in a place of its own.
    ///
    /// - Parameter host: who looks: each host remembers its own.
    func store(_ place: String, host: String = "one") throws -> any Store {
        guard kind != .local else { return LocalStore(root: scratch.file(place)) }
        return ObjectStore(try objects(place), home: home(host))
    }

    func home(_ host: String) -> StoreHome {
        StoreHome(
            stateDirectory: scratch.file("\(host)/state"), cacheDirectory: scratch.file("\(host)/cache"))
    }

    /// The objects of a store that is kept in such.
    func objects(_ place: String) throws -> any ObjectStorage {
        guard let rclone = server as? RcloneLaboratory else { return try s3Objects(place) }
        let location = try RcloneLocation("rclone:far:\(rclone.path)/\(place)")
        return RetryingObjects(try RcloneStorage(location, rclone.settings), Self.retries)
    }

    private func s3Objects(_ place: String) throws -> S3Objects {
        try S3Objects(
            S3Location("s3://\(Self.bucket)/\(place)"), settings(), variables: [:],
            retries: Self.retries)
    }

    private func settings() -> S3Settings {
        var settings = S3Settings()
        settings.endpointURL = endpoint
        settings.credentials.file = keys
        settings.proxyURL = ""
        return settings
    }

    /// Makes the bucket; a server that has only begun to listen may not know its own identities yet.
    private func makeBucket() throws {
        let objects = try s3Objects("")
        for attempt in 0... {
            do {
                return try objects.connection.send(MakeBucket())
            } catch  where attempt < 50 {
                usleep(200_000)
            }
        }
    }
}

/// Makes the bucket, which the product never does.
private struct MakeBucket: S3Operation {
    var request: S3Request { S3Request(.put, .bucket, action: "make") }

    func output(of response: S3Response) throws(S3Error) {
        guard response.status == 200 || response.status == 409 else {
            _ = try HeadBucket().output(of: response)
            return
        }
    }
}
