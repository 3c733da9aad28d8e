import Foundation
import TestSupport
import Testing

extension Integration {
    /// Reservations of addresses that pods of another day had: put back, they would keep new pods from having any.
    @Suite struct PodAddressTests {
        private static let place = "/var/lib/cni/networks/pods"
        private static let captured = ["10.244.0.7", "last_reserved_ip.0", "lock"]

        /// A backup of a node with reservations.
        private func backUp() throws -> TestStore {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            let node = try ControlPlaneNode(in: store.directory, runs: store.server)
            try node.change("mkdir -p .\(Self.place); cd .\(Self.place); echo 10.244.0.7 >10.244.0.7")
            try node.change("cd .\(Self.place); echo 10.244.0.7 >last_reserved_ip.0; : >lock")
            let arguments = ["backup", "--root", node.root, "-r", store.key.recipient]
            let result = try SnapTool.attempt(arguments + store.server.flags() + store.flags)
            #expect([0, 3].contains(result.status), "\(result.errorText)")
            return store
        }

        private func reservations(_ host: String) throws -> [String] {
            try FileManager.default.contentsOfDirectory(atPath: host + Self.place).sorted()
        }

        @Test(arguments: [true, false]) func areNotPlacedUnlessTheyAreAskedFor(hostHasSome: Bool) throws {
            let store = try backUp()
            let host = store.directory.file("host")
            let own = hostHasSome ? ["10.244.0.9", "last_reserved_ip.0"] : []
            try shell("mkdir -p \"$1$2\"", host, Self.place)
            for name in own { try shell("printf own >\"$1\"", "\(host)\(Self.place)/\(name)") }
            let inPlace = ["--in-place", "--root", host, "--this-node", "node"]
            let arguments = ["restore", "files", "latest", "-i", store.key.path] + inPlace + store.flags
            for more in [["--dry-run"], ["--yes"]] {
                let text = try SnapTool.run(arguments + more).text
                #expect(text.contains("left out") && text.contains("cni-state (3)"), "\(text)")
                #expect(try reservations(host) == own)
            }
            #expect(FileManager.default.fileExists(atPath: "\(host)/etc/kubernetes/pki/ca.key"))
            let report = try SnapTool.json(arguments + ["--yes"])
            let left = report.leftOut.array.first { $0.captureClass.string == "cni-state" }
            #expect(left?.fileCount.int == Self.captured.count && left?.reason.string != "")
            for name in own {
                #expect(try String(contentsOfFile: "\(host)\(Self.place)/\(name)", encoding: .utf8) == "own")
            }
            let asked = try SnapTool.json(arguments + ["--yes", "--only", "cni-state"])
            #expect(asked.createdCount.int == (hostHasSome ? 2 : 3) && asked.leftOut.array.isEmpty)
            #expect(try Set(reservations(host)) == Set(Self.captured + own))
            let last = try String(contentsOfFile: "\(host)\(Self.place)/last_reserved_ip.0", encoding: .utf8)
            #expect(last == "10.244.0.7\n")
        }

        /// Into a directory everything comes, for somebody to look at.
        @Test func areInADirectoryOfEverything() throws {
            let store = try backUp()
            let target = store.directory.file("target")
            try SnapTool.run(["restore", "latest", "-i", store.key.path, "--target", target] + store.flags)
            #expect(try reservations("\(target)/files") == Self.captured)
        }
    }
}
