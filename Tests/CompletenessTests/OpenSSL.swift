import Foundation
import TestSupport

/// Keys and certificates made by openssl, with both dates of validity chosen.
struct OpenSSL {
    /// A certificate and its key, PEM.
    struct Pair {
        let certificate: String
        let key: String
    }

    enum Key {
        case rsa(Int)
        case curve(String)
        case ed25519
        case dsa
        /// A key that exists, PEM.
        case existing(String)
    }

    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    /// The path of a new file with the text.
    func file(_ text: String) throws -> String {
        try directory.write(text, to: UUID().uuidString)
    }

    /// What openssl prints.
    func output(_ arguments: [String], input: String = "") throws -> String {
        try run("openssl", arguments, input: Data(input.utf8)).text
    }

    /// A new private key in PEM: PKCS#1 for RSA, as kubeadm writes it, else PKCS#8.
    func key(_ key: Key = .rsa(2048)) throws -> String {
        switch key {
        case .rsa(let bits): return try output(["genrsa", "-traditional", String(bits)])
        case .curve(let name):
            return try output(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:\(name)"])
        case .ed25519: return try output(["genpkey", "-algorithm", "ED25519"])
        case .dsa:
            let parameters = try output([
                "genpkey", "-genparam", "-algorithm", "DSA", "-pkeyopt", "dsa_paramgen_bits:1024",
            ])
            return try output(["genpkey", "-paramfile", try file(parameters)])
        case .existing(let pem): return pem
        }
    }

    /// A certificate; without an authority it signs itself.
    func issue(
        _ subject: String, by authority: Pair? = nil, key: Key = .rsa(2048), extensions: [String] = [],
        from start: String = "20261201000000Z", to end: String = "20271101000000Z", digest: String = "sha256"
    ) throws -> Pair {
        let pem = try self.key(key)
        let keyPath = try file(pem)
        // `openssl ca` alone can set both dates; it wants a database and a serial file of its own.
        let configuration = try file(
            """
            [ca]
            default_ca = own
            [own]
            database = \(try file(""))
            serial = \(try file(String(UInt32.random(in: 0x1000_0000...0x7FFF_FFFF), radix: 16) + "\n"))
            new_certs_dir = \(directory.path)
            default_md = \(digest)
            policy = any
            unique_subject = no
            [any]
            commonName = supplied
            organizationName = optional
            [extensions]
            \(extensions.joined(separator: "\n"))
            [req]
            string_mask = nombstr
            distinguished_name = name
            [name]
            """)
        let request = try file(
            try output(["req", "-new", "-config", configuration, "-subj", subject, "-key", keyPath]))
        let signer =
            try authority.map { ["-cert", try file($0.certificate), "-keyfile", try file($0.key)] }
            ?? ["-selfsign", "-keyfile", keyPath]
        let output = directory.file(UUID().uuidString)
        try run(
            "openssl",
            ["ca", "-batch", "-notext", "-preserveDN", "-config", configuration, "-in", request, "-out", output]
                + ["-extensions", "extensions", "-startdate", start, "-enddate", end] + signer)
        return Pair(certificate: try String(contentsOfFile: output, encoding: .utf8), key: pem)
    }

    /// A CA that signs itself.
    func authority(_ subject: String, key: Key = .rsa(2048), to end: String = "20361101000000Z") throws -> Pair {
        try issue(subject, key: key, extensions: Self.authorityExtensions, to: end)
    }

    static let authorityExtensions = ["basicConstraints = critical,CA:TRUE", "keyUsage = critical,keyCertSign"]
}
