import ArgumentParser
import HostIO
import Operations
import SystemPackage

/// The command `etcd-snap keygen`.
struct Keygen: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make a key pair in age's format.",
        discussion: """
            Keep the file away from the control plane: nodes need the public key only. Make two key pairs, and keep the
            second one offline.

            Example: etcd-snap keygen -o key.txt
            """)

    @Option(
        name: [.customShort("o"), .customLong("output")],
        help: "The file for the identity; it must not exist. Without it the identity goes to standard output.",
        completion: .file())
    var outputFile: String?

    @Flag(name: .customLong("pq"), help: "Make a post-quantum hybrid key pair (ML-KEM-768 with X25519).")
    var isHybrid = false

    @Option(help: "Protect the identity with the passphrase on the first line of this file.", completion: .file())
    var passphraseFile: String?

    func run() throws {
        let passphrase = try passphraseFile.map { try Keys.passphrase($0, for: outputFile ?? "the identity") }
        let recipient = try KeyGeneration.run(
            isHybrid ? .hybrid : .x25519, output: outputFile, passphrase: passphrase,
            standardOutput: DescriptorSink(.standardOutput, name: "standard output"))
        Console.shared.write("Public key: \(recipient)")
    }
}
