import Foundation

/// A certificate authority made with openssl for one test, and what it has signed.
public final class TestPKI: Sendable {
    /// The paths of a certificate and its key.
    public struct Pair: Sendable {
        /// The certificate, PEM.
        public let certificatePath: String
        /// The private key, PEM.
        public let keyPath: String

        /// A pair that exists.
        public init(certificatePath: String, keyPath: String) {
            self.certificatePath = certificatePath
            self.keyPath = keyPath
        }
    }

    /// When a certificate is valid.
    public enum Validity: Sendable {
        /// From now, for a month.
        case current
        /// From 1 January 2020 to 1 January 2021.
        case expired
        /// From 1 January 2090 to 1 January 2091.
        case future
    }

    private let directory: TemporaryDirectory
    /// The authority's certificate, PEM.
    public let caPath: String
    /// A certificate for 127.0.0.1, ::1 and localhost, for servers and clients.
    public let server: Pair
    /// A client's certificate with the common name `root`.
    public let client: Pair

    /// Makes an authority, a server's and a client's certificate.
    public init(name: String = "test-ca") throws {
        directory = try TemporaryDirectory()
        caPath = directory.file("ca.crt")
        try run(
            "openssl",
            ["req", "-x509", "-days", "30", "-subj", "/CN=\(name)"] + Self.newKey(directory.file("ca.key"))
                + ["-out", caPath])
        server = try Self.issue(
            directory, "server", commonName: "server", usage: "serverAuth,clientAuth",
            alternativeNames: "IP:127.0.0.1,IP:::1,DNS:localhost", validity: .current)
        client = try Self.issue(
            directory, "client", commonName: "root", usage: "clientAuth", alternativeNames: nil, validity: .current)
    }

    /// An authority that exists, which can't sign any more here.
    public init(existing caPath: String, server: Pair, client: Pair) throws {
        directory = try TemporaryDirectory()
        self.caPath = caPath
        self.server = server
        self.client = client
    }

    /// Signs one more certificate.
    public func issue(
        _ name: String, commonName: String = "root", organization: String? = nil, usage: String = "clientAuth",
        alternativeNames: String? = nil, validity: Validity = .current
    ) throws -> Pair {
        try Self.issue(
            directory, name, commonName: commonName, organization: organization, usage: usage,
            alternativeNames: alternativeNames, validity: validity)
    }

    private static func newKey(_ path: String) -> [String] {
        ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path]
    }

    private static func issue(
        _ directory: TemporaryDirectory, _ name: String, commonName: String, organization: String? = nil,
        usage: String, alternativeNames: String?, validity: Validity
    ) throws -> Pair {
        let pair = Pair(certificatePath: directory.file("\(name).crt"), keyPath: directory.file("\(name).key"))
        let request = directory.file("\(name).csr")
        let subject = (organization.map { "/O=\($0)" } ?? "") + "/CN=\(commonName)"
        try run("openssl", ["req", "-subj", subject] + newKey(pair.keyPath) + ["-out", request])
        let names = alternativeNames.map { "subjectAltName=\($0)\n" } ?? ""
        // `openssl ca` alone can set both dates; it wants a database and a serial file of its own.
        try directory.write(
            """
            [ca]
            default_ca = own
            [own]
            database = \(directory.file("\(name).index"))
            serial = \(directory.file("\(name).serial"))
            new_certs_dir = \(directory.path)
            default_md = sha256
            policy = any
            [any]
            organizationName = optional
            commonName = supplied
            [extensions]
            extendedKeyUsage = \(usage)
            \(names)
            """, to: "\(name).cnf")
        try directory.write("", to: "\(name).index")
        try directory.write(
            String(UInt32.random(in: 0x1000_0000...0x7FFF_FFFF), radix: 16) + "\n", to: "\(name).serial")
        try run(
            "openssl",
            ["ca", "-batch", "-notext", "-config", directory.file("\(name).cnf"), "-cert", directory.file("ca.crt")]
                + ["-keyfile", directory.file("ca.key"), "-in", request, "-out", pair.certificatePath]
                + ["-extensions", "extensions"] + dates(validity))
        return pair
    }

    private static func dates(_ validity: Validity) -> [String] {
        switch validity {
        case .current: ["-days", "30"]
        case .expired: ["-startdate", "20200101000000Z", "-enddate", "20210101000000Z"]
        case .future: ["-startdate", "20900101000000Z", "-enddate", "20910101000000Z"]
        }
    }
}
