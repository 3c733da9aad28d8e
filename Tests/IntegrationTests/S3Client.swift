import Crypto
import Foundation
import TestSupport

/// What tests ask a server of S3 themselves, beside the program: an administrator's requests, sent by curl.
struct S3Client {
    static let administrator = SeaweedServer.Identity(key: "ADMIN", secret: "administers", actions: ["Admin"])
    /// Another key with the same rights.
    static let deputy = SeaweedServer.Identity(key: "DEPUTY", secret: "deputises", actions: ["Admin"])
    /// May write, and remove what it wrote; not read and not list.
    static let writer = SeaweedServer.Identity(key: "WRITER", secret: "writes", actions: ["Write:\(bucket)"])
    /// May do what a policy of the bucket allows it.
    static let guest = SeaweedServer.Identity(key: "GUEST", secret: "guests", actions: ["Read:elsewhere"])
    static let bucket = "backups"

    let server: SeaweedServer
    var pki: TestPKI?

    /// A server with these identities and the bucket.
    static func startServer(
        pki: TestPKI? = nil, volumes: (count: Int, mebibytes: Int) = (100, 64)
    ) throws -> SeaweedServer {
        let server = try SeaweedServer([administrator, deputy, writer, guest], pki: pki, volumes: volumes)
        let client = S3Client(server: server, pki: pki)
        // A server that has only just started is not ready for it yet.
        for _ in 0..<100 {
            if try client.send("PUT", "/\(bucket)").status == 200 { return server }
            usleep(200_000)
        }
        throw TestSupportError("the server never made a bucket")
    }

    /// Sends a request; query parts are sorted and encoded by the caller.
    func send(
        _ method: String, _ path: String, query: String = "", body: String = ""
    ) throws -> (status: Int, body: String) {
        var head = HTTPHead(
            "\(method) \(path)\(query.isEmpty ? "" : "?" + query) HTTP/1.1", [("host", "127.0.0.1:\(server.port)")])
        head["x-amz-content-sha256"] = Data(SHA256.hash(data: Data(body.utf8))).hexadecimal
        Self.sign(&head, Self.administrator, names: ["host", "x-amz-content-sha256", "x-amz-date"])
        var arguments = ["-sS", "--max-time", "60", "-X", method, "--path-as-is", "-w", "\n%{http_code}"]
        for (name, value) in head.fields where name.lowercased() != "host" {
            arguments += ["-H", "\(name): \(value)"]
        }
        if let pki { arguments += ["--cacert", pki.caPath] }
        if !body.isEmpty { arguments += ["-H", "Content-Type: application/octet-stream", "--data-binary", "@-"] }
        let url = "\(server.url)\(path)\(query.isEmpty ? "" : "?" + query)"
        let text = try run("curl", arguments + [url], input: Data(body.utf8)).text
        let end = text.lastIndex(of: "\n") ?? text.startIndex
        return (Int(text[end...].trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0, String(text[..<end]))
    }

    /// Signs a request anew, as of now (Signature Version 4); of `names` are the fields that are signed.
    static func sign(_ head: inout HTTPHead, _ identity: SeaweedServer.Identity, names: [String]) {
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.timeZone = TimeZone(identifier: "GMT")
        formatter.dateFormat = "yyyyMMdd'T'HHmmss'Z'"
        let time = formatter.string(from: Date())
        head["x-amz-date"] = time
        let target = head.words[1].split(separator: "?", maxSplits: 1).map(String.init)
        let query = (target.count > 1 ? target[1] : "").split(separator: "&").map {
            $0.contains("=") ? "\($0)" : "\($0)="
        }
        let names = names.sorted()
        let canonical =
            [head.words[0], target[0], query.sorted().joined(separator: "&")]
            + names.map { "\($0):\(head[$0] ?? "")" } + [
                "", names.joined(separator: ";"), head["x-amz-content-sha256"] ?? "",
            ]
        let scope = ["\(time.prefix(8))", "us-east-1", "s3", "aws4_request"]
        let digest = Data(SHA256.hash(data: Data(canonical.joined(separator: "\n").utf8))).hexadecimal
        let text = ["AWS4-HMAC-SHA256", time, scope.joined(separator: "/"), digest].joined(separator: "\n")
        let key = (scope + [text]).reduce(Data("AWS4\(identity.secret)".utf8)) { key, part in
            Data(HMAC<SHA256>.authenticationCode(for: Data(part.utf8), using: SymmetricKey(data: key)))
        }
        head["Authorization"] =
            "AWS4-HMAC-SHA256 Credential=\(identity.key)/\(scope.joined(separator: "/")), "
            + "SignedHeaders=\(names.joined(separator: ";")), Signature=\(key.hexadecimal)"
    }

    /// Signs what the program has signed, after a change.
    static func signAgain(_ head: inout HTTPHead) {
        let fields = (head["Authorization"] ?? "").components(separatedBy: "SignedHeaders=")
        let names = (fields.count > 1 ? fields[1] : "").prefix { $0 != "," }.split(separator: ";").map(String.init)
        sign(&head, administrator, names: names)
    }

    /// The keys below a prefix.
    func keys(_ prefix: String) throws -> [String] {
        let encoded = prefix.replacingOccurrences(of: "/", with: "%2F")
        let answer = try send("GET", "/\(Self.bucket)", query: "list-type=2&prefix=\(encoded)")
        guard answer.status == 200 else { throw TestSupportError("list: \(answer)") }
        return Self.texts("Key", in: answer.body).sorted()
    }

    /// The keys of unfinished uploads below a prefix.
    func uploads(_ prefix: String) throws -> [String] {
        let encoded = prefix.replacingOccurrences(of: "/", with: "%2F")
        let answer = try send("GET", "/\(Self.bucket)", query: "prefix=\(encoded)&uploads=")
        guard answer.status == 200 else { throw TestSupportError("uploads: \(answer)") }
        return Self.texts("Key", in: answer.body).sorted()
    }

    private static func texts(_ name: String, in document: String) -> [String] {
        document.components(separatedBy: "<\(name)>").dropFirst().compactMap {
            $0.components(separatedBy: "</\(name)>").first
        }
    }
}

extension Data {
    /// Two digits for each byte.
    var hexadecimal: String { map { String(format: "%02x", $0) }.joined() }
}
