import Foundation
import Testing

/// Where flags of the command line may be spoken of: in `CommandLine` only, which alone knows them.
enum FlagScan {
    /// The flags that sources declare with ArgumentParser, such as `store` and `no-discover`.
    static func declared(in source: String) -> [String] {
        source.matches(of: #/@(?:Option|Flag)\b[\s\S]*?\bvar (\w+)/#).flatMap { match -> [String] in
            let custom = match.0.matches(of: #/\.customLong\("([a-z0-9-]+)"\)/#).map { String($0.1) }
            let name = custom.first ?? kebab(String(match.1))
            return match.0.contains(".prefixedNo") ? [name, "no-\(name)"] : [name]
        }
    }

    /// The flags that a source mentions outside its comments; also short ones behind this program's name.
    static func mentioned(in source: String) -> [String] {
        let lines = source.split(separator: "\n").filter { !$0.drop { $0 == " " }.hasPrefix("//") }
        let code = lines.joined(separator: "\n")
        let short = code.matches(of: #/etcd-snap [^"`\n]* -[a-zA-Z]\b/#).map { String($0.0) }
        return short + code.matches(of: #/--([a-z][a-z0-9]*(?:-[a-z0-9]+)*)/#).map { String($0.1) }
    }

    private static func kebab(_ name: String) -> String {
        name.reduce(into: "") { $0 += $1.isUppercase ? "-\($1.lowercased())" : String($1) }
    }
}

@Suite struct FlagTests {
    /// Flags of etcd, which some of this program's are named after, where those of a node are spoken of.
    private static let flagsOfOthers: [String: Set<String>] = ["PKIBackup": ["name", "initial-cluster", "endpoint"]]

    private static func declared() throws -> Set<String> {
        Set(try SourceFile.all().filter { $0.module == "CommandLine" }.flatMap { FlagScan.declared(in: $0.text) })
    }

    @Test func onlyTheCommandLineSpeaksOfFlags() throws {
        let own = try Self.declared()
        #expect(own.isSuperset(of: ["store", "cacert", "bump-revision", "pq", "identity", "no-discover", "dry-run"]))
        for file in try SourceFile.all() where file.module != "CommandLine" {
            let mentioned = FlagScan.mentioned(in: file.text).filter { own.contains($0) || $0.contains(" ") }
            let wrong = mentioned.filter { Self.flagsOfOthers[file.module]?.contains($0) != true }
            #expect(wrong.isEmpty, "\(file.name) speaks of flags: its hints have settings for that")
        }
    }

    /// A setting without a flag, or with one that does not exist, would send people astray.
    @Test func everySettingHasAFlag() throws {
        let files = try SourceFile.all()
        let table = try #require(files.first { $0.name == "CommandLine/Flags.swift" }).text
        let pairs = table.matches(of: #/"(\w+)": "-+([a-zA-Z0-9-]+)"/#).map { (String($0.1), String($0.2)) }
        let settings = files.filter { $0.name.hasSuffix("/Settings.swift") }
            .flatMap { $0.text.matches(of: #/Self\("(\w+)"\)/#).map { String($0.1) } }
        #expect(settings.count > 20)
        #expect(Set(settings) == Set(pairs.map(\.0)))
        let own = try Self.declared()
        for (_, flag) in pairs where flag.count > 1 { #expect(own.contains(flag), "there is no --\(flag)") }
    }

    @Test func flagsAreSeen() {
        let source = """
            @Option(name: [.customShort("o"), .customLong("output")], help: "In /var/lib.") var file: String?
            @Flag(inversion: .prefixedNo, help: "Look.")
            var lookAround: Bool?
            // --commented and "--commented"
            let text = "use --look-around, or `etcd-snap keygen -o key.txt`"
            """
        #expect(FlagScan.declared(in: source) == ["output", "look-around", "no-look-around"])
        #expect(FlagScan.mentioned(in: source) == ["etcd-snap keygen -o", "look-around"])
    }
}
