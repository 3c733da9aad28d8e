import EncryptionAtRest
import Testing

@Suite struct EncryptionComparisonTests {
    private func configuration(_ keys: [(kind: String, name: String, secret: String)]) throws -> EncryptionConfiguration
    {
        let providers = keys.map { "{\($0.kind): {keys: [{name: \($0.name), secret: \($0.secret)}]}}" }
        let text = """
            kind: EncryptionConfiguration
            resources: [{resources: [secrets], providers: [\((providers + ["{identity: {}}"]).joined(separator: ", "))]}]
            """
        return try EncryptionConfiguration(parsing: Array(text.utf8), path: "/e", keepingSecrets: true)
    }

    private static let one = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
    private static let other = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE="

    @Test func orderAndFurtherKeysDoNotMatter() throws {
        let less = try configuration([("aescbc", "key1", Self.one)])
        let more = try configuration([("aesgcm", "key2", Self.other), ("aescbc", "key1", Self.one)])
        #expect(EncryptionConfiguration.missing(of: [less], in: [more]) == [])
        #expect(EncryptionConfiguration.missing(of: [more], in: [less]) == ["aesgcm:v1:key2"])
        #expect(EncryptionConfiguration.missing(of: [more], in: []) == ["aescbc:v1:key1", "aesgcm:v1:key2"])
        #expect(EncryptionConfiguration.missing(of: [], in: [less]) == [])
    }

    @Test func anotherSecretOfTheNameIsAnotherKey() throws {
        let own = try configuration([("aescbc", "key1", Self.one)])
        let changed = try configuration([("aescbc", "key1", Self.other)])
        #expect(EncryptionConfiguration.missing(of: [changed], in: [own]) == ["aescbc:v1:key1"])
    }

    @Test func pluginsCountByTheirNames() throws {
        func plugin(_ name: String) throws -> EncryptionConfiguration {
            let text = """
                kind: EncryptionConfiguration
                resources: [{resources: [secrets], providers: [{kms: {apiVersion: v2, name: \(name), endpoint: unix:///s}}]}]
                """
            return try EncryptionConfiguration(parsing: Array(text.utf8), path: "/e")
        }
        #expect(try EncryptionConfiguration.missing(of: [plugin("a")], in: [plugin("a")]) == [])
        #expect(try EncryptionConfiguration.missing(of: [plugin("a")], in: [plugin("b")]) == ["kms:v2:a"])
    }
}
