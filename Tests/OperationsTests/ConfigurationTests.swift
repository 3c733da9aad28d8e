import Foundation
import HostIO
import TestSupport
import Testing

@testable import Operations

@Suite struct ConfigurationTests {
    private func parse(_ text: String) throws -> Configuration {
        try Configuration.parse(Array(text.utf8), name: "config.yaml")
    }

    private func expectUsage(_ text: String, saying parts: String..., sourceLocation: SourceLocation = #_sourceLocation)
    {
        let error = #expect(throws: Failure.self, sourceLocation: sourceLocation) { try parse(text) }
        #expect(error?.code == .usage, sourceLocation: sourceLocation)
        #expect(error?.message.contains("\"config.yaml") == true, sourceLocation: sourceLocation)
        for part in parts {
            #expect(
                error?.message.contains(part) == true, "\(String(describing: error?.message))",
                sourceLocation: sourceLocation)
        }
    }

    @Test func theExampleOfThePackageIsValid() throws {
        let path = repository.appending(path: "systemd/config.yaml").path
        let example = try Configuration.load(path: path)
        #expect(example.store == "/var/lib/etcd-snap")
        #expect(example.recipients?.count == 1)
        #expect(example.include == [] && example.discover == true && example.etcd == nil)
        // What is commented out must be valid too.
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let uncommented = text.split(separator: "\n").map { line -> Substring in
            guard let match = line.firstMatch(of: /^( *)# ( *[a-zA-Z]+:.*| *- .*)$/) else { return line }
            return Substring(String(match.1) + String(match.2))
        }
        let full = try parse(uncommented.joined(separator: "\n"))
        #expect(full.etcd?.user == "backup" && full.recipientsFiles?.count == 1)
        #expect(full.etcd?.endpoints == ["https://127.0.0.1:2379"] && full.otherEtcds?.first?.name == "etcd-events")
        #expect(full.fileByteLimits?["cni-state"] == 1 << 30)
    }

    @Test func takesEveryKey() throws {
        let configuration = try parse(
            """
            cluster: c
            node: n
            store: /s
            recipients: [age1a, age1b]
            recipientsFiles: [/r]
            discover: false
            include: [/a, {path: /b, class: cloud-provider}]
            exclude: ['*.tmp']
            etcd:
              name: events
              endpoints: ["https://[::1]:2379"]
              cacert: /ca
              cert: /c
              key: /k
              serverName: etcd
              user: backup
              passwordFile: /p
              dialTimeoutSeconds: 1
              stallTimeoutSeconds: 2
              timeoutSeconds: 3
            """)
        var expected = Configuration()
        (expected.cluster, expected.node, expected.store) = ("c", "n", "/s")
        (expected.recipients, expected.recipientsFiles) = (["age1a", "age1b"], ["/r"])
        expected.discover = false
        expected.include = ["/a", .init(path: "/b", captureClass: "cloud-provider")]
        expected.exclude = ["*.tmp"]
        var etcd = Configuration.Etcd()
        (etcd.name, etcd.endpoints, etcd.serverName) = ("events", ["https://[::1]:2379"], "etcd")
        (etcd.cacert, etcd.cert, etcd.key, etcd.user, etcd.passwordFile) = ("/ca", "/c", "/k", "backup", "/p")
        (etcd.dialTimeoutSeconds, etcd.stallTimeoutSeconds, etcd.timeoutSeconds) = (1, 2, 3)
        expected.etcd = etcd
        #expect(configuration == expected)
    }

    @Test(arguments: ["", "\n", "# only a comment\n", "---\n", "{}"])
    func mayBeEmpty(text: String) throws { #expect(try parse(text) == Configuration()) }

    @Test func unknownKeysAreErrorsWithTheirLine() {
        expectUsage("cluster: a\nstoer: /x\n", saying: "unknown key \"stoer\"", "on line 2")
        expectUsage("etcd:\n  endpoints: []\n  endpoint: x\n", saying: "config.yaml: etcd", "\"endpoint\"", "on line 3")
        let error = #expect(throws: Failure.self) { try parse("stoer: x") }
        #expect(error?.hint?.contains("store") == true)
    }

    @Test func wrongTypesNameTheField() {
        expectUsage("recipients: age1x", saying: "recipients")
        expectUsage("recipients: {a: b}", saying: "recipients")
        expectUsage("include: [[/a]]", saying: "include")
        expectUsage("include: [/a, {class: x}]", saying: "\"include.1\" has no \"path\"")
        expectUsage("store: [/a]", saying: "\"store\" has the wrong type: line 1, column 8: text is expected")
        expectUsage("etcd:\n  timeoutSeconds: soon", saying: "etcd.timeoutSeconds")
        expectUsage("etcd:\n  timeoutSeconds: 1.5", saying: "etcd.timeoutSeconds")
        expectUsage("etcd: text", saying: "is not a mapping")
        expectUsage("- a\n- b", saying: "is not a mapping")
        expectUsage("text", saying: "is not a mapping")
    }

    @Test(arguments: [
        "cluster: [a", "cluster: 'a", "a: b: c", "\tcluster: a", "cluster: a\n cluster: b", "cluster: a\ncluster: b",
        "cluster: *none", "%YAML 9.9\n---\na", "cluster: \"\\x\"", "---\ncluster: a\n---\ncluster: b\n", "\u{0}",
        "? [a]\n: b",
    ])
    func brokenTextIsAnError(text: String) { expectUsage(text) }

    @Test func aSecretInTheWrongPlaceIsNotEchoed() {
        let error = #expect(throws: Failure.self) { try parse("etcd:\n  timeoutSeconds: s3cr3t") }
        #expect(error.map { !"\($0)\($0.hint ?? "")".contains("s3cr3t") } == true)
    }

    @Test func filesThatCannotBeConfigurations() throws {
        let scratch = try TemporaryDirectory()
        try run("truncate", ["-s", "2M", scratch.file("huge")])
        let huge = #expect(throws: Failure.self) { try Configuration.load(path: scratch.file("huge")) }
        #expect(huge?.code == .usage)
        let missing = #expect(throws: (any Error).self) { try Configuration.load(path: scratch.file("none")) }
        #expect(missing.map { Failure(wrapping: $0).code } == .notFound)
        #expect(throws: Failure.self) { try Configuration.load(path: scratch.path) }
        try Data([0x61, 0xFF, 0x3A, 0x20, 0xC3]).write(to: URL(filePath: scratch.file("binary")))
        #expect(throws: Failure.self) { try Configuration.load(path: scratch.file("binary")) }
    }
}
