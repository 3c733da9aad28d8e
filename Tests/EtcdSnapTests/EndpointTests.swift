import HostIO
import Testing

@testable import EtcdSnap

@Suite struct EndpointTests {
    @Test(arguments: [
        ("https://10.0.0.1:2379", "https://10.0.0.1:2379", true),
        ("http://localhost:1", "http://localhost:1", false),
        ("HTTP://etcd-0.etcd.svc:65535/", "http://etcd-0.etcd.svc:65535", false),
        ("10.0.0.1", "https://10.0.0.1:2379", true),
        ("[fd00::1]", "https://[fd00::1]:2379", true),
        ("https://[::ffff:1.2.3.4]:99", "https://[::ffff:1.2.3.4]:99", true),
        ("300.1.1.1:5", "https://300.1.1.1:5", false),
    ])
    func reads(text: String, description: String, isAddress: Bool) throws {
        let endpoint = try Endpoint(parsing: text)
        #expect(endpoint.description == description)
        #expect(endpoint.isAddress == isAddress)
        #expect(try Endpoint(parsing: endpoint.description) == endpoint)
    }

    @Test(arguments: [
        "", "https://", "ftp://a:1", "unix:///run/etcd.sock", "a:", "a:0", "a:65536", "a:-1", "a:+1", "a:1:2",
        "fd00::1",
        "[fd00::1", "[fd00::1]x", "[localhost]:1", "[]:1", "a b:1", "a/b:1", "user@a:1", "a\n:1", "a%25:1", "ä:1",
        "http://http://a:1",
    ])
    func refuses(text: String) {
        #expect { try Endpoint(parsing: text) } throws: { ($0 as? Failure)?.code == .usage }
    }

    /// A user and a password are never shown, wherever they stand.
    @Test(arguments: [
        "http://user:swordfish@10.0.0.1:2379", "user:swordfish@10.0.0.1", "ftp://swordfish@h",
        "https://u:p@swordfish@h:1",
        "http://a:1,http://u:swordfish@b:1", "https://h:2379/?password=a@swordfish", "http://user:swordfish",
    ])
    func neverShowsAPassword(text: String) {
        let failure = #expect(throws: Failure.self) { try Endpoint(parsing: text) }
        #expect(failure?.code == .usage)
        #expect("\(failure?.message ?? "") \(failure?.hint ?? "")".contains("swordfish") == false)
        guard text.contains("@") else { return }
        #expect(failure?.message.contains("password") == true)
        #expect(failure?.settings.contains(.passwordFile) == true)
    }

    @Test(arguments: ["http://a http://b", "http://a;http://b", "http://a,http://b", "http://a\thttp://b"])
    func severalInOneAreTold(text: String) {
        let failure = #expect(throws: Failure.self) { try Endpoint(parsing: text) }
        #expect(failure?.hint?.contains("commas") == true)
    }

    /// What etcdctl takes, and certificates are compared with.
    @Test(arguments: [
        "https://[0:0:0:0:0:0:0:1]:1": "https://[::1]:1", "[FD00:0::1]:1": "https://[fd00::1]:1",
        "[::ffff:10.0.0.1]": "https://[::ffff:10.0.0.1]:2379", "https://a:1/": "https://a:1",
        "https://a:1/health": "https://a:1", "https://[::1]:1/v3?x=1": "https://[::1]:1",
    ])
    func formsOfOneAddress(text: String, expected: String) throws {
        #expect(try Endpoint(parsing: text).description == expected)
    }

    @Test func blanksAroundItAreNothing() throws {
        #expect(try Endpoint(parsing: " http://a:1\n") == Endpoint(parsing: "http://a:1"))
    }

    @Test func transportWithoutScheme() throws {
        #expect(try Endpoint(parsing: "a:1", transport: .plaintext).transport == .plaintext)
        #expect(try Endpoint(parsing: "https://a:1", transport: .plaintext).transport == .tls)
    }

    @Test func durations() {
        #expect(Duration.milliseconds(1500).milliseconds == 1500)
        #expect(Duration.seconds(-1).milliseconds == 0)
        #expect(Duration.seconds(Int64.max).milliseconds == .max)
        #expect(Duration.seconds(10_000_000).milliseconds == .max)
    }
}
