import ArchiveStore
import ArgumentParser
import HostIO
import Operations
import SystemPackage

/// The command `etcd-snap keygen`.
struct Keygen: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make a key pair in age's format, or show the public half of one.",
        discussion: """
            Keep the file away from the control plane: nodes need the public key only. Make two key pairs, and keep the \
            second one offline. Lists of recipients show the fingerprint; --show tells it of a file.

            Example: etcd-snap keygen -o key.txt
            Example: etcd-snap keygen --show key.txt
            """)

    @Option(
        name: [.customShort("o"), .customLong("output")],
        help: "The file for the identity; it must not exist. Without it the identity goes to standard output.",
        completion: .file())
    var outputFile: String?

    @Flag(name: .customLong("pq"), help: "Make a post-quantum hybrid key pair (ML-KEM-768 with X25519).")
    var isHybrid = false

    @Flag(
        name: [.customShort("p"), .customLong("passphrase")], help: "Ask for a passphrase to protect the identity with."
    )
    var asksPassphrase = false

    @Option(help: "Protect the identity with the passphrase on the first line of this file.", completion: .file())
    var passphraseFile: String?

    @Option(
        help: "Make nothing: print public keys and fingerprints of this file of identities or recipients.",
        completion: .file())
    var show: String?

    func validate() throws {
        if show != nil, outputFile != nil || isHybrid || asksPassphrase {
            throw ValidationError("--show makes no key: leave out --output, --pq and --passphrase")
        }
        if asksPassphrase, passphraseFile != nil {
            throw ValidationError("--passphrase and --passphrase-file exclude each other")
        }
    }

    func run() throws {
        if let show { return try printKeys(of: show) }
        let outputFile = outputFile == "-" ? nil : outputFile
        let name = outputFile ?? "the identity"
        let place = try outputFile.map {
            try plaintextPlace($0, of: "the file of the identity", outside: Self.usualStores)
        }
        var passphrase = try passphraseFile.map { try Keys.passphrase($0, for: name) }
        defer { passphrase?.wipe() }
        if asksPassphrase { passphrase = try Terminal.askNewPassphrase(for: name) }
        let recipient = try KeyGeneration.run(
            isHybrid ? .hybrid : .x25519, output: place, passphrase: passphrase,
            standardOutput: DescriptorSink(.standardOutput, name: "standard output"))
        Console.shared.write("Fingerprint: \(try KeyDescription(recipient).fingerprint)")
        Console.shared.write("Public key: \(recipient)")
    }

    /// Where this host's backups go, whether there are some or not.
    private static var usualStores: StoreSet {
        let configured = (try? Configuration.load(path: nil)).flatMap { try? StoreOptions.all($0) }
        return configured.flatMap { $0.directories.isEmpty ? nil : $0 }
            ?? StoreSet([NamedStore(LocalStore(root: StoreOptions.defaultStore))])
    }

    private func printKeys(of path: String) throws {
        let keys = try KeyDescription.read(path, passphraseFile: passphraseFile, asking: Terminal.askPassphrase)
        try printOutput(
            keys.map { fields([("Public key", $0.recipient), ("Type", $0.type), ("Fingerprint", $0.fingerprint)]) }
                .joined(separator: "\n\n"))
    }
}
