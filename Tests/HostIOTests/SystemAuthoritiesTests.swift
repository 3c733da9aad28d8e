import HostIO
import TestSupport
import Testing

@Suite struct SystemAuthoritiesTests {
    private static let certificate = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"

    @Test func theFirstBundleThatHasAnyIsTaken() throws {
        let directory = try TemporaryDirectory()
        let places = [
            directory.file("absent"), try directory.write("", to: "empty"),
            try directory.write("no certificate", to: "text"), try directory.write(Self.certificate, to: "bundle"),
        ]
        #expect(SystemAuthorities.pem(bundles: places, directories: []) == Array(Self.certificate.utf8))
    }

    @Test func filesOfADirectoryAreJoined() throws {
        let directory = try TemporaryDirectory()
        for name in ["b.pem", "a.0"] { try directory.write(Self.certificate + name, to: name) }
        let pem = SystemAuthorities.pem(bundles: [], directories: [directory.file("absent"), directory.path])
        #expect(pem == Array("\(Self.certificate)a.0\n\(Self.certificate)b.pem".utf8))
    }

    @Test func aHostWithoutAnyHasNone() throws {
        let directory = try TemporaryDirectory()
        #expect(SystemAuthorities.pem(bundles: [directory.file("absent")], directories: [directory.path]) == nil)
    }
}
