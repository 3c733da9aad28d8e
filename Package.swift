// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
]
let strictC: [CSetting] = [.treatAllWarnings(as: .error)]
let strictCXX: [CXXSetting] = [.treatAllWarnings(as: .error)]

let systemPackage: Target.Dependency = .product(name: "SystemPackage", package: "swift-system")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let cryptoExtras: Target.Dependency = .product(name: "CryptoExtras", package: "swift-crypto")
let x509: Target.Dependency = .product(name: "X509", package: "swift-certificates")
let asn1: Target.Dependency = .product(name: "SwiftASN1", package: "swift-asn1")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

func library(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

/// Tests of optimised modules: optimising the tests themselves would only take longer.
func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies, swiftSettings: strict + [.unsafeFlags(["-Onone"])])
}

/// The archives that those of gRPC need: `pkg-config --libs grpc` names them, but SwiftPM would repeat each thousands of
/// times.
let staticArchives =
    [
        "bad_optional_access", "bad_variant_access", "base", "city", "cord", "cord_internal", "cordz_functions",
        "cordz_handle", "cordz_info", "debugging_internal", "demangle_internal", "exponential_biased",
        "graphcycles_internal", "hash", "int128", "low_level_hash", "malloc_internal", "random_internal_platform",
        "random_internal_pool_urbg", "random_internal_randen", "random_internal_randen_hwaes",
        "random_internal_randen_hwaes_impl", "random_internal_randen_slow", "random_internal_seed_material",
        "random_seed_gen_exception", "raw_hash_set", "raw_logging_internal", "spinlock_wait", "stacktrace", "status",
        "statusor", "str_format_internal", "strerror", "strings", "strings_internal", "symbolize", "synchronization",
        "throw_delegate", "time", "time_zone",
    ].map { "absl_" + $0 } + ["address_sorting", "cares", "re2", "ssl", "upb", "z"]

/// One file that runs on any Linux: no interpreter, no shared library, position-independent, without symbols.
///
/// lld looks through archives in any order, which Swift's libraries and gRPC's need.
let staticLink: [LinkerSetting] =
    [
        .unsafeFlags([
            "-static-executable", "-Xclang-linker", "-static-pie", "-use-ld=lld", "-Xlinker", "--gc-sections",
            "-Xlinker", "--strip-all",
        ])
    ] + staticArchives.map { .linkedLibrary($0) }

/// Set by scripts/build-release, which gives the flags that this needs and no manifest can.
///
/// Tests and a plain `swift build` link an executable that runs here only.
let isStatic = Context.environment["ETCD_SNAP_LINK"] == "static"

/// Debian's libcurl.a needs Kerberos and LDAP, of which there are no archives: scripts/setup builds one of less.
let libcurl = (Context.environment["ETCD_SNAP_TEST_TOOLS"] ?? "\(Context.packageDirectory)/.tools") + "/libcurl"

let package = Package(
    name: "etcd-snap",
    platforms: [.macOS(.v15)],
    products: [.executable(name: "etcd-snap", targets: ["CommandLine"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-asn1", exact: "1.7.4"),
        .package(url: "https://github.com/apple/swift-certificates", exact: "1.21.1"),
        .package(url: "https://github.com/apple/swift-crypto", exact: "4.5.2"),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
        .package(url: "https://github.com/apple/swift-system", exact: "1.8.1"),
    ],
    targets: [
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .systemLibrary(name: "CYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),
        .systemLibrary(name: "CSodium", pkgConfig: "libsodium", providers: [.apt(["libsodium-dev"])]),
        .systemLibrary(name: "CArchive", pkgConfig: "libarchive", providers: [.apt(["libarchive-dev"])]),
        .systemLibrary(name: "CExpat", pkgConfig: "expat", providers: [.apt(["libexpat1-dev"])]),
        .target(name: "CLinux", cSettings: strictC),
        .target(
            name: "CStandalone", dependencies: ["CLinux"],
            cSettings: strictC + (isStatic ? [.define("CSTANDALONE_IS_STATIC")] : [])),
        .target(name: "CCrypto", cSettings: strictC, linkerSettings: [.linkedLibrary("crypto")]),
        .target(
            name: "CCurl", dependencies: ["CCrypto"], cSettings: strictC,
            // By its path: other libraries' packages have Debian's directory searched first.
            linkerSettings: [
                isStatic ? .unsafeFlags(["\(libcurl)/lib/libcurl.a"]) : .linkedLibrary("curl"),
                .linkedLibrary("ssl"), .linkedLibrary("crypto"),
            ]),
        .target(
            name: "CGRPCShim", dependencies: ["CLinux", "CCrypto"], exclude: ["proto"], cxxSettings: strictCXX,
            linkerSettings: [
                .linkedLibrary("grpc"), .linkedLibrary("gpr"), .linkedLibrary("protobuf"), .linkedLibrary("crypto"),
            ]),
        library("HostIO", ["CLinux", systemPackage]),
        library("HTTP", ["HostIO", "CCurl"]),
        library("YAML", ["CYAML"]),
        library("Protobuf", []),
        .target(name: "CCRC32C", cSettings: strictC),
        library("EncryptionAtRest", ["HostIO", "YAML", "CSodium", crypto, cryptoExtras]),
        library("EtcdStorage", ["EncryptionAtRest", "Protobuf", "HostIO", "CCRC32C", crypto, systemPackage]),
        library("Age", ["HostIO", "CCrypto", crypto]),
        library("SealedArchive", ["Age", "HostIO", "CZstd", "CArchive", crypto]),
        library("ArchiveStore", ["SealedArchive", "Age", "HTTP", "S3", "HostIO", crypto, systemPackage]),
        library("S3", ["HostIO", "CExpat", crypto, systemPackage]),
        library("Certificates", ["HostIO", "YAML", x509, asn1, crypto, cryptoExtras]),
        library("EtcdSnap", ["Certificates", "HostIO", "CGRPCShim", x509, asn1, crypto, logging]),
        library("NodeFiles", ["SealedArchive", "HostIO", crypto, systemPackage]),
        library(
            "PKIBackup",
            [
                "Certificates", "EncryptionAtRest", "NodeFiles", "SealedArchive", "HostIO", "YAML", crypto,
                systemPackage,
            ]),
        library("KubernetesObjects", ["Protobuf", "HostIO"]),
        library("KubernetesAPI", ["Certificates", "HTTP", "HostIO", "YAML"]),
        library("NodeRewrite", ["HostIO", "YAML"]),
        library(
            "Operations",
            [
                "EtcdSnap", "EtcdStorage", "EncryptionAtRest", "KubernetesAPI", "KubernetesObjects", "PKIBackup",
                "Certificates", "NodeFiles", "NodeRewrite", "ArchiveStore", "S3", "SealedArchive", "Age", "HostIO",
                "YAML", logging, crypto, systemPackage,
            ]),
        .executableTarget(
            name: "CommandLine",
            dependencies: [
                "Operations", "ArchiveStore", "EtcdStorage", "KubernetesObjects", "SealedArchive", "PKIBackup",
                "Certificates", "NodeFiles", "Age", "HostIO", "YAML", "CStandalone", logging, argumentParser,
                systemPackage,
            ],
            swiftSettings: strict, linkerSettings: isStatic ? staticLink : []),
        .executableTarget(
            name: "stream-benchmark", dependencies: ["EtcdSnap", "HostIO"], path: "Benchmarks/StreamBenchmark",
            swiftSettings: strict),
        // What scripts/check-static-http links as the executable is linked.
        .executableTarget(
            name: "http-get", dependencies: ["HTTP", "HostIO", "CStandalone"], path: "Tests/StaticHTTP",
            swiftSettings: strict,
            // CStandalone has a function for libarchive in it.
            linkerSettings: isStatic ? staticLink + [.linkedLibrary("archive")] : []),
        .target(name: "TestSupport", path: "Tests/TestSupport", swiftSettings: strict),
        tests("HostIOTests", ["HostIO", "TestSupport", systemPackage]),
        tests("HTTPTests", ["HTTP", "HostIO", "TestSupport"]),
        tests("YAMLTests", ["YAML", "TestSupport"]),
        tests("ProtobufTests", ["Protobuf", "TestSupport"]),
        tests(
            "EtcdStorageTests",
            ["EtcdStorage", "EncryptionAtRest", "Protobuf", "HostIO", "TestSupport", "CCRC32C", crypto]),
        tests("AgeTests", ["Age", "HostIO", "TestSupport"]),
        tests("SealedArchiveTests", ["SealedArchive", "Age", "HostIO", "TestSupport", crypto, systemPackage]),
        tests("ArchiveStoreTests", ["ArchiveStore", "SealedArchive", "Age", "HTTP", "S3", "HostIO", "TestSupport"]),
        tests("S3Tests", ["S3", "HostIO", "TestSupport", crypto]),
        tests("CertificatesTests", ["Certificates", "HostIO", "YAML", "TestSupport", x509, asn1]),
        tests(
            "PKIBackupTests",
            ["PKIBackup", "Certificates", "NodeFiles", "SealedArchive", "Age", "HostIO", "TestSupport"]),
        tests("EtcdSnapTests", ["EtcdSnap", "HostIO", "TestSupport", crypto, x509, logging]),
        tests(
            "OperationsTests",
            [
                "Operations", "EtcdSnap", "PKIBackup", "NodeFiles", "NodeRewrite", "Certificates", "ArchiveStore",
                "SealedArchive", "Age", "HostIO", "TestSupport",
            ]),
        tests(
            "CompletenessTests",
            [
                "PKIBackup", "Certificates", "EncryptionAtRest", "Age", "NodeFiles", "YAML", "SealedArchive", "HostIO",
                "TestSupport", crypto, x509, asn1,
            ]),
        tests("EncryptionAtRestTests", ["EncryptionAtRest", "HostIO", "TestSupport", crypto, cryptoExtras]),
        tests("KubernetesObjectsTests", ["KubernetesObjects", "EtcdStorage", "HostIO", "TestSupport"]),
        tests("KubernetesAPITests", ["KubernetesAPI", "HostIO", "TestSupport"]),
        tests("NodeRewriteTests", ["NodeRewrite", "YAML", "HostIO", "TestSupport"]),
        tests("ArchitectureTests", ["TestSupport"]),
        tests("IntegrationTests", ["TestSupport", crypto, cryptoExtras]),
    ],
    cxxLanguageStandard: .cxx17
)
