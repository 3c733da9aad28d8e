import Certificates
import EncryptionAtRest
import HostIO
import NodeFiles
import SealedArchive
import SystemPackage

/// A file of the node after one look at it: whether it can be read, and what it holds.
struct InspectedFile {
    /// What is at the path.
    enum State: Equatable {
        case missing
        /// Something that can't be read, and why.
        case unreadable(String)
        case directory
        case file
    }

    /// How a file's content is read.
    enum Form {
        case pem
        case kubeconfig
        case encryptionConfiguration
        case token
        case opaque
    }

    /// The largest file that is read as a whole: certificates, keys and configurations are far smaller.
    static let byteCountLimit = 4 << 20

    var path: String
    var state: State
    /// The class of the reference that leads here.
    var captureClass: CaptureClass
    /// What names the file.
    var referrers: [String] = []
    /// Whether a flag names it.
    var isRequired = false
    /// Whether it was found in a directory that a reference leads to, so that the class tells little about it.
    var isFoundByWalk = false
    var pem: PEMContents?
    var kubeconfig: InspectedKubeconfig?
    var encryption: EncryptionConfiguration?
    var problems: [ContentProblem] = []

    /// Looks at a path; never throws, whatever is there.
    init(_ path: String, _ captureClass: CaptureClass, in source: any FileSource) {
        self.path = path
        self.captureClass = captureClass
        state = .missing
        switch source.find(path) {
        case .missing: break
        case .unreadable(let reason): state = .unreadable(reason)
        case .directory: state = .directory
        case .other: state = .unreadable("it is no regular file")
        case .file(let byteCount): read(source, byteCount: byteCount)
        }
    }

    /// Whether the file can be read and nothing is wrong with what it holds.
    var isSound: Bool { state == .file && problems.isEmpty && pem?.problems.isEmpty ?? true }

    private mutating func read(_ source: any FileSource, byteCount: Int) {
        do {
            let form = Self.form(of: captureClass, path: path)
            if form == .opaque, byteCount > 0 {
                try source.checkReadable(path)
                state = .file
            } else {
                let bytes = try source.bytes(of: path, limitByteCount: Self.byteCountLimit)
                state = .file
                interpret(bytes, as: form)
            }
        } catch let error as SystemCallError {
            state = .unreadable("\(error.errno)")
        } catch {
            state = .unreadable(Failure(wrapping: error).message)
        }
    }

    private mutating func interpret(_ bytes: consuming [UInt8], as form: Form) {
        guard !bytes.isEmpty else {
            problems = [
                ContentProblem(.empty, in: quoted(path))
            ]
            return
        }
        do {
            switch form {
            case .pem:
                let contents = PEMContents(bytes, path: path)
                problems = contents.problems.map { ContentProblem($0, in: quoted(path)) }
                pem = contents
            case .kubeconfig:
                let inspected = try InspectedKubeconfig(bytes, path: path)
                problems = inspected.problems(path: path)
                kubeconfig = inspected
            case .encryptionConfiguration: encryption = try EncryptionConfiguration(parsing: bytes, path: path)
            case .token, .opaque: break
            }
        } catch {
            problems = [
                ContentProblem(
                    code: form == .kubeconfig ? "kubeconfig-unreadable" : "encryption-configuration-unreadable",
                    message: Failure(wrapping: error).message,
                    advice: "correct the file: its component can't start with it")
            ]
        }
    }

    /// How a file is read, by its class and, in directories of mixed content, by its name.
    static func form(of captureClass: CaptureClass, path: String) -> Form {
        switch captureClass {
        case .caCertificate, .caKey, .certificate, .privateKey, .serviceAccountKey: .pem
        case .kubeconfig: .kubeconfig
        case .encryptionConfiguration: .encryptionConfiguration
        case .joinToken: .token
        case .kubeletPKI, .etcdConfiguration, .distribution, .component, .include:
            hasPEMName(path) ? .pem : .opaque
        default: .opaque
        }
    }

    private static let endings = [".crt", ".pem", ".key", ".pub", ".cer", ".cert"]

    /// Whether a name ends as those of certificates and keys do.
    static func hasPEMName(_ path: String) -> Bool { endings.contains { path.hasSuffix($0) } }

    /// Whether the last name of a path has such an ending in it, as `tls.key.old` has.
    static func mentionsPEM(_ path: String) -> Bool {
        var lastFour: UInt32 = 0
        var isFound = false
        for byte in path.utf8 {
            lastFour = lastFour << 8 | UInt32(byte)
            if byte == 0x2F { isFound = false }
            if lastFour >> 24 == 0x2E, endingWords.contains(lastFour) { isFound = true }
        }
        return isFound
    }

    /// The first four bytes of each ending, the first of all highest.
    private static let endingWords = endings.map { $0.utf8.prefix(4).reduce(0 as UInt32) { $0 << 8 | UInt32($1) } }
}

/// A kubeconfig with its embedded credentials read.
struct InspectedKubeconfig {
    var kubeconfig: Kubeconfig
    /// The embedded CA bundles by the names of clusters.
    var authorities: [String: PEMContents] = [:]
    /// The embedded client certificates by the names of users.
    var certificates: [String: PEMContents] = [:]
    /// The embedded keys by the names of users.
    var keys: [String: PEMContents] = [:]

    init(_ bytes: [UInt8], path: String) throws {
        kubeconfig = try Kubeconfig(try YAMLDocument.first(in: bytes, path: path), path: path)
        for cluster in kubeconfig.clusters { read(cluster, path) }
        for user in kubeconfig.users { read(user, path) }
    }

    private mutating func read(_ cluster: Kubeconfig.Cluster, _ path: String) {
        authorities[cluster.name] = cluster.certificateAuthorityData.map {
            PEMContents($0, path: path, embeddedIn: owner(cluster: cluster.name))
        }
    }

    private mutating func read(_ user: Kubeconfig.User, _ path: String) {
        let owner = owner(user: user.name)
        certificates[user.name] = user.certificateData.map { PEMContents($0, path: path, embeddedIn: owner) }
        keys[user.name] = user.keyData.map { key in
            key.withBytes { PEMContents(copy $0, path: path, embeddedIn: owner) }
        }
    }

    /// Everything that is embedded.
    var contents: [PEMContents] { Array(authorities.values) + Array(certificates.values) + Array(keys.values) }

    /// What is wrong with what is embedded in the file at a path.
    func problems(path: String) -> [ContentProblem] {
        let clusters = authorities.map { (owner(cluster: $0.key), $0.value) }
        let users = (Array(certificates) + Array(keys)).map { (owner(user: $0.key), $0.value) }
        return (clusters + users).flatMap { owner, contents in
            contents.problems.map { ContentProblem($0, in: "\(quoted(path)) (\(owner))") }
        }.sorted { $0.message < $1.message }
    }

    private func owner(cluster name: String) -> String { "cluster \(quoted(name))" }
    private func owner(user name: String) -> String { "user \(quoted(name))" }
}
