import Foundation
import TestSupport
import Testing

extension Integration {
    /// Whole backups of servers of k3s and RKE2.
    @Suite struct RancherTests {
        private static let moved = "/data/k3s"

        enum Place: String, CaseIterable {
            case standard, configuration, dropIn, environment, defaults, unit, openRC
        }

        /// Wherever the data directory is named, everything below it is found, and the etcd there is snapshotted.
        @Test(arguments: Place.allCases) func k3sWithEtcd(_ place: Place) throws {
            let node = try RancherTree(data: place == .standard ? nil : Self.moved)
            let etcd = try node.startEtcd()
            defer { etcd.kill() }
            try node.addEtcd(etcd)
            let variables = "K3S_TOKEN='s3cret'\n"
            switch place {
            case .standard: try node.addUnit(variables: variables)
            case .configuration:
                try node.addUnit()
                try node.tree.write("data-dir: \(node.data)\ncluster-init: true\n", to: "/etc/rancher/k3s/config.yaml")
            case .dropIn:
                try node.addUnit()
                try node.tree.write("data-dir: /wrong\n", to: "/etc/rancher/k3s/config.yaml.d/10-a.yaml")
                try node.tree.write("data-dir: \(node.data)\n", to: "/etc/rancher/k3s/config.yaml.d/20-b.yaml")
            case .environment: try node.addUnit(variables: variables + "K3S_DATA_DIR=\"\(node.data)\"\n")
            case .defaults:
                try node.addUnit()
                try node.tree.write("K3S_DATA_DIR=\(node.data)\n", to: "/etc/default/k3s")
            case .unit: try node.addUnit(["server", "'--cluster-init'", "'--data-dir'", "'\(node.data)'"])
            case .openRC: try node.addOpenRCService(variables: variables + "K3S_DATA_DIR='\(node.data)'\n")
            }
            let backup = try DistributionBackup(of: node.tree)
            let report = try backup.expect(findings: [])
            backup.expect(etcds: ["etcd"], in: report)
            #expect(report.skipped.array.map(\.path.string).contains("\(node.data)/agent/images/airgap.tar.zst"))
            let classes = try backup.classes()
            let left: Set = ["\(node.data)/agent/images/airgap.tar.zst", "\(node.data)/server/db/etcd/member/snap/db"]
            #expect(try node.tree.files().subtracting(left) == Set(classes.keys))
            #expect(classes["\(node.data)/server/db/etcd/name"] == "etcd-configuration")
            #expect(!(try backup.manifestText()).contains("s3cret"))
        }

        @Test func defectsOfK3s() throws {
            let node = try RancherTree()
            let etcd = try node.startEtcd()
            defer { etcd.kill() }
            try node.addEtcd(etcd)
            try node.addUnit()
            let backup = try DistributionBackup(of: node.tree)
            let configuration = "\(node.data)/server/db/etcd/config"
            try node.tree.change("sed -i 's/^name: .*/name: other/' .\(configuration)")
            try backup.expect(findings: ["member-list-mismatch \(configuration)"])
            try node.tree.change(
                "sed -i 's/^name: .*/name: \(etcd.name)/' .\(configuration); rm .\(node.data)/server/token")
            try backup.expect(findings: ["token-missing \(node.data)/server/token"])
            try node.tree.write("K10aabb::server:ccdd\n", to: "\(node.data)/server/token")
            try node.tree.change("cp .\(node.tls)/client-admin.key .\(node.tls)/client-supervisor.key")
            try backup.expect(findings: ["key-mismatch \(node.tls)/client-supervisor.key"])
        }

        private func addSQLite(_ node: RancherTree, _ path: String) throws {
            try node.tree.change("mkdir -p \"$(dirname .\(path))\"")
            try run(
                "sqlite3", [node.tree.file(path), "CREATE TABLE kine (id INTEGER); INSERT INTO kine VALUES (1);"])
        }

        @Test(arguments: [nil, "sqlite:///srv/kine.db?_journal=WAL"]) func k3sWithSQLite(_ endpoint: String?) throws {
            let node = try RancherTree()
            let path = endpoint == nil ? "\(node.data)/server/db/state.db" : "/srv/kine.db"
            try addSQLite(node, path)
            try node.addUnit(variables: endpoint.map { "K3S_DATASTORE_ENDPOINT='\($0)'\n" } ?? "")
            let backup = try DistributionBackup(of: node.tree)
            let report = try backup.expect(findings: [])
            backup.expect(etcds: [], in: report)
            #expect(try backup.classes()[path] == "datastore")
        }

        /// The password of the database is where k3s has it, and in nothing that is said.
        @Test(arguments: ["unit", "env", "configuration", "dropIn", "openRC"])
        func k3sWithAnotherDatabase(_ place: String) throws {
            let node = try RancherTree()
            let password = "pa55-w0rd"
            let endpoint = "postgres://k3s:\(password)@10.0.0.9:5432/k3s?sslmode=disable"
            let source: String
            switch place {
            case "unit":
                try node.addUnit(["server", "'--datastore-endpoint=\(endpoint)'"])
                source = "/etc/systemd/system/k3s.service"
            case "env":
                try node.addUnit(variables: "K3S_DATASTORE_ENDPOINT='\(endpoint)'\n")
                source = "/etc/systemd/system/k3s.service"
            case "configuration":
                try node.tree.write("datastore-endpoint: \(endpoint)\n", to: "/etc/rancher/k3s/config.yaml")
                source = "/etc/rancher/k3s/config.yaml"
            case "dropIn":
                try node.tree.write("datastore-endpoint: \(endpoint)\n", to: "/etc/rancher/k3s/config.yaml.d/a.yaml")
                source = "/etc/rancher/k3s/config.yaml.d/a.yaml"
            default:
                try node.addOpenRCService(variables: "K3S_DATASTORE_ENDPOINT='\(endpoint)'\n")
                source = "/etc/init.d/k3s"
            }
            // What a server had before it was told to use another database is not its data.
            try addSQLite(node, "\(node.data)/server/db/state.db")
            let backup = try DistributionBackup(of: node.tree)
            let report = try backup.expect(findings: ["datastore-elsewhere \(source)"])
            backup.expect(etcds: [], in: report)
            #expect(try backup.classes()["\(node.tls)/server-ca.key"] == "ca-key")
            var said = try backup.manifestText()
            for arguments in [["-v"], ["-o", "json"], ["-o", "table"], ["--dry-run"]] {
                let result = try backup.run(arguments)
                said += result.text + result.errorText
            }
            for arguments in [["-v"], ["-o", "json"], ["-o", "yaml"]] {
                let result = try backup.doctor(arguments)
                said += result.text + result.errorText
                #expect(result.status == 3)
            }
            #expect(said.contains("postgres") && !said.contains(password))
            // Whoever backs the database up by itself has a backup of files without a remark.
            try backup.expect(findings: [], ["--no-etcd"])
            let refused = try backup.run(["--no-etcd", "--endpoints", "https://127.0.0.1:1"])
            #expect(refused.status == 2)
            let accepting = "accept:\n  - {code: datastore-elsewhere, reason: it has dumps of its own}\n"
            try node.tree.write(accepting, to: "/srv/accept.yaml")
            for flags in [["--no-etcd"], ["--config", "\(node.tree.root)/srv/accept.yaml"]] {
                let result = try backup.doctor(["-o", "json"] + flags)
                let check = try JSON(result.output).checks.array.first { $0.name.string == "etcd" }
                #expect(check?.status.string == "ok", "\(result.text)")
            }
        }

        @Test func k3sWithAnotherEtcd() throws {
            let node = try RancherTree()
            let etcd = try node.startEtcd()
            defer { etcd.kill() }
            try node.addUnit(
                ["server", "--datastore-cafile=\(node.etcdCA)", "--datastore-certfile=\(node.etcdClient.certificate)"],
                variables: "K3S_DATASTORE_ENDPOINT=\(etcd.clientURL)\nK3S_DATASTORE_KEYFILE=\(node.etcdClient.key)\n")
            let backup = try DistributionBackup(of: node.tree)
            let report = try backup.expect(findings: [])
            backup.expect(etcds: ["etcd"], in: report)
        }

        @Test(arguments: [nil, "/data/rke2"]) func rke2(_ data: String?) throws {
            let node = try RancherTree("rke2", data: data)
            let etcd = try node.startEtcd()
            defer { etcd.kill() }
            try node.addEtcd(etcd)
            try node.addStaticPods(etcdServers: etcd.clientURL)
            if data != nil {
                try node.tree.write("token: s3cret\n", to: "/etc/rancher/rke2/config.yaml")
                try node.tree.write("data-dir: \(node.data)\n", to: "/etc/rancher/rke2/config.yaml.d/50.yaml")
            }
            let backup = try DistributionBackup(of: node.tree)
            let report = try backup.expect(findings: [])
            backup.expect(etcds: ["etcd"], in: report)
            let classes = try backup.classes()
            #expect(classes["\(node.data)/agent/pod-manifests/etcd.yaml"] == "static-pod")
            #expect(classes["\(node.data)/server/db/etcd/config"] == "etcd-configuration")
            // The file that etcd has all its settings in is what it is judged by.
            try node.tree.change("sed -i 's/^name: .*/name: gone/' .\(node.data)/server/db/etcd/config")
            try backup.expect(findings: ["member-list-mismatch \(node.data)/agent/pod-manifests/etcd.yaml"])
            try node.tree.change("sed -i 's/^name: .*/name: \(etcd.name)/' .\(node.data)/server/db/etcd/config")
            try node.tree.change("rm .\(node.tls)/request-header-ca.crt")
            try backup.expect(findings: ["reference-missing \(node.tls)/request-header-ca.crt"])
        }
    }
}
