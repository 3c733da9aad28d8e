import Foundation
import TestSupport
import Testing

extension Integration {
    /// What can't be replaced is known before the first file is.
    @Suite struct RestoreObstacleTests {
        private let store: TestStore
        private let host: String

        init() throws {
            let server = try Laboratory.shared().server(.v3_5)
            store = try TestStore(server)
            let node = try ControlPlaneNode(in: store.directory, runs: server)
            host = store.directory.file("host")
            try SnapTool.run(["backup", "--root", node.root, "-r", store.key.recipient] + server.flags() + store.flags)
            try shell(
                """
                mkdir -p "$1/etc/kubernetes/manifests" "$1/etc/kubernetes/pki" "$1/var/lib"; cd "$1/etc/kubernetes"
                printf old >manifests/etcd.yaml; printf old >pki/ca.key; printf old >pki/sa.key; printf old >"$1/other"
                """, host)
        }

        struct Obstacle: CustomTestStringConvertible, Sendable {
            var make: String
            var path: String
            var words: String
            var testDescription: String { make }
        }

        private static let readOnly = "mount --bind \"$1\" \"$1\"; mount -o remount,ro,bind \"$1\""
        static let obstacles = [
            Obstacle(
                make: "mount --bind other \"$1\"", path: "etc/kubernetes/pki/ca.key", words: "it is a mount point"),
            Obstacle(make: "chattr +i \"$1\"", path: "etc/kubernetes/pki/sa.key", words: "it is immutable"),
            Obstacle(make: "chattr +a \"$1\"", path: "etc/kubernetes/pki/sa.key", words: "it is append-only"),
            Obstacle(make: "chattr +i \"$1\"", path: "etc/kubernetes/pki", words: "pki\" is immutable"),
            Obstacle(make: "chattr +a \"$1\"", path: "etc/kubernetes/pki", words: "pki\" is append-only"),
            // Files are made here, and nothing is there yet.
            Obstacle(make: readOnly, path: "etc/kubernetes/manifests", words: "is on a read-only file system"),
            Obstacle(make: readOnly, path: "etc/kubernetes", words: "is on a read-only file system"),
            Obstacle(make: readOnly, path: "etc", words: "is on a read-only file system"),
            Obstacle(make: readOnly, path: "var/lib", words: "can't be kept"),
            Obstacle(make: "chattr +i \"$1\"", path: "var/lib", words: "can't be kept"),
        ]

        private func state() throws -> String {
            try shell("cd \"$1\"; find . -printf '%p %y %m %U:%G %s %T@\\n' | sort; cat etc/kubernetes/*/*", host).text
        }

        @Test(.enabled(if: geteuid() == 0), arguments: obstacles)
        func isInThePlan(obstacle: Obstacle) throws {
            let path = "\(host)/\(obstacle.path)"
            try shell("cd \"$2\"; \(obstacle.make)", path, host)
            defer {
                _ = try? shell("umount --lazy \"$1\" 2>/dev/null; chattr -i -a \"$1\"; true", path)
            }
            let before = try state()
            let classes = ["ca-key", "service-account-key", "static-pod"].flatMap { ["--only", $0] }
            let place = ["--in-place", "--root", host] + store.flags
            let arguments = ["restore", "files", "latest", "-i", store.key.path] + place + classes
            for last in ["--dry-run", "--yes"] {
                let result = try SnapTool.attempt(arguments + [last])
                #expect(result.status == 1, "\(last): \(result.text)\(result.errorText)")
                #expect(result.errorText.contains(obstacle.words), "\(last): \(result.errorText)")
                if !obstacle.path.hasPrefix("var") { #expect(result.text.contains("blocked"), "\(result.text)") }
                #expect(try state() == before)
            }
        }
    }
}
