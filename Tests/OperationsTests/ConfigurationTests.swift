import ArchiveStore
import Age
import Foundation
import HostIO
import NodeFiles
import SealedArchive
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
            guard let match = line.firstMatch(of: /^( *)# ( *[a-zA-Z0-9]+:.*| *- .*)$/) else { return line }
            return Substring(String(match.1) + String(match.2))
        }
        let full = try parse(uncommented.joined(separator: "\n"))
        #expect(full.etcd?.user == "backup" && full.recipientsFiles?.count == 1)
        #expect(full.etcd?.endpoints == ["https://127.0.0.1:2379"] && full.otherEtcds?.first?.name == "etcd-events")
        #expect(full.fileByteLimits?["cni-state"] == 1 << 30)
        #expect(full.s3?.region == "eu-central-1" && full.s3?.credentials == "/etc/etcd-snap/s3")
    }

    @Test func snapshotsAreSharedAsTheConfigurationSays() throws {
        let configuration = try parse("snapshot: {everyNode: true, slotMinutes: 30, takeOverMinutes: 2}")
        let sharing = try configuration.snapshotSharing()
        #expect(sharing.isOff && sharing.slotMinutes == 30 && sharing.takeOverMinutes == 2)
        #expect(try !configuration.snapshotSharing(everyNode: false).isOff)
        #expect(try parse("").snapshotSharing() == SnapshotSharing() && !SnapshotSharing().isOff)
        expectUsage("snapshot: {slotminutes: 5}", saying: "slotminutes")
        for text in ["slotMinutes: 9", "slotMinutes: 10081", "takeOverMinutes: 0", "takeOverMinutes: 61"] {
            let configuration = try parse("snapshot: {\(text)}")
            let error = #expect(throws: Failure.self) { try configuration.snapshotSharing() }
            #expect(error?.code == .usage && error?.message.contains("snapshot.") == true)
        }
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

    private func expectPlace(
        _ text: String, saying parts: String..., of use: (Configuration) throws -> Void,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let configuration = try parse(text)
        let error = #expect(throws: Failure.self, sourceLocation: sourceLocation) { try use(configuration) }
        for part in ["\"config.yaml\", line "] + parts {
            #expect(error?.message.contains(part) == true, "\(error?.message ?? "")", sourceLocation: sourceLocation)
        }
    }

    @Test func whatCannotBeUsedIsNamedWithItsPlace() throws {
        let recipients: (Configuration) throws -> Void = { _ = try $0.loadRecipients() }
        let good = try X25519Identity.generate().recipient.string
        try expectPlace(
            "store: /s\nrecipients:\n  - \(good)\n  - age1xyz\n", saying: "line 4", "recipients.1", of: recipients)
        try expectPlace("recipients: [{label: x,\n key: hello}]", saying: "line 1", "recipients.0", of: recipients)
        try expectPlace("recipientsFiles:\n- /none\n", saying: "line 2", "recipientsFiles.0", "/none", of: recipients)
        try expectPlace(
            "etcd:\n  endpoints:\n  - ftp://x\n", saying: "line 3", "etcd.endpoints.0", of: { try $0.checkEtcds() })
        try expectPlace("otherEtcds:\n- endpoints: []\n", saying: "line 2", "otherEtcds.0", of: { try $0.checkEtcds() })
    }

    /// What the package installs can't be taken by accident.
    @Test func theExampleIsNobodysKey() throws {
        let example = try Configuration.load(path: repository.appending(path: "systemd/config.yaml").path)
        #expect(example.node == nil)
        let error = #expect(throws: Failure.self) { try example.loadRecipients() }
        #expect(
            error?.message.contains("systemd/config.yaml\", line ") == true
                && error?.message.contains("example") == true)
        #expect(error?.hint?.contains("your own public key") == true)
        let readme = try String(contentsOf: repository.appending(path: "README.md"), encoding: .utf8)
        let published = try #require(readme.firstMatch(of: /Public key: (age1[a-z0-9]+)/)).1
        for text in [String(published), "age1…", "age1...", "age1<your key>", "age1examplekey", "age1xxxxxxxx", "age1"]
        {
            let error = try #require(throws: (any Error).self) { try Keys.recipients([text], files: []) }
            #expect(Failure(wrapping: error).message.contains("example"), "\(text)")
        }
    }

    @Test func recipientsHaveLabels() throws {
        let recipient = try X25519Identity.generate().recipient
        let configuration = try parse("recipients: [{key: \(recipient.string), label: offline key}]")
        let fingerprint = try #require(recipient.fingerprint)
        #expect(configuration.recipientLabels == [fingerprint: "offline key"])
        let records = Keys.records(try configuration.loadRecipients(), labels: configuration.recipientLabels)
        #expect(records.map(\.name) == ["offline key (X25519 \(fingerprint))"])
        expectUsage("recipients: [{key: age1x, labl: y}]", saying: "unknown key \"labl\"", "line 1")
    }

    @Test(arguments: [String.Encoding.utf16LittleEndian, .utf16BigEndian, .utf8])
    func mayBeSavedOnWindows(encoding: String.Encoding) throws {
        for mark in ["\u{FEFF}", ""] {
            let bytes = Array(try #require("\(mark)cluster: prod\r\nnode: n\r\n".data(using: encoding)))
            let configuration = try Configuration.parse(bytes, name: "config.yaml")
            #expect(configuration.cluster == "prod" && configuration.node == "n")
        }
    }

    @Test(arguments: ["", "\n", "# only a comment\n", "---\n", "{}"])
    func mayBeEmpty(text: String) throws { #expect(try parse(text) == Configuration()) }

    @Test func classesHaveRulesOfTheirOwn() throws {
        let text = "class: monthly\nretention: {keepLast: 2, floor: 4, classes: {monthly: {keepMonthly: 12}, x: {}}}"
        let configuration = try parse(text)
        #expect(configuration.retentionClass == "monthly")
        let rules = try #require(try configuration.retention?.rules())
        #expect(rules.last == 2 && rules.floor.count == 4 && rules.classes.keys.sorted() == ["monthly", "x"])
        #expect(rules.classes["monthly"]?.monthly == 12 && rules.classes["monthly"]?.last == nil)
        for (text, name) in [
            ("classes: {A: {keepLast: 1}}", "A"), ("classes: {a-: {keepLast: 1}}", "a-"),
            ("classes: {a: {floor: 1}}", "a"),
            ("classes: {a: {classes: {b: {keepLast: 1}}}}", "a"), ("classes: {a: {keepWithin: soon}}", "soon"),
        ] {
            let error = #expect(throws: Failure.self) { try parse("retention: {\(text)}").retention?.rules() }
            #expect(error?.code == .usage && error?.message.contains(name) == true, "\(text)")
        }
        expectUsage("retention:\n  classes:\n    a: {keepLats: 1}", saying: "retention.classes.a", "on line 3")
        expectUsage("stores: [{name: a, location: /a, retention: {classes: {a: {keepLats: 1}}}}]", saying: "keepLats")
    }

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

    /// Values that can't be meant are refused with their place.
    @Test(arguments: [
        ("accept: [{code: nosuch-code, reason: x}]", "accept.0", "nosuch-code"),
        ("accept: [{code: algorithm-week, reason: x}]", "accept.0", "algorithm-weak"),
        ("accept: [{code: file-empty, reason: x, until: 2026-02-31}]", "accept.0", "2026-02-31"),
        ("accept: [{code: file-empty, reason: x, until: 2026-13-01}]", "accept.0", "2026-13-01"),
        ("accept: [{code: file-empty, reason: x, until: 2027-02-29}]", "accept.0", "2027-02-29"),
        ("expiryWarningDays: -3", "expiryWarningDays", "-3"),
        ("expiryWarningDays: 100000", "expiryWarningDays", "36500"),
        ("fileByteLimits: {cni-state: -1}", "fileByteLimits.cni-state", "-1"),
    ])
    func valuesThatCannotBeMeant(yaml: String, place: String, words: String) throws {
        let configuration = try Configuration.parse(Array("discover: false\n\(yaml)\n".utf8), name: "c.yaml")
        let failure = #expect(throws: Failure.self) { try NodePlan.make(configuration) }
        let text = "\(failure?.message ?? "") \(failure?.hint ?? "")"
        #expect(failure?.code == .usage && text.contains("line 2: \(place)") && text.contains(words), "\(text)")
    }

    @Test func valuesAtTheLimitsAreTaken() throws {
        let yaml = "discover: false\nexpiryWarningDays: 0\naccept: [{code: leftovers, reason: x, until: 2028-02-29}]\n"
        #expect(try NodePlan.make(Configuration.parse(Array(yaml.utf8), name: "c.yaml")).expiryWarningDays == 0)
    }

    @Test(arguments: ["dialTimeoutSeconds: 0", "stallTimeoutSeconds: -1", "timeoutSeconds: 10000000"])
    func timesThatCannotBe(line: String) throws {
        let configuration = try Configuration.parse(Array("etcd:\n  \(line)\n".utf8), name: "c.yaml")
        let failure = #expect(throws: Failure.self) { try configuration.checkEtcds() }
        #expect(failure?.message.contains("line 2: etcd.\(line.split(separator: ":")[0])") == true)
    }

    @Test func oneKeyTwiceIsNotTwoKeys() throws {
        let key = "age1f8x0mfger04nyeys5v75sld88ggljlq2ptljx0xnddavr464j9mqprc4lv"
        let configuration = try Configuration.parse(Array("recipients:\n- \(key)\n- \(key)\n".utf8), name: "c.yaml")
        let failure = #expect(throws: Failure.self) { try configuration.loadRecipients() }
        #expect(
            failure?.message.contains("line 3: recipients.1") == true
                && failure?.message.contains("recipients.0") == true)
    }

    @Test func includeTakesNoPatterns() throws {
        let configuration = try Configuration.parse(
            Array("discover: false\ninclude: [/nonexistent/*.conf]\n".utf8), name: "c.yaml")
        let plan = try NodePlan.make(configuration)
        let findings = plan.judged(try plan.survey { _ in }.findings)
        #expect(findings.map(\.subject) == ["/nonexistent/*.conf"])
        #expect(findings.first?.advice?.contains("no patterns") == true)
    }
}
