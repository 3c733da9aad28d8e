import Foundation
import TestSupport
import Testing

extension Integration {
    /// What a backup takes of a control-plane node that it is told nothing about.
    @Suite struct NodeCaptureTests {
        private let store: TestStore
        private let node: ControlPlaneNode

        init() throws {
            let server = try Laboratory.shared().server(.v3_5)
            store = try TestStore(server)
            node = try ControlPlaneNode(in: store.directory, runs: server)
        }

        private func backup(_ more: [String] = []) -> [String] {
            ["backup", "--root", node.root, "-r", store.key.recipient, "-o", "json"] + store.flags + more
        }

        private func manifest() throws -> JSON {
            try SnapTool.json(["describe", "-i", store.key.path] + store.flags).manifest
        }

        private func entries(_ prefix: String = "files/") throws -> [JSON] {
            try manifest().entries.array.filter { $0.path.string.hasPrefix(prefix) }
        }

        /// The class of a file of kubeadm, by kubeadm's own names.
        private func kubeadmClass(_ path: String) -> String {
            let name = path.split(separator: "/").last ?? ""
            let isCA = name.hasPrefix("ca.") || name.hasPrefix("front-proxy-ca.")
            if path.contains("/manifests/") { return "static-pod" }
            if name.hasPrefix("sa.") { return "service-account-key" }
            if name.hasSuffix(".conf") { return "kubeconfig" }
            if name.hasSuffix(".key") { return isCA ? "ca-key" : "private-key" }
            return isCA ? "ca-certificate" : "certificate"
        }

        @Test func everyFileIsCapturedAndClassed() throws {
            let report = try SnapTool.json(backup(store.server.flags()))
            #expect(report.findings.array.isEmpty && report.sidecar.findingCount.int == 0)
            // etcd's data directory and the host's trust store are not on the fixture and would not be taken.
            #expect(Set(report.skipped.array.map(\.path.string)) == ["/var/lib/etcd", "/etc/ssl/certs"])
            let entries = try entries().filter { $0.kind.string != "directory" }
            let paths = entries.map { String($0.path.string.dropFirst("files".count)) }
            #expect(paths.count == 31)
            #expect(try Set(paths) == node.files())
            for (path, entry) in zip(paths, entries) {
                #expect(entry.role.string == kubeadmClass(path), "\(path)")
                let digest = try run("sha256sum", [node.file(path)]).text.prefix(64)
                #expect(entry.sha256.string == digest, "\(path)")
                #expect(entry.source.string != "", "\(path)")
            }
        }

        /// Of a node that is told nothing about, with a pair for health checks that expired long ago.
        @Test(arguments: EtcdVersion.installed)
        func anExpiredLeftoverIsAWarningAtMost(_ version: EtcdVersion) throws {
            let pki = try TestPKI()
            let server = try EtcdServer.start(version, pki: pki)
            defer { server.kill() }
            let directory = try TemporaryDirectory()
            let node = try ControlPlaneNode(in: directory, runs: server)
            try node.adopt(pki)
            let old = try pki.issue("old", validity: .expired)
            let leftover = node.file("/etc/kubernetes/pki/etcd/healthcheck-client")
            try run("cp", [old.certificatePath, leftover + ".crt"])
            try run("cp", [old.keyPath, leftover + ".key"])
            let arguments = ["backup", "--root", node.root, "-r", store.key.recipient, "-o", "json"]
            let result = try SnapTool.attempt(arguments + store.flags)
            #expect([0, 3].contains(result.status), "\(result.errorText)")
            let report = try JSON(result.output)
            #expect(report.sidecar.etcd[0].serverVersion.string.hasPrefix(version.rawValue))
            for finding in report.findings.array {
                #expect(finding.severity.string == "warning", "\(finding.message.string)")
            }
        }

        /// The fixture's manifests are of a member `cp0` of another cluster than the server of this test.
        @Test func aStrangeClusterIsTheOnlyFinding() throws {
            let other = try TemporaryDirectory()
            let node = try ControlPlaneNode(in: other)
            let arguments = ["backup", "--root", node.root, "-r", store.key.recipient, "-o", "json"]
            let result = try SnapTool.attempt(arguments + store.server.flags() + store.flags)
            #expect(result.status == 3, "\(result.errorText)")
            let findings = try JSON(result.output).findings.array
            #expect(findings.map(\.code.string) == ["member-list-mismatch"])
            #expect(findings.first?.message.string.contains("cp0") == true)
            let dry = try SnapTool.attempt(arguments + ["--dry-run"] + store.server.flags() + store.flags)
            #expect(dry.status == 3, "\(dry.errorText)")
            let planned = try JSON(dry.output).findings.array
            #expect(planned.map(\.message.string) == findings.map(\.message.string))
        }

        @Test func certificatesAreThoseOfTheNode() throws {
            try SnapTool.run(backup(store.server.flags()))
            let own = try SnapTool.json(["certs", "--root", node.root])
            let stored = try SnapTool.json(["certs", "latest", "-i", store.key.path] + store.flags)
            #expect(stored.value as? NSArray == own.value as? NSArray)
            // Ten in files, and in each of five kubeconfigs a CA's and a user's.
            #expect(own.array.count == 20)
            let ends = own.array.map(\.notAfter.string)
            #expect(ends == ends.sorted())
            for certificate in own.array where certificate.path.string.hasSuffix(".crt") {
                let path = node.file(certificate.path.string)
                let serial = try run("openssl", ["x509", "-noout", "-serial", "-in", path]).text.dropFirst(7)
                let digits = serial.lowercased().trimmingCharacters(in: .whitespacesAndNewlines)
                #expect(digits.drop { $0 == "0" } == certificate.serial.string.drop { $0 == "0" }, "\(path)")
                #expect(!certificate.referencedBy.array.isEmpty || path.contains("healthcheck"), "\(path)")
            }
        }

        @Test func describeShowsClasses() throws {
            try SnapTool.run(backup(store.server.flags()))
            let text = try SnapTool.run(["describe", "-i", store.key.path] + store.flags).text
            let rows = text.split(separator: "\n").map { $0.split(separator: " ") }.filter { $0.count >= 5 }
            for path in try node.files() {
                let row = rows.first { $0.last == "files\(path)" }
                #expect(row.map { String($0[3]) } == kubeadmClass(path), "\(path)")
            }
            #expect(text.contains("findings:    0"))
        }

        /// Endpoint, CA and client certificate come from the node alone.
        @Test func etcdIsFoundByItsManifest() throws {
            try node.adopt(Laboratory.shared().pki())
            // The certificates of the tests last for a month, for which they would be a finding.
            let configuration = try store.directory.write("expiryWarningDays: 3\n", to: "days.yaml")
            let report = try SnapTool.json(backup(["--config", configuration]))
            #expect(report.findings.array.isEmpty)
            #expect(report.sidecar.etcd.array.map(\.name.string) == ["etcd"])
            #expect(try manifest().etcd[0].endpoint.string == store.server.clientURL)
        }

        @Test func everyEtcdIsTaken() throws {
            let events = try EtcdServer.start(.v3_4)
            defer { events.kill() }
            try node.addEvents(events, beside: store.server)
            let report = try SnapTool.json(backup(store.server.flags()))
            #expect(report.findings.array.isEmpty)
            let names = report.sidecar.etcd.array.map(\.name.string)
            #expect(names.count == 2 && names.first == "etcd")
            #expect(Set(try entries("etcd/").map(\.path.string)) == Set(names.map { "etcd/\($0).db" }))
            let endpoints = try manifest().etcd.array.map(\.endpoint.string)
            #expect(endpoints == [store.server.clientURL, events.clientURL])
            // One that was only found does not stop a backup when it is down.
            events.kill()
            let result = try SnapTool.attempt(backup(store.server.flags()))
            #expect(result.status == 3, "\(result.errorText)")
            let later = try JSON(result.output)
            #expect(later.sidecar.etcd.array.map(\.name.string) == ["etcd"])
            #expect(later.findings.array.map(\.code.string).contains("etcd-unreachable"))
        }

        /// Facts are asked of this host, and never taken for those of another root.
        @Test func factsOfTheHost() throws {
            try SnapTool.run(backup(store.server.flags()))
            let images = try entries("host/").map(\.path.string)
            #expect(Set(images) == ["host/images.json", "host/certificates.json"])
            let arguments = ["backup", "--no-discover", "-r", store.key.recipient] + store.server.flags()
            try SnapTool.run(arguments + store.flags)
            let target = store.directory.file("restored")
            try SnapTool.run(["restore", "-i", store.key.path, "--target", target] + store.flags)
            let addresses = try JSON(Data(contentsOf: URL(fileURLWithPath: "\(target)/host/ip-address.json")))
            let names = try JSON(run("ip", ["-j", "address"]).output).array.map(\.ifname.string)
            #expect(names.contains("lo") && addresses.array.map(\.ifname.string) == names)
            for entry in try entries("host/") { #expect(entry.role.string == "host") }
        }

        /// Files and snapshot are of one moment: keys that change in between are taken again, once.
        @Test func keysThatChangeMeanwhile() throws {
            let server = try Laboratory.shared().bulkServer(.v3_5)
            let store = try TestStore(server)
            let node = try ControlPlaneNode(in: store.directory, runs: server)
            let valve = try Valve(to: server.clientPort, limit: 10_000_000)
            defer { valve.close() }
            let arguments = ["backup", "--root", node.root, "-r", store.key.recipient, "-o", "json"]
            let backup = try SnapTool.start(arguments + server.flags(port: valve.port) + store.flags)
            try valve.waitUntilHeld { backup.isRunning }
            try node.change("echo >>etc/kubernetes/pki/ca.key")
            valve.open()
            let result = try backup.wait()
            #expect(result.errorText.contains("beginning again"), "\(result.errorText)")
            // This server's data are a copy of another's, whose URLs are still in its list of members.
            let findings = try JSON(result.output).findings.array
            #expect(findings.map(\.code.string) == ["member-list-mismatch"], "\(result.errorText)")
            let target = store.directory.file("restored")
            try SnapTool.run(["restore", "files", "-i", store.key.path, "--target", target] + store.flags)
            #expect(try differencesBelow(node.root, target) == [])
            #expect(try store.names().count == 2)
        }

        /// Each thing that can't be taken is said, and the rest is there.
        @Test func aHostileTree() throws {
            try node.change(
                """
                mkdir -p etc/cni/net.d; cd etc/cni/net.d
                mkfifo 10-pipe.conflist; ln -s two one; ln -s one two; truncate -s 10G huge
                printf x >$'latin-\\xe9'; printf x >$'new\\nline'; printf x >fine; ln -s ../../shadow escape
                printf 'root:canary\\n' >../../shadow
                cd ../../kubernetes/manifests; : >empty.yaml; printf 'kind: Pod\\nspec: {{ [' >broken.yaml
                mkfifo pipe.yaml; truncate -s 10G huge.yaml
                """)
            let result = try SnapTool.attempt(backup(store.server.flags()), seconds: 30)
            #expect(result.status == 3, "\(result.errorText)")
            let report = try JSON(result.output)
            #expect(
                Set(report.skipped.array.map(\.path.string)).isSuperset(of: [
                    "/etc/cni/net.d/10-pipe.conflist", "/etc/kubernetes/manifests/pipe.yaml",
                ]))
            let found = Set(report.findings.array.map { "\($0.code.string) \($0.subject.string)" })
            #expect(
                found.isSuperset(of: [
                    "file-too-large /etc/cni/net.d/huge", "link-loop /etc/cni/net.d/one",
                    "link-loop /etc/cni/net.d/two", "link-leaves-tree /etc/cni/net.d/escape",
                    "file-too-large /etc/kubernetes/manifests/huge.yaml",
                    "manifest-unparsable /etc/kubernetes/manifests/empty.yaml",
                    "manifest-unparsable /etc/kubernetes/manifests/broken.yaml",
                ]), "\(found)")
            let target = store.directory.file("restored")
            try SnapTool.run(["restore", "files", "-i", store.key.path, "--target", target] + store.flags)
            try node.change("rm etc/shadow; find . -size +1G -delete; find . -type p -delete")
            // But for the times of directories that have just lost an entry.
            #expect(try differencesBelow(node.root, target).filter { !$0.hasPrefix(".d..t......") } == [])
        }
    }
}
