import Foundation
import HTTP
import HostIO
import TestSupport
import Testing

/// What proxies are written as.
@Suite struct ProxySettingsTests {
    @Test(arguments: [
        ("proxy", "http", "proxy:80"), ("proxy:3128", "http", "proxy:3128"),
        ("http://proxy:3128/", "http", "proxy:3128"),
        ("HTTPS://proxy", "https", "proxy:443"), ("socks5h://[::1]", "socks5h", "[::1]:1080"),
        ("http://u%40x:p%3A%2F@proxy:1", "http", "proxy:1"), ("http://a@b@10.0.0.1:8080", "http", "10.0.0.1:8080"),
    ])
    func proxiesAreRead(text: String, scheme: String, server: String) throws {
        let proxy = try HTTPProxy(text)
        #expect(proxy.scheme == scheme && proxy.server == server)
    }

    @Test(arguments: [
        "", "ftp://u:sesame@proxy", "http://u:sesame@", "http://u:sesame@proxy:0", "http://u:sesame@proxy/x",
        "http://u:sesame%@proxy", "http://u:sesame%0d%0a@proxy", "http://u:sesame@a b", "http://u:sesame@[::1", "://x",
    ])
    func othersAreRefusedWithoutTheirPassword(text: String) {
        let error = #expect(throws: HTTPError.self) { try HTTPProxy(text) }
        #expect(error?.failure.code == .usage)
        let said = "\(error?.failure.message ?? "") \(error?.failure.hint ?? "")"
        #expect(!said.contains("sesame"))
    }

    @Test func variablesAreThoseOfCurl() throws {
        let proxy = { (text: String) in try HTTPProxy(text) }
        #expect(try HTTPProxySettings(environment: [:]) == .none)
        #expect(try HTTPProxySettings(environment: ["http_proxy": "", "HTTPS_PROXY": "", "NO_PROXY": ""]) == .none)
        #expect(try HTTPProxySettings(environment: ["HTTP_PROXY": "a"]) == .none)
        #expect(
            try HTTPProxySettings(environment: ["http_proxy": "a", "HTTPS_PROXY": "b", "https_proxy": "c"])
                == HTTPProxySettings(plain: proxy("a"), encrypted: proxy("c")))
        #expect(
            try HTTPProxySettings(environment: ["ALL_PROXY": "a", "https_proxy": "b", "NO_PROXY": "x"])
                == HTTPProxySettings(plain: proxy("a"), encrypted: proxy("b"), exceptions: HTTPProxyExceptions("x")))
        #expect(throws: HTTPError.self) { try HTTPProxySettings(environment: ["https_proxy": "ftp://x"]) }
    }

    @Test(arguments: [
        ("*", "anything"), ("example.org", "example.org"), ("example.org", "a.b.example.org"),
        (".example.org", "example.org"), ("*.example.org", "a.example.org"), ("EXAMPLE.org.", "Example.ORG"),
        ("a, b;c ,localhost", "localhost"), ("a b\tc", "c"), ("10.0.0.1", "10.0.0.1"), ("10.0.0.0/8", "10.255.0.1"),
        ("10.16.0.0/12", "10.31.1.1"), ("0.0.0.0/0", "1.2.3.4"), ("fd00::/8", "fdff::1"), ("::1", "0:0::1"),
        ("[::1]", "::1"), ("example.org:443", "example.org"), ("10.0.0.1:443", "10.0.0.1"), ("[::1]:443", "::1"),
    ])
    func exceptions(list: String, host: String) {
        #expect(HTTPProxyExceptions(list).contains(host: host, port: 443))
    }

    @Test(arguments: [
        ("", "anything"), ("example.org", "badexample.org"), ("example.org", "example.org.evil"),
        ("a.example.org", "example.org"),
        ("10.0.0.1", "10.0.0.11"), ("10.0.0.0/8", "11.0.0.1"), ("10.16.0.0/12", "10.32.0.1"),
        ("10.0.0.0/33", "10.0.0.1"),
        ("fd00::/8", "10.0.0.1"), ("0.0.0.0/0", "::1"), ("0.0.0.1", "a.0.0.0.1"), ("example.org:80", "example.org"),
        ("org.", "orgs"), ("**", "a"), ("/", "a"),
    ])
    func whatIsNone(list: String, host: String) {
        #expect(!HTTPProxyExceptions(list).contains(host: host, port: 443))
    }
}

@Suite struct HTTPDateTests {
    @Test(arguments: [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777.0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Wed, 31 Dec 1969 23:59:59 GMT", -1), ("Tue, 29 Feb 2000 12:00:00 GMT", 951_825_600),
        ("Fri, 27 Nov 2026 03:12:54 GMT", 1_795_749_174), ("Mon, 01 Mar 2100 00:00:00 GMT", 4_107_542_400),
        ("Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_800),
    ])
    func dates(text: String, seconds: Double) {
        #expect(HTTPDate.parse(text)?.timeIntervalSince1970 == seconds)
    }

    @Test(arguments: [
        "", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT", "Tue, 29 Feb 1900 00:00:00 GMT", "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov 1994  08:49:37 GMT", "Xyz, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov +994 08:49:37 GMT",
    ])
    func othersAreNone(text: String) {
        #expect(HTTPDate.parse(text) == nil)
    }
}
