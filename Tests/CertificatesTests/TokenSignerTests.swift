import Certificates
import Foundation
import HostIO
import TestSupport
import Testing

/// Tokens that openssl, another implementation, verifies with the public key.
@Suite struct TokenSignerTests {
    @Test(arguments: [
        ("RS256", ["genrsa", "-traditional", "2048"]), ("RS256", ["genpkey", "-algorithm", "RSA"]),
        ("ES256", ["ecparam", "-genkey", "-noout", "-name", "prime256v1"]),
        ("ES384", ["ecparam", "-genkey", "-noout", "-name", "secp384r1"]),
        ("ES512", ["ecparam", "-genkey", "-noout", "-name", "secp521r1"]),
    ])
    func tokensAreSigned(_ algorithm: String, _ making: [String]) throws {
        let directory = try TemporaryDirectory()
        let key = directory.file("sa.key")
        try Data(run("openssl", making).output).write(to: URL(filePath: key))
        let pem = Array(try Data(contentsOf: URL(filePath: key)))
        let signer = try TokenSigner(keyPEM: pem.withUnsafeBytes { SecretBytes(copying: $0) }, path: key)
        let token = try signer.token(claims: Array(#"{"sub":"a?>"}"#.utf8))
        let parts = token.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }.split(separator: ".")
        #expect(parts.count == 3 && token.description == "\(token.count) secret bytes")
        #expect(String(decoding: try decoded(parts[0]), as: UTF8.self) == #"{"alg":"\#(algorithm)"}"#)
        #expect(String(decoding: try decoded(parts[1]), as: UTF8.self) == #"{"sub":"a?>"}"#)
        var signature = try decoded(parts[2])
        if algorithm.hasPrefix("ES") { signature = sequence(of: signature) }
        let text = try directory.write("\(parts[0]).\(parts[1])", to: "text")
        try signature.write(to: URL(filePath: directory.file("signature")))
        try run("openssl", ["pkey", "-in", key, "-pubout", "-out", directory.file("sa.pub")])
        try run(
            "openssl",
            [
                "dgst", "-sha\(algorithm.dropFirst(2))", "-verify", directory.file("sa.pub"), "-signature",
                directory.file("signature"), text,
            ])
    }

    @Test func whatSignsNoTokensIsRefused() throws {
        let error = #expect(throws: Failure.self) {
            try TokenSigner(
                keyPEM: Array("no key".utf8).withUnsafeBytes { SecretBytes(copying: $0) }, path: "/pki/sa.key")
        }
        #expect(error?.message.contains("/pki/sa.key") == true)
    }

    private func decoded(_ text: Substring) throws -> Data {
        let plain = text.replacing("-", with: "+").replacing("_", with: "/")
        return try #require(Data(base64Encoded: plain + String(repeating: "=", count: (4 - plain.count % 4) % 4)))
    }

    /// Two numbers as the ASN.1 that openssl has for them.
    private func sequence(of raw: Data) -> Data {
        let half = raw.count / 2
        let numbers = [raw.prefix(half), raw.suffix(half)].map { part -> Data in
            var number = Data(part.drop { $0 == 0 })
            if number.first.map({ $0 & 0x80 != 0 }) ?? true { number.insert(0, at: 0) }
            return Data([0x02, UInt8(number.count)]) + number
        }
        let content = numbers[0] + numbers[1]
        return Data([0x30] + (content.count > 127 ? [0x81] : []) + [UInt8(content.count)]) + content
    }
}
