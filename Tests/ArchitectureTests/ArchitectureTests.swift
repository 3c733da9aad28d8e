import Foundation
import Testing

/// Who may import whom: the direction of `docs/architecture.md`, which SwiftPM does not hold.
enum Architecture {
    /// The modules of this package, each with those that it may import.
    static let allowed: [String: Set<String>] = {
        let host: Set<String> = ["HostIO"]
        let age = host.union(["Age"])
        let archive = age.union(["SealedArchive"])
        let middle: Set<String> = [
            "EtcdSnap", "EtcdStorage", "EncryptionAtRest", "KubernetesAPI", "KubernetesObjects", "PKIBackup",
            "ArchiveStore", "Certificates", "S3",
        ]
        let nodeFiles = archive.union(["NodeFiles"])
        let operations = nodeFiles.union(middle)
        return [
            "HostIO": ["CLinux"],
            "HTTP": host.union(["CCurl"]),
            "YAML": ["CYAML"],
            "Protobuf": [],
            "Age": host.union(["CCrypto"]),
            "SealedArchive": age.union(["CZstd", "CArchive"]),
            "ArchiveStore": archive.union(["HTTP", "S3"]),
            "S3": host.union(["CExpat"]),
            "Certificates": host.union(["YAML"]),
            "NodeFiles": archive,
            "NodeRewrite": host.union(["YAML"]),
            "EncryptionAtRest": host.union(["YAML", "CSodium"]),
            "PKIBackup": nodeFiles.union(["Certificates", "EncryptionAtRest", "YAML"]),
            "EtcdSnap": archive.union(["Certificates", "CGRPCShim"]),
            "EtcdStorage": archive.union(["EncryptionAtRest", "CCRC32C", "Protobuf"]),
            "KubernetesObjects": host.union(["Protobuf"]),
            "KubernetesAPI": host.union(["Certificates", "HTTP", "YAML"]),
            "Operations": operations.union(["YAML", "NodeRewrite"]),
            "CommandLine": operations.union(["YAML", "Operations"]),
        ]
    }()

    /// Libraries of others that are not for everybody.
    static let restricted: [String: Set<String>] = [
        "ArgumentParser": ["CommandLine"],
        "X509": ["EtcdSnap", "Certificates"], "NIO": ["EtcdSnap"], "NIOCore": ["EtcdSnap"], "NIOSSL": ["EtcdSnap"],
        "SwiftASN1": ["EtcdSnap", "Certificates"],
        "CryptoExtras": ["Age", "Certificates", "EncryptionAtRest"],
        "Logging": ["EtcdSnap", "Operations", "CommandLine"],
        // Whole Foundation would put 35 MB of ICU's data into the executable; `FoundationEssentials` has what is needed.
        "Foundation": [], "FoundationNetworking": [], "FoundationXML": [], "FoundationInternationalization": [],
    ]

    /// What a file imports and may not.
    static func violations(in source: String, of module: String) -> [String] {
        SourceScan.imports(in: source).filter { name in
            if let modules = restricted[name] { return !modules.contains(module) }
            let isOurs = allowed[name] != nil || name.hasPrefix("C") && cModules.contains(name)
            return isOurs && allowed[module]?.contains(name) != true
        }
    }

    private static let cModules: Set<String> = [
        "CLinux", "CCrypto", "CZstd", "CArchive", "CYAML", "CSodium", "CGRPCShim", "CCRC32C", "CCurl", "CExpat",
    ]
}

@Suite struct ArchitectureTests {
    static let maximumLineCount = 400
    static let maximumFunctionLineCount = 70

    @Test func importsPointDown() throws {
        let files = try SourceFile.all()
        #expect(files.count > 50)
        for file in files {
            #expect(Architecture.allowed[file.module] != nil, "\(file.module) has no place in the architecture")
            #expect(Architecture.violations(in: file.text, of: file.module).isEmpty, "\(file.name)")
        }
    }

    /// A code of a finding that a source names as a literal.
    private static var findingCodes: [Regex<(Substring, Substring)>] {
        [
            #/code: "([a-z0-9-]+)"/#, #/code = "([a-z0-9-]+)"/#,
            #/\.(?:error|warning),\s*"([a-z0-9]+(?:-[a-z0-9]+)+)"/#,
            #/find\(\s*"([a-z0-9]+(?:-[a-z0-9]+)+)"/#,
        ]
    }

    @Test func findingsAreDocumented() throws {
        let document = try String(
            contentsOf: SourceFile.repository.appending(path: "docs/findings.md"), encoding: .utf8)
        var codes: Set<String> = []
        for file in try SourceFile.all() where ["NodeFiles", "PKIBackup", "Operations"].contains(file.module) {
            for pattern in Self.findingCodes { codes.formUnion(file.text.matches(of: pattern).map { String($0.1) }) }
        }
        #expect(codes.count > 40)
        for code in codes { #expect(document.contains("`\(code)`"), "\(code) is not in docs/findings.md") }
    }

    /// What a configuration may accept is what is documented.
    @Test func documentedFindingsCanBeAccepted() throws {
        let document = try String(
            contentsOf: SourceFile.repository.appending(path: "docs/findings.md"), encoding: .utf8)
        let file = try #require(try SourceFile.all().first { $0.name == "Operations/FindingCodes.swift" })
        let known = Set(file.text.matches(of: #/"([a-z0-9-]+)"/#).map { String($0.1) })
        let documented = document.split(separator: "\n").filter { $0.hasPrefix("| `") }
            .flatMap { ($0.split(separator: "|").first ?? "").matches(of: #/`([a-z0-9-]+)`/#).map { String($0.1) } }
        #expect(documented.count > 60 && known == Set(documented))
    }

    /// A class of captured files that the format's document does not name can't be known to another reader.
    @Test func classesAreDocumented() throws {
        let document = try String(
            contentsOf: SourceFile.repository.appending(path: "docs/archive-format.md"), encoding: .utf8)
        let file = try #require(try SourceFile.all().first { $0.name == "PKIBackup/Discovery/CaptureClass.swift" })
        let enumeration = try #require(file.text.split(separator: "enum CaptureClass").last?.prefix { $0 != "}" })
        let names = enumeration.matches(of: #/\n    case (\w+)(?: = "([a-z-]+)")?/#).map { String($0.2 ?? $0.1) }
        #expect(names.count > 25)
        for name in names { #expect(document.contains("`\(name)`"), "\(name) is not in docs/archive-format.md") }
    }

    /// Tests in a directory that is no target are never run, and nothing says so.
    @Test func testsAreRun() throws {
        let repository = SourceFile.repository
        let package = try String(contentsOf: repository.appending(path: "Package.swift"), encoding: .utf8)
        let directories = try FileManager.default.contentsOfDirectory(atPath: repository.appending(path: "Tests").path)
            .filter { $0.hasSuffix("Tests") }
        #expect(directories.count > 10)
        for name in directories { #expect(package.contains("\"\(name)\","), "\(name) is no target") }
    }

    @Test func filesAreShort() throws {
        for file in try SourceFile.all() {
            let count = file.text.split(separator: "\n", omittingEmptySubsequences: false).count - 1
            #expect(count <= Self.maximumLineCount, "\(file.name) has \(count) lines")
        }
    }

    @Test func functionsAreShort() throws {
        for file in try SourceFile.all() {
            let found = SourceScan.functions(in: file.text, longerThan: Self.maximumFunctionLineCount)
            #expect(found.isEmpty, "\(file.name)")
        }
    }

    @Test func initializersAssignPropertiesOnce() throws {
        for file in try SourceFile.all() {
            #expect(SourceScan.assignmentsInLoops(ofInitializersIn: file.text).isEmpty, "\(file.name)")
        }
    }
}

/// That the checks see what they are for.
@Suite struct ArchitectureCheckTests {
    @Test func assignmentsInLoopsAreSeen() {
        func source(_ loop: String, _ assignment: String) -> String {
            "struct Thing {\n    var a = 0\n    init?(_ all: [Int]) {\n        var local = 0\n        \(loop) {\n"
                + "            if local > 1 {\n                \(assignment)\n            }\n        }\n        a = 1\n    }\n"
                + "    func run() {\n        for _ in 0..<2 {\n            a = 2\n        }\n    }\n}\n"
        }
        for loop in ["for one in all", "while local < 2", "repeat", "all.forEach"] {
            for assignment in [
                "a = local", "self.a = local", "a += 1", "a[local] = 1", "self.a.b = local", "case 1: a = local",
                "if local > 2 { a = local }",
            ] {
                #expect(SourceScan.assignmentsInLoops(ofInitializersIn: source(loop, assignment)).count == 1)
            }
            #expect(SourceScan.assignmentsInLoops(ofInitializersIn: source(loop, "local = 1")).isEmpty)
        }
        #expect(SourceScan.assignmentsInLoops(ofInitializersIn: source("if true", "a = 1")).isEmpty)
    }

    @Test(arguments: [
        ("PKIBackup", "import EtcdSnap"), ("EtcdSnap", "internal import PKIBackup"),
        ("EtcdStorage", "public import EtcdSnap"), ("EtcdSnap", "import EtcdStorage"),
        ("HostIO", "@testable import Age"), ("Age", "import struct SealedArchive.Manifest"),
        ("Operations", "internal import CGRPCShim"), ("SealedArchive", "@_exported public import CCrypto"),
        ("PKIBackup", "    private import CZstd"), ("ArchiveStore", "internal import CLinux"),
        ("Operations", "import ArgumentParser"), ("ArchiveStore", "import FoundationNetworking"),
        ("SealedArchive", "import ArchiveStore"), ("Operations", "import CommandLine  // why"),
        ("PKIBackup", "import Protobuf"), ("Protobuf", "import HostIO"), ("NodeFiles", "import PKIBackup"),
        ("ArchiveStore", "import NodeFiles"), ("HTTP", "import CCrypto"), ("ArchiveStore", "import CCurl"),
        ("HTTP", "import ArchiveStore"), ("HostIO", "internal import CCurl"),
        ("PKIBackup", "import ArchiveStore"), ("Operations", "import CYAML"), ("YAML", "import HostIO"),
        ("S3", "import ArchiveStore"), ("S3", "import YAML"), ("ArchiveStore", "internal import CExpat"),
        ("HostIO", "import Foundation"), ("CommandLine", "public import struct Foundation.Date"),
        ("CommandLine", "import func CArchive.archive_read_new"),
    ])
    func importsThatPointElsewhereAreSeen(module: String, line: String) {
        let source = "// a comment\nimport FoundationEssentials\n\(line)\n\nstruct Thing {}\n"
        #expect(Architecture.violations(in: source, of: module).count == 1)
    }

    @Test(arguments: [
        ("PKIBackup", "import NodeFiles"), ("NodeFiles", "import SealedArchive"),
        ("PKIBackup", "import HostIO"), ("SealedArchive", "internal import CZstd"), ("Operations", "import PKIBackup"),
        ("HTTP", "internal import CCurl"), ("HTTP", "public import HostIO"),
        ("HostIO", "// import Age"), ("HostIO", "/// import Age"), ("HostIO", "let text = \"import Age\""),
        ("HostIO", "import SystemPackage"), ("HostIO", "let important = Age()"),
    ])
    func othersAreNot(module: String, line: String) {
        #expect(Architecture.violations(in: "\(line)\n", of: module).isEmpty)
    }

    @Test func longFunctionsAreSeen() {
        func source(_ count: Int, _ head: String) -> String {
            let body = (0..<count - 2).map { "        let text\($0) = \"}\"  // }" }.joined(separator: "\n")
            return "struct Thing {\n    \(head) {\n\(body)\n    }\n}\n"
        }
        for head in [
            "func run()", "public static func run() throws -> Int", "init?(a: Int)",
            "@Sendable func run(\n    a: Int\n    )",
        ] {
            #expect(SourceScan.functions(in: source(71, head), longerThan: 70).count == 1)
            #expect(SourceScan.functions(in: source(70, head), longerThan: 70).isEmpty)
        }
        let requirement = "protocol P {\n    func run()\n}\n\n\(source(80, "enum Thing"))"
        #expect(SourceScan.functions(in: requirement, longerThan: 70).isEmpty)
        let many = (0..<60).map { "    func f\($0)() {\n        run()\n    }\n" }.joined()
        #expect(SourceScan.functions(in: "struct Thing {\n\(many)}\n", longerThan: 70).isEmpty)
    }
}
