import Foundation
import HostIO
import TestSupport
import Testing

@testable import S3

private let json = """
    {"Code":"Success","LastUpdated":"2026-11-27T00:00:00Z","Type":"AWS-HMAC","AccessKeyId":"ASIAEXAMPLE",
     "SecretAccessKey":"s/e+cret","Token":"to+ken==","Expiration":"2026-11-27T09:12:56Z"}
    """

private func text(_ text: String) -> S3CredentialFile {
    S3CredentialFile(path: "token", bytes: SecretBytes(text), mode: nil)
}

@Suite struct InstanceMetadataTests {
    private let metadata = InstanceMetadata()

    @Test func requestsAreThoseOfVersion2() throws {
        let token = SecretBytes("AQAEAtok==")
        let first = metadata.tokenRequest
        #expect(first.method == .put && first.url == "http://169.254.169.254/latest/api/token")
        #expect(first.headers["x-aws-ec2-metadata-token-ttl-seconds"] == "21600")
        let base = "http://169.254.169.254/latest/meta-data/"
        #expect(metadata.roleRequest(token: token).url == base + "iam/security-credentials/")
        let request = metadata.credentialsRequest(role: "ro+le", token: token)
        #expect(request.url == base + "iam/security-credentials/ro%2Ble")
        #expect(request.headers["X-aws-ec2-metadata-token"] == "AQAEAtok==" && !request.mayUseProxy)
        #expect(request.timeoutSeconds <= 1 && !"\(request) \(String(reflecting: request))".contains("AQAEAtok"))
        #expect(InstanceMetadata(usesIPv6: true).tokenRequest.url == "http://[fd00:ec2::254]/latest/api/token")
        #expect(metadata.regionRequest(token: token).url == base + "placement/region")
    }

    @Test func answersAreRead() throws {
        #expect(try metadata.token(from: response(200, "AQAEAtok==")).text == "AQAEAtok==")
        #expect(try metadata.role(from: response(200, "my-role\nother")) == "my-role")
        #expect(try metadata.region(from: response(200, "eu-west-1")) == "eu-west-1")
        let credentials = try metadata.credentials(from: response(200, json))
        #expect(credentials.accessKeyID == "ASIAEXAMPLE" && credentials.secretAccessKey.text == "s/e+cret")
        #expect(credentials.sessionToken?.text == "to+ken==")
        #expect(credentials.expiration == now.addingTimeInterval(6 * 3600))
    }

    @Test(arguments: [
        (404, ""), (200, ""), (200, "a b"), (200, "<html>"), (200, "../../x"), (200, "r\u{7}"), (401, "Unauthorized"),
    ])
    func othersAreNoRole(status: Int, body: String) {
        #expect(throws: S3Error.self) { try metadata.role(from: response(status, body)) }
    }

    @Test(arguments: [
        (200, "", "no JSON"), (200, "{", "no JSON"), (200, "[]", "no JSON"), (200, "<html>", "no JSON"),
        (200, "{\"Code\":\"Success\",\"AccessKeyId\":\"hush\"}", "no SecretAccessKey"),
        (200, "{\"SecretAccessKey\":\"hush\"}", "no AccessKeyId"),
        (200, "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"hush\",\"Expiration\":\"soon\"}", "Expiration"),
        (200, "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"hu sh\"}", "blanks"),
        (200, "{\"Code\":\"AssumeRoleUnauthorizedAccess\",\"Message\":\"no trust\"}", "no trust"),
        (404, "<html>none</html>", "<html>none"),
        (400, "{\"code\":\"InvalidInput\",\"message\":\"bad\"}", "InvalidInput"),
    ])
    func othersAreNoCredentials(status: Int, body: String, problem: String) throws {
        let error = try #require(throws: S3Error.self) { try metadata.credentials(from: response(status, body)) }
        #expect(error.description.contains(problem), "\(error)")
        #expect(error.description.hasPrefix("cannot get credentials from the metadata of this instance: "))
        #expect(!error.description.contains("hush") && !error.description.contains("hu sh"))
    }

    @Test func whatPassesIsTriedAgain() throws {
        let error = try #require(throws: S3Error.self) { try metadata.token(from: response(503)) }
        #expect(error.retry == .withBackoff)
        let none = try #require(throws: S3Error.self) { try metadata.role(from: response(404)) }
        #expect(none.retry == .never && none.isNotFound)
    }
}

@Suite struct ContainerCredentialsTests {
    @Test(arguments: [
        "http://169.254.170.23/v1/credentials", "http://[fd00:ec2::23]/v1/credentials", "http://127.0.0.1:51679/x?y=1",
        "http://127.8.8.8/x", "http://[::1]:80/x", "http://localhost:8080/x", "https://creds.example.com/x",
    ])
    func nearAddressesAreAsked(uri: String) throws {
        let request = try ContainerCredentials(fullURI: uri).request(token: text("tok en\n"))
        #expect(request.headers["Authorization"] == "tok en" && request.method == .get)
        #expect(request.url == uri.replacingOccurrences(of: ":80/", with: "/"))
        #expect(request.mayUseProxy == uri.hasPrefix("https"))
    }

    @Test(arguments: [
        "http://creds.example.com/x", "http://169.254.169.254/x", "http://10.0.0.1/x",
        "http://127.0.0.1.evil.example/x",
        "http://127.0.0.1@evil.example/x", "http://[::2]/x", "ftp://127.0.0.1/", "127.0.0.1/x", "http://127.0.0.1/a b",
        "http://localhost.evil/x",
    ])
    func othersAreNot(uri: String) { #expect(throws: Failure.self) { _ = try ContainerCredentials(fullURI: uri) } }

    @Test func relativePathsAreBelowTheAgent() throws {
        let request = try ContainerCredentials(relativeURI: "/v2/credentials/abc").request(token: nil)
        #expect(request.url == "http://169.254.170.2/v2/credentials/abc" && request.headers.fields.isEmpty)
        for path in ["v2", "@evil.example/", "", "/a b", "/a\r\nb"] {
            #expect(throws: Failure.self) { _ = try ContainerCredentials(relativeURI: path) }
        }
        let agent = try ContainerCredentials(relativeURI: "/x")
        #expect(try agent.credentials(from: response(200, json)).accessKeyID == "ASIAEXAMPLE")
        #expect(throws: Failure.self) { _ = try agent.request(token: text("\n")) }
    }
}

@Suite struct WebIdentityTests {
    private let identity = WebIdentity(roleARN: "arn:aws:iam::1:role/b", tokenPath: "token")

    @Test func theRequestIsAForm() throws {
        let request = try identity.request(token: text("eyJ.a+b/c=\n"), region: "eu-west-1")
        #expect(request.url == "https://sts.eu-west-1.amazonaws.com/" && request.method == .post)
        #expect(request.headers["Content-Type"] == "application/x-www-form-urlencoded")
        #expect(
            String(decoding: request.body, as: UTF8.self)
                == "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fb"
                + "&RoleSessionName=etcd-snap&WebIdentityToken=eyJ.a%2Bb%2Fc%3D")
        #expect(try WebIdentity.endpoint(region: "cn-north-1") == "https://sts.cn-north-1.amazonaws.com.cn")
        #expect(throws: Failure.self) { _ = try identity.request(token: text("\n"), region: "eu-west-1") }
        #expect(throws: Failure.self) {
            _ = try identity.request(token: text("t"), region: "eu-west-1", endpoint: "http://sts.example.com")
        }
        #expect(
            try identity.request(token: text("t"), region: "eu-west-1", endpoint: "http://127.0.0.1:1").url
                == "http://127.0.0.1:1/")
    }

    @Test func theAnswerIsRead() throws {
        let recorded = try recorded("moto/assume-role")
        let credentials = try identity.credentials(from: recorded)
        #expect(credentials.accessKeyID.hasPrefix("ASIA") && credentials.secretAccessKey.count == 40)
        #expect((credentials.sessionToken?.count ?? 0) > 100 && credentials.expiration != nil)
        for count in 0..<(recorded.body.count - 1) {
            var cut = recorded
            cut.body = Array(cut.body[..<count])
            let error = #expect(throws: S3Error.self) { _ = try identity.credentials(from: cut) }
            let shown = error?.description ?? ""
            #expect(!shown.contains(credentials.secretAccessKey.text) && error?.retry == .withBackoff)
        }
    }

    @Test func refusalsAreRead() throws {
        let body =
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>"
            + "<Code>ExpiredTokenException</Code><Message>Token expired</Message></Error><RequestId>r-1</RequestId></ErrorResponse>"
        let error = try #require(throws: S3Error.self) { _ = try identity.credentials(from: response(400, body)) }
        #expect(error.code == "ExpiredTokenException" && error.retry == .onceWithFreshCredentials)
        #expect(error.description.hasPrefix("cannot assume role \"arn:aws:iam::1:role/b\": the token has expired"))
        #expect(throws: S3Error.self) { _ = try identity.credentials(from: response(200, "<html/>")) }
    }
}

@Suite struct MultipartPlanTests {
    @Test func partsAreOfOneSize() throws {
        let size = MultipartPlan.partByteCount
        let plan = try MultipartPlan(byteCount: 2 * size + 1)
        #expect(plan.partCount == 3 && !plan.fitsIntoOneRequest)
        #expect(plan.range(ofPart: 1) == 0..<size && plan.range(ofPart: 3) == (2 * size)..<(2 * size + 1))
        #expect(plan.range(ofPart: 0) == nil && plan.range(ofPart: 4) == nil)
        #expect(
            try MultipartPlan(byteCount: 2 * size).partCount == 2 && MultipartPlan(byteCount: size).fitsIntoOneRequest)
        #expect(try MultipartPlan(byteCount: 0).partCount == 1 && MultipartPlan(byteCount: 0).range(ofPart: 1) == 0..<0)
        let unknown = try MultipartPlan(byteCount: nil)
        #expect(unknown.partCount == nil && !unknown.fitsIntoOneRequest && unknown.range(ofPart: 1) == nil)
    }

    @Test func whatDoesNotFitIsRefusedWithNumbers() throws {
        #expect(MultipartPlan.maximumByteCount == 167_772_160_000)
        #expect(try MultipartPlan(byteCount: 167_772_160_000).partCount == 10_000)
        let failure = try #require(throws: Failure.self) { _ = try MultipartPlan(byteCount: 167_772_160_001) }
        for number in ["167772160001", "167772160000", "10000", "16777216"] {
            #expect(failure.message.contains(number))
        }
        #expect(failure.hint != nil)
    }
}
