import Foundation
import HostIO
import TestSupport
import Testing

@testable import S3

let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

/// The time that fixtures and signatures are judged at: 2026-11-27T03:12:56Z.
let now = Date(timeIntervalSince1970: 1_795_749_176)

let exampleKey = "AKIAIOSFODNN7EXAMPLE"
let exampleSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

func credentials(
    _ key: String = exampleKey, _ secret: String = exampleSecret, token: String? = nil
) throws -> S3Credentials {
    try S3Credentials(
        accessKeyID: key, secretAccessKey: SecretBytes(secret), sessionToken: token.map { SecretBytes($0) },
        origin: "a test")
}

/// A response as a file of `Tests/Fixtures/s3` has it: status, fields and an empty line before the body.
func recorded(_ name: String) throws -> S3Response {
    let path = repository.appendingPathComponent("Tests/Fixtures/s3/\(name).http")
    let bytes = [UInt8](try Data(contentsOf: path))
    let end = try #require(bytes.firstRange(of: Array("\n\n".utf8)))
    let lines = String(decoding: bytes[..<end.lowerBound], as: UTF8.self).split(separator: "\n")
    let fields = lines.dropFirst().map { line in
        let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        return S3Headers.Field(String(parts[0]), String(parts[1]).trimmed)
    }
    return S3Response(
        status: try #require(Int(lines[0])), headers: S3Headers(fields), body: Array(bytes[end.upperBound...]),
        receivedAt: now)
}

func response(_ status: Int, _ body: String = "", headers: S3Headers = [:]) -> S3Response {
    S3Response(status: status, headers: headers, body: Array(body.utf8), receivedAt: now)
}

/// The error that reading a response ends in.
func error<Operation: S3Operation>(_ operation: Operation, _ response: S3Response) throws -> S3Error {
    try #require(throws: S3Error.self) { _ = try operation.output(of: response) }
}

/// An answer of a server to a refusal.
func refusal(
    _ status: Int, _ code: String, message: String = "", extra: String = "", headers: S3Headers = [:]
) -> S3Response {
    response(
        status,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>\(code)</Code><Message>\(message)</Message>\(extra)"
            + "<RequestId>4442587FB7D0A2F9</RequestId></Error>", headers: headers)
}

/// Packages of Python that scripts/setup has installed for these tests.
func pythonPackages() throws -> String {
    let tools = EtcdVersion.toolsDirectory
    let names = try FileManager.default.contentsOfDirectory(atPath: tools).filter { $0.hasPrefix("s3-") }
    guard names.count == 1, let name = names.first else {
        throw TestSupportError("\(tools) has \(names.count) directories s3-…; scripts/setup makes one")
    }
    return "\(tools)/\(name)"
}
