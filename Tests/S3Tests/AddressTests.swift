import HostIO
import Testing

@testable import S3

@Suite struct LocationTests {
    @Test(arguments: [
        ("s3://bucket", "bucket", ""), ("s3://bucket/", "bucket", ""), ("S3://bucket/a/b//", "bucket", "a/b"),
        ("s3://my.bucket-1/clusters/prod ü", "my.bucket-1", "clusters/prod ü"),
        ("s3://Old_Bucket/x", "Old_Bucket", "x"),
    ])
    func locationsAreRead(text: String, bucket: String, prefix: String) throws {
        let location = try S3Location(text)
        #expect(location.bucket == bucket && location.prefix == prefix)
        #expect(try S3Location(location.description) == location)
    }

    @Test(arguments: [
        ("", "no place"), ("bucket/prefix", "no place"), ("https://bucket", "no place"), ("s3:/bucket", "no place"),
        ("s3://", "missing"), ("s3:///prefix", "missing"), ("s3://ab", "2 characters"),
        ("s3://key:secret@bucket/x", "user"),
        ("s3://bucket:9000/x", "port"), ("s3://bück-et", "other characters"), ("s3://-bucket", "hyphen"),
        ("s3://buck..et", "two dots"), ("s3://192.168.0.1/x", "IP address"), ("s3://bucket/a//b", "two in a row"),
        ("s3://bucket/a/../b", "segment"), ("s3://bucket/\u{7}", "control character"),
        ("s3://" + String(repeating: "b", count: 64), "64 characters"),
    ])
    func othersAreRefused(text: String, problem: String) throws {
        let failure = try #require(throws: Failure.self) { _ = try S3Location(text) }
        #expect(failure.code == .usage && failure.message.contains(problem), "\(failure)")
        #expect(failure.hint != nil && !failure.message.contains("secret"))
    }

    @Test func keysAreBelowThePrefix() throws {
        #expect(try S3Location("s3://bucket").key("a/b").text == "a/b")
        #expect(try S3Location("s3://bucket/p/q").key("a/b").text == "p/q/a/b")
        #expect(throws: Failure.self) { _ = try S3Location("s3://bucket/p").key("../b") }
    }
}

@Suite struct KeyTests {
    @Test(arguments: [
        ("", "empty"), ("/a", "slash"), ("a/", "slash"), ("a//b", "slash"), (".", "segment"), ("a/..", "segment"),
        ("a\\b", "backslash"), ("a\u{FFFD}", "FFFD"), ("a\u{1F}b", "control"), ("a\u{7F}", "control"),
        ("a\u{85}", "control"),
        ("a\u{FFFF}", "control"),
        (String(repeating: "ü/", count: 400), "1200 bytes"), (String(repeating: "a", count: 256), "256 bytes"),
    ])
    func othersAreRefused(text: String, problem: String) throws {
        let failure = try #require(throws: Failure.self) { _ = try S3Key(text) }
        #expect(failure.message.contains(problem), "\(failure)")
        #expect(!S3Key(listed: text).followsRules)
    }

    @Test func keysAreComparedByBytes() throws {
        let composed = try S3Key("\u{E9}")
        let decomposed = try S3Key("e\u{301}")
        #expect(composed != decomposed && Set([composed, decomposed]).count == 2 && decomposed < composed)
        #expect(try S3Key("a-") < S3Key("a/x") && S3Key("Z") < S3Key("a") && S3Key("z") < S3Key("ä"))
    }
}

@Suite struct EndpointTests {
    private func url(_ endpoint: S3Endpoint, bucket: String = "bucket") -> String {
        let bucket = S3Bucket(bucket, at: endpoint)
        return bucket.origin + bucket.path(of: .object(S3Key(listed: "k y")))
    }

    @Test func amazonsNamesFollowFromTheRegion() throws {
        #expect(try url(.amazon(region: "eu-west-1")) == "https://bucket.s3.eu-west-1.amazonaws.com/k%20y")
        #expect(try url(.amazon(region: "eu-west-1"), bucket: "a.b") == "https://s3.eu-west-1.amazonaws.com/a.b/k%20y")
        #expect(try url(.amazon(region: "eu-west-1"), bucket: "A_b") == "https://s3.eu-west-1.amazonaws.com/A_b/k%20y")
        #expect(
            try url(.amazon(region: "us-gov-west-1", isDualStack: true, isFIPS: true))
                == "https://bucket.s3-fips.dualstack.us-gov-west-1.amazonaws.com/k%20y")
        #expect(
            try url(.amazon(region: "cn-north-1", isDualStack: true, style: .path))
                == "https://s3.dualstack.cn-north-1.amazonaws.com.cn/bucket/k%20y")
        #expect(throws: Failure.self) { _ = try S3Endpoint.amazon(region: "cn-north-1", isFIPS: true) }
        #expect(throws: Failure.self) { _ = try S3Endpoint.amazon(region: "evil.example/") }
    }

    @Test(arguments: [
        ("http://127.0.0.1:8333", "http://127.0.0.1:8333/bucket/k%20y", "us-east-1"),
        ("https://S3.Example.com:443//", "https://s3.example.com/bucket/k%20y", "us-east-1"),
        ("http://[0:0::1]:80", "http://[::1]/bucket/k%20y", "us-east-1"),
        ("https://x.r2.cloudflarestorage.com", "https://x.r2.cloudflarestorage.com/bucket/k%20y", "auto"),
        ("https://s3.eu-west-3.amazonaws.com", "https://bucket.s3.eu-west-3.amazonaws.com/k%20y", "eu-west-3"),
        ("https://s3.amazonaws.com", "https://bucket.s3.us-east-1.amazonaws.com/k%20y", "us-east-1"),
        (
            "https://s3-fips.dualstack.us-west-2.amazonaws.com",
            "https://bucket.s3-fips.dualstack.us-west-2.amazonaws.com/k%20y", "us-west-2"
        ),
        (
            "https://vpce-1.s3.eu-west-1.vpce.amazonaws.com",
            "https://bucket.vpce-1.s3.eu-west-1.vpce.amazonaws.com/k%20y",
            "us-east-1"
        ),
        ("http://s3.eu-west-2.amazonaws.com", "http://bucket.s3.eu-west-2.amazonaws.com/k%20y", "eu-west-2"),
        ("http://rook_ceph-rgw.svc", "http://rook_ceph-rgw.svc/bucket/k%20y", "us-east-1"),
    ])
    func endpointsAreRead(text: String, expected: String, region: String) throws {
        let endpoint = try S3Endpoint(url: text)
        #expect(url(endpoint) == expected && endpoint.region == region)
    }

    @Test func theStyleCanBeChosen() throws {
        #expect(
            try url(S3Endpoint(url: "https://s3.example.com:9000", style: .virtualHost))
                == "https://bucket.s3.example.com:9000/k%20y")
        #expect(
            try url(S3Endpoint(url: "https://s3.example.com", style: .virtualHost), bucket: "a.b")
                == "https://a.b.s3.example.com/k%20y")
        let failure = try #require(throws: Failure.self) {
            _ = try S3Endpoint(url: "http://127.0.0.1:8333", style: .virtualHost)
        }
        #expect(failure.message.contains("address"))
        let bucket = S3Bucket("bucket", at: try .amazon(region: "eu-west-1"))
        #expect(bucket.path(of: .bucket) == "/")
        #expect(S3Bucket("bucket", at: try S3Endpoint(url: "http://h")).path(of: .bucket) == "/bucket")
    }

    @Test func anotherRegionHasAnotherNameOnlyAtAmazon() throws {
        let amazon = try #require(try S3Endpoint.amazon(region: "us-east-1").inRegion("ap-south-2"))
        #expect(url(amazon) == "https://bucket.s3.ap-south-2.amazonaws.com/k%20y")
        let own = try #require(try S3Endpoint(url: "http://h:1").inRegion("garage"))
        #expect(own.region == "garage" && url(own) == "http://h:1/bucket/k%20y")
        #expect(try S3Endpoint.amazon().inRegion("evil.example") == nil)
        #expect(try S3Endpoint(url: "http://h").inRegion("a/b") == nil)
    }

    @Test(arguments: [
        ("s3.example.com", "scheme"), ("ftp://h", "scheme"), ("https://", "no host"), ("https://h/path", "path"),
        ("https://h?x", "query"), ("https://user:pass-word@h", "user"), ("https://h:0", "port"),
        ("https://h:65536", "port"),
        ("https://h:", "port"), ("https://h:8a", "port"), ("https://::1", "brackets"), ("https://[::1", "not closed"),
        ("https://[::g]", "IPv6"), ("https://[fe80::1%25eth0]", "IPv6"), ("https://[::1]x", "port"),
        ("https://a..b", "no name"), ("https://bücher.example", "no name"), ("https://300.1.1.1", "IPv4"),
        ("https://a b", "no name"),
    ])
    func othersAreRefused(text: String, problem: String) throws {
        let failure = try #require(throws: Failure.self) { _ = try S3Endpoint(url: text) }
        #expect(failure.code == .usage && failure.message.contains(problem), "\(failure)")
        #expect(failure.hint != nil && !failure.message.contains("pass-word"))
    }
}
