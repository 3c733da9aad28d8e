import Foundation
import HostIO
import TestSupport
import Testing

@testable import S3

private func file(_ text: String, mode: UInt16? = 0o600, path: String = "creds") -> S3CredentialFile {
    S3CredentialFile(path: path, bytes: SecretBytes(text), mode: mode)
}

private let keys = "aws_access_key_id = \(exampleKey)\naws_secret_access_key = \(exampleSecret)\n"

private func signer(_ profile: S3Profile) throws -> S3Credentials {
    guard case .keys(let credentials)? = profile.source else { throw TestSupportError("\(profile) has no keys") }
    return credentials
}

@Suite struct ProfileTests {
    private func failure(_ text: String, config: String? = nil, named name: String = "default") throws -> Failure {
        try #require(throws: Failure.self) {
            _ = try S3Profile(named: name, credentials: file(text), config: config.map { file($0, path: "config") })
        }
    }

    @Test func bothFilesAreRead() throws {
        let credentials =
            "# mine\n\n[default]\n\(keys)\r\n[ other ]\naws_access_key_id=AKIAOTHER\nAWS_SECRET_ACCESS_KEY=o/+=x\n"
            + "aws_session_token = t/o=k==\n"
        let config =
            "[default]\nregion = eu-west-1\noutput = json\n; c\n[profile other]\nregion=eu-west-2\n"
            + "endpoint_url = https://s3.example.com:9000\ns3 =\n  addressing_style = path\n  max_concurrent_requests = 20\n"
            + "use_dualstack_endpoint = true\nuse_fips_endpoint = FALSE\nca_bundle = /etc/ca.pem\ncli_pager =\n"
        let first = try S3Profile(credentials: file(credentials), config: file(config, mode: 0o644))
        #expect(try signer(first).accessKeyID == exampleKey && signer(first).secretAccessKey.text == exampleSecret)
        #expect(first.region == "eu-west-1" && first.endpointURL == nil && first.style == nil && !first.usesDualStack)
        let other = try S3Profile(named: "other", credentials: file(credentials), config: file(config))
        #expect(try signer(other).sessionToken?.text == "t/o=k==" && signer(other).secretAccessKey.text == "o/+=x")
        #expect(
            other.region == "eu-west-2" && other.endpointURL == "https://s3.example.com:9000" && other.style == .path)
        #expect(other.usesDualStack && !other.usesFIPS && other.authoritiesPath == "/etc/ca.pem")
    }

    @Test func aFileOfCredentialsAloneNeedsNoHeading() throws {
        #expect(try signer(S3Profile(alone: file(keys))).accessKeyID == exampleKey)
        #expect(try signer(S3Profile(alone: file("[default]\n" + keys))).accessKeyID == exampleKey)
        for text in ["", "\n# none\n", "[other]\n" + keys] {
            #expect(throws: Failure.self) { _ = try S3Profile(alone: file(text)) }
        }
    }

    @Test(arguments: [
        ("[default]\nrole_arn = arn:x\nsource_profile = base\n", ["role_arn", "source_profile"]),
        ("[default]\nsso_session = s\nsso_account_id = 1\n", ["sso_session", "sso_account_id"]),
        ("[default]\ncredential_process = /bin/x\n", ["credential_process"]),
        ("[default]\n\(keys)mfa_serial = x\n", ["mfa_serial"]), ("[default]\nservices = s\n", ["services"]),
    ])
    func whatIsNotDoneIsNamed(text: String, named: [String]) throws {
        for failure in [try failure(text), try failure("[default]\n\(keys)", config: text)] {
            for name in named { #expect(failure.message.contains(name), "\(failure)") }
            #expect(failure.code == .usage && failure.hint != nil)
        }
    }

    @Test func webIdentitiesAreRead() throws {
        let text = "[default]\nrole_arn = arn:aws:iam::1:role/backup\nweb_identity_token_file = /var/run/token\n"
        guard case .webIdentity(let identity)? = try S3Profile(credentials: nil, config: file(text)).source else {
            throw TestSupportError("no web identity")
        }
        #expect(identity == WebIdentity(roleARN: "arn:aws:iam::1:role/backup", tokenPath: "/var/run/token"))
        #expect(try failure("[default]\nweb_identity_token_file = /x\n").message.contains("role_arn"))
    }

    @Test(arguments: [
        ("[default\n\(keys)", "line 1"), ("[default]\nwhat is this\n", "line 2"), ("[default]\n= x\n", "line 2"),
        ("[default]\n\(keys)aws_access_key_id = other\n", "again"),
        ("[default]\n\(keys)[default]\n\(keys)", "lines 1 and 4"),
        ("[default]\naws_access_key_id = a\n  aws_secret_access_key = b\n", "indented"),
        ("[default]\naws_access_key_id = AKIA\n", "without its secret"),
        ("[default]\naws_secret_access_key = x\n", "without its access key"),
        ("[default]\naws_access_key_id = AKIA\naws_secret_access_key = \"hush\"\n", "quotation mark"),
        ("[default]\naws_access_key_id = 'AKIA'\naws_secret_access_key = hush\n", "quotation mark"),
        ("[default]\naws_access_key_id = AKIA\naws_secret_access_key = hush hush\n", "blanks"),
        ("[default]\naws_access_key_id = hu/sh\naws_secret_access_key = AKIA\n", "slashes"),
        ("[default]\n\(keys)use_fips_endpoint = perhaps\n", "use_fips_endpoint"),
        ("[default]\n\(keys)s3 =\n  addressing_style = odd\n", "addressing_style"),
        ("[other]\n\(keys)", "no profile \"default\""), ("", "no profile"),
    ])
    func whatIsWrongIsNamedWithoutSecrets(text: String, problem: String) throws {
        let failure = try failure(text)
        #expect(failure.message.contains(problem), "\(failure)")
        let shown = failure.message + (failure.hint ?? "")
        for secret in ["hush", exampleSecret, "what is this"] { #expect(!shown.contains(secret)) }
    }

    @Test(arguments: [
        (UInt16(0o600), true), (0o400, true), (0o640, true), (0o440, true), (0o644, false), (0o604, false),
        (0o660, false),
        (0o620, false), (0o602, false),
    ])
    func othersMayNotReadSecrets(mode: UInt16, isAccepted: Bool) throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write("[default]\n" + keys, to: "credentials")
        #expect(chmod(path, mode_t(mode)) == 0)
        let opened = try S3CredentialFile(path: path)
        if isAccepted {
            #expect(try signer(S3Profile(credentials: opened)).accessKeyID == exampleKey)
        } else {
            let failure = try #require(throws: Failure.self) { _ = try S3Profile(credentials: opened) }
            #expect(failure.code == .untrusted && failure.message.contains("0\(String(mode, radix: 8))"))
        }
        // Settings alone are no secret.
        let config = try directory.write("[default]\nregion = x\n", to: "config")
        #expect(chmod(config, mode_t(mode)) == 0)
        #expect(try S3Profile(credentials: nil, config: S3CredentialFile(path: config)).region == "x")
    }

    @Test func damagedFilesNeverShowSecrets() throws {
        let secret = "wJalr:UtnFEMI/K7MDENG=bPxRfiCYEXAMPLEKEY"
        let text =
            "[default]\naws_access_key_id = \(exampleKey)\naws_secret_access_key = \(secret)\n\(secret)\n\(secret)\n"
        var generator = SeededGenerator(seed: 3)
        var failures = 0
        for _ in 0..<3000 {
            var bytes = Array(text.utf8)
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                bytes[Int.random(in: 0..<bytes.count, using: &generator)] ^=
                    1 << UInt8.random(in: 0..<8, using: &generator)
            }
            let damaged = S3CredentialFile(
                path: "creds", bytes: bytes.withUnsafeBytes { SecretBytes(copying: $0) }, mode: 0o600)
            do throws(Failure) {
                _ = try S3Profile(credentials: damaged)
            } catch let failure {
                failures += 1
                let shown = (failure.message + (failure.hint ?? "")).lowercased()
                for part in ["wjalr", "utnfemi", "7mdeng", "bpxrfi"] { #expect(!shown.contains(part), "\(failure)") }
                #expect(printable(shown) == shown)
            }
        }
        #expect(failures > 1000)
    }

    @Test func filesAreReadInAnyEncoding() throws {
        let directory = try TemporaryDirectory()
        for encoding: String.Encoding in [.utf16, .utf8] {
            let path = directory.file("credentials-\(encoding.rawValue)")
            let mark = encoding == .utf8 ? "\u{FEFF}" : ""
            try (mark + "[default]\r\n" + keys).data(using: encoding)?.write(to: URL(fileURLWithPath: path))
            #expect(chmod(path, 0o600) == 0)
            #expect(
                try signer(S3Profile(credentials: S3CredentialFile(path: path))).secretAccessKey.text == exampleSecret)
        }
        let large = directory.file("large")
        try Data(count: (1 << 20) + 1).write(to: URL(fileURLWithPath: large))
        for path in [directory.path, directory.file("none"), large] {
            #expect(throws: Failure.self) { _ = try S3CredentialFile(path: path) }
        }
    }

    /// As `aws configure set` of version 1 wrote them.
    @Test func filesOfTheCommandLineAreRead() throws {
        let directory = repository.appendingPathComponent("Tests/Fixtures/s3/aws-configure").path
        let profile = { (name: String) in
            let text = try String(contentsOfFile: "\(directory)/credentials", encoding: .utf8)
            return try S3Profile(
                named: name, credentials: file(text), config: S3CredentialFile(path: "\(directory)/config"))
        }
        let first = try profile("default")
        #expect(try signer(first).accessKeyID == exampleKey && signer(first).secretAccessKey.text == exampleSecret)
        #expect(first.region == "eu-central-1" && first.style == .path)
        let backup = try profile("backup")
        #expect(
            try signer(backup).accessKeyID == "AKIAI44QH8DHBEXAMPLE" && signer(backup).sessionToken?.text == "to/ken==")
        #expect(backup.region == "us-west-2" && backup.endpointURL == "https://s3.example.com:9000")
        #expect(throws: Failure.self) { _ = try profile("assumed") }
    }
}

@Suite struct CredentialTests {
    @Test func environmentsAreReadWhereAsked() throws {
        #expect(try S3Credentials.environment([:])?.accessKeyID == nil)
        let variables = [
            "AWS_ACCESS_KEY_ID": exampleKey, "AWS_SECRET_ACCESS_KEY": exampleSecret, "AWS_SESSION_TOKEN": "tok",
        ]
        let credentials = try #require(try S3Credentials.environment(variables))
        #expect(credentials.sessionToken?.text == "tok" && credentials.secretAccessKey.text == exampleSecret)
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            var half = variables
            half[name] = ""
            let failure = try #require(throws: Failure.self) { _ = try S3Credentials.environment(half) }
            #expect(failure.message.contains(name) && !failure.message.contains(exampleSecret))
        }
    }

    @Test func credentialsAreRenewedBeforeTheyEnd() throws {
        let ends = { (seconds: Double) in
            try S3Credentials(
                accessKeyID: "A", secretAccessKey: SecretBytes("s"), expiration: now.addingTimeInterval(seconds),
                origin: "x")
        }
        #expect(try ends(299).needRenewal(at: now) && ends(-1).needRenewal(at: now) && !ends(301).needRenewal(at: now))
        #expect(try !credentials().needRenewal(at: now))
    }
}
