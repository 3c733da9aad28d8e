import Foundation
import HostIO
import TestSupport
import Testing

@testable import EtcdSnap

/// Spellings of PEM that are around in the field; etcdctl says of each whether it works.
enum PEMSpelling: String, CaseIterable {
    case columns76, oneLine, blanksAtLineEnds, tabsAtLineEnds, blankLines, textAround, carriageReturns
    case bagAttributes, headersBefore, withoutLastNewline, badBlockBefore, blankBehindEnd, unevenLines
    case indented, byteOrderMark, otherEndLabel, textBeforeBegin

    /// The file with the blocks of `pem` spelled this way.
    func write(_ pem: String) -> String {
        let lines = pem.split(separator: "\n").map(String.init)
        let label = lines[0].dropFirst(11).dropLast(5)
        let base64 = lines.dropFirst().dropLast().joined()
        func block(_ lines: [String]) -> String {
            "-----BEGIN \(label)-----\n" + lines.map { $0 + "\n" }.joined() + "-----END \(label)-----\n"
        }
        let wrapped = Self.wrap(base64, 64)
        switch self {
        case .columns76: return block(Self.wrap(base64, 76))
        case .oneLine: return block([base64])
        case .unevenLines: return block([String(base64.prefix(10)), String(base64.dropFirst(10))])
        case .blanksAtLineEnds: return block(wrapped).replacing("\n", with: "  \n")
        case .tabsAtLineEnds: return block(wrapped).replacing("\n", with: "\t\n")
        case .blankBehindEnd: return String(block(wrapped).dropLast()) + " \t\n"
        case .blankLines: return block(wrapped.flatMap { [$0, ""] })
        case .textAround: return "subject=CN = x\nissuer: y\n\n\(block(wrapped))\nthe end\n"
        case .carriageReturns: return block(wrapped).replacing("\n", with: "\r\n")
        case .bagAttributes:
            return "Bag Attributes\n    localKeyID: 01 02\nKey Attributes: <No Attributes>\n" + block(wrapped)
        case .headersBefore: return block(["X-Made-By: somebody", ""] + wrapped)
        case .withoutLastNewline: return String(block(wrapped).dropLast())
        case .badBlockBefore: return "-----BEGIN \(label)-----\n!!!!\n-----END \(label)-----\n" + block(wrapped)
        case .indented: return "  " + block(wrapped).replacing("\n", with: "\n  ")
        case .byteOrderMark: return "\u{FEFF}" + block(wrapped)
        case .otherEndLabel: return block(wrapped).replacing("-----END \(label)", with: "-----END SOMETHING")
        case .textBeforeBegin: return "x " + block(wrapped)
        }
    }

    private static func wrap(_ text: String, _ columns: Int) -> [String] {
        stride(from: 0, to: text.count, by: columns).map { String(text.dropFirst($0).prefix(columns)) }
    }
}

@Suite(.timeLimit(.minutes(45)), .serialized) struct PEMSpellingTests {
    @Test(arguments: EtcdVersion.installed)
    func whatEtcdctlAcceptsWorks(version: EtcdVersion) async throws {
        let pki = try TestPKI()
        let scratch = try TemporaryDirectory()
        let server = try EtcdServer.start(version, pki: pki)
        defer { server.kill() }
        for spelling in PEMSpelling.allCases {
            func respelled(_ path: String) throws -> String {
                let name = "\(spelling)-\(path.split(separator: "/").last ?? "")"
                return try scratch.write(
                    spelling.write(String(contentsOfFile: path, encoding: .utf8)), to: name)
            }
            let certificate = try respelled(pki.client.certificatePath)
            let key = try respelled(pki.client.keyPath)
            let ca = try respelled(pki.caPath)
            let theirs = try run(
                version.path(of: "etcdctl"),
                [
                    "--endpoints", server.clientURL, "--cacert", ca, "--cert", certificate, "--key", key, "endpoint",
                    "status",
                ], environment: ["ETCDCTL_API": "3"], allowsFailure: true)
            let files = TLSFiles(caPath: ca, certificatePath: certificate, keyPath: key)
            if theirs.status == 0 {
                let client = try Client(
                    ClientConfiguration(endpoints: [Endpoint(parsing: server.clientURL)], tls: files))
                let status = try await client.snapshotCandidates().first?.status
                #expect(status != nil, "\(spelling) works with etcdctl \(version)")
            } else {
                let error = #expect(throws: TLSFileError.self, "\(spelling) does not work with etcdctl \(version)") {
                    try files.validate()
                }
                #expect(error?.failure.hint != nil)
            }
        }
    }

    @Test func encryptedKeysAreCalledEncrypted() throws {
        let pki = try TestPKI()
        let scratch = try TemporaryDirectory()
        for (name, arguments) in [
            ("pkcs8", ["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", "pass:x"]),
            ("traditional", ["rsa", "-traditional", "-aes128", "-passout", "pass:x"]),
        ] {
            let key = scratch.file("\(name).key"), encrypted = scratch.file("\(name).enc")
            try run("openssl", ["genrsa", "-out", key, "2048"])
            try run("openssl", arguments + ["-in", key, "-out", encrypted])
            #expect(throws: TLSFileError.encryptedKey(path: encrypted)) {
                try TLSFiles(
                    caPath: pki.caPath, certificatePath: pki.client.certificatePath, keyPath: encrypted
                ).validate()
            }
        }
    }

    @Test func aBundleWithOneBadBlockIsTheOthers() throws {
        let pki = try TestPKI()
        let scratch = try TemporaryDirectory()
        let good = try String(contentsOfFile: pki.caPath, encoding: .utf8)
        let bad = [
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\nnot base64\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\nAAAA\n",
        ]
        for (index, block) in bad.enumerated() {
            let path = try scratch.write(block + good, to: "bundle-\(index)")
            try TLSFiles(caPath: path).validate()
        }
        let path = try scratch.write(bad.joined(), to: "nothing")
        #expect(throws: TLSFileError.self) { try TLSFiles(caPath: path).validate() }
    }
}
