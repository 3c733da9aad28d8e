import Foundation

/// A version of etcd that tests run: Debian's, and one from the tests' own tools.
public enum EtcdVersion: String, Sendable, CaseIterable, CustomStringConvertible {
    /// The `etcd-server` and `etcd-client` packages.
    case v3_4 = "3.4"
    /// `etcd-3.5/` in the directory that `ETCD_SNAP_TEST_TOOLS` names, or else in `.tools` of the repository.
    case v3_5 = "3.5"

    /// The version's number.
    public var description: String { rawValue }

    /// Whether the server is there.
    public var isInstalled: Bool { access(path(of: "etcd"), X_OK) == 0 }

    /// The versions that are there; a continuous build has to have all, so one that misses some fails.
    public static var installed: [EtcdVersion] {
        let isContinuousBuild = ProcessInfo.processInfo.environment["CI"] != nil
        return allCases.filter { $0.isInstalled || isContinuousBuild }
    }

    /// The path of `etcd`, `etcdctl` or `etcdutl`.
    public func path(of tool: String) -> String {
        switch self {
        case .v3_4: "/usr/bin/\(tool)"
        case .v3_5: "\(Self.toolsDirectory)/etcd-3.5/\(tool)"
        }
    }

    /// The directory of the tests' own tools.
    public static let toolsDirectory: String = {
        if let path = ProcessInfo.processInfo.environment["ETCD_SNAP_TEST_TOOLS"] { return path }
        let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return repository.appendingPathComponent(".tools").path
    }()
}
