import Foundation
import TestSupport
import Testing

extension Integration {
    /// Whole backups of nodes whose servers are started in other ways than installers have them.
    @Suite struct StartTests {
        private static let policy = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n"

        /// k3s below `/srv/prod-k3s`, of which everything is captured.
        private func expectWhole(
            _ node: RancherTree, _ prepare: (RancherTree) throws -> Void,
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let etcd = try node.startEtcd()
            defer { etcd.kill() }
            try node.addEtcd(etcd)
            try prepare(node)
            let backup = try DistributionBackup(of: node.tree)
            let report = try backup.expect(findings: [], sourceLocation: sourceLocation)
            backup.expect(etcds: ["etcd"], in: report, sourceLocation: sourceLocation)
            let classes = try backup.classes()
            let left: Set = ["\(node.data)/agent/images/airgap.tar.zst", "\(node.data)/server/db/etcd/member/snap/db"]
            #expect(
                try node.tree.files().subtracting(left).subtracting(classes.keys) == [], sourceLocation: sourceLocation)
            #expect(classes["\(node.tls)/server-ca.key"] == "ca-key", sourceLocation: sourceLocation)
        }

        /// Instances by links of either kind and by an alias, with drop-ins of the template and of the instance.
        @Test(arguments: ["relative", "absolute", "requires", "alias"]) func k3sByATemplate(_ link: String) throws {
            try expectWhole(RancherTree(data: "/srv/prod-k3s")) { node in
                let directory = "/etc/systemd/system"
                try node.tree.write(
                    "[Service]\nExecStart=/opt/bin/k3s server $ARGUMENTS\n[Install]\nWantedBy=multi-user.target\n",
                    to: "\(directory)/k3s@.service")
                try node.tree.write(
                    "[Service]\nEnvironment=ARGUMENTS=--data-dir=/wrong\n", to: "\(directory)/k3s@.service.d/10.conf")
                try node.tree.write(
                    "[Service]\nEnvironment=ARGUMENTS=--data-dir=/srv/%i-k3s\n",
                    to: "\(directory)/k3s@prod.service.d/20.conf")
                let script =
                    switch link {
                    case "relative": "mkdir a.target.wants; ln -s ../k3s@.service a.target.wants/k3s@prod.service"
                    case "absolute":
                        "mkdir a.target.wants; ln -s \(directory)/k3s@.service a.target.wants/k3s@prod.service"
                    case "requires":
                        "mkdir a.target.requires; ln -s ../k3s@.service a.target.requires/k3s@prod.service"
                    default:
                        "mkdir a.target.wants; ln -s k3s@.service k3s@prod.service; ln -s k3s@prod.service k3s.service; ln -s ../k3s.service a.target.wants"
                    }
                try node.tree.change("cd .\(directory); \(script); rm -f k3s@.service.d/none")
            }
        }

        @Test(arguments: [
            "/usr/bin/env K3S_DATA_DIR=/srv/prod-k3s /usr/local/bin/k3s server",
            "/usr/bin/env -i /bin/sh -c 'K3S_DATA_DIR=/srv/prod-k3s exec nice -n 5 k3s server'",
            "/usr/bin/systemd-run --scope -E K3S_DATA_DIR=/srv/prod-k3s /usr/local/bin/k3s server",
            "/usr/bin/taskset -c 0-3 /usr/local/bin/k3s server --data-dir=%s/../srv/prod-k3s",
            "/opt/k3s/start.sh --data-dir /srv/prod-k3s",
            "/usr/bin/podman run --rm --privileged -v /srv/prod-k3s:/srv/prod-k3s docker.io/rancher/k3s:v1.33.1-k3s1 server --data-dir=/srv/prod-k3s",
        ])
        func k3sBehindAWrapper(_ command: String) throws {
            try expectWhole(RancherTree(data: "/srv/prod-k3s")) { node in
                let command = command.replacing("%s/..", with: "")
                try node.tree.write("[Service]\nExecStart=\(command)\n", to: "/etc/systemd/system/cluster.service")
                if command.contains("start.sh") {
                    try node.tree.write(
                        "#!/bin/sh\nset -e\nulimit -n 65536\nexec /usr/local/bin/k3s server \"$@\"\n",
                        to: "/opt/k3s/start.sh",
                        mode: 0o755)
                }
            }
        }

        @Test func k3sInAQuadlet() throws {
            try expectWhole(RancherTree(data: "/srv/prod-k3s")) { node in
                try node.tree.write(
                    """
                    [Container]
                    Image=docker.io/rancher/k3s:v1.33.1-k3s1
                    Network=host
                    PodmanArgs=--privileged
                    Volume=/srv/prod-k3s:/srv/prod-k3s
                    Exec=server --data-dir=/srv/prod-k3s
                    [Install]
                    WantedBy=multi-user.target
                    """, to: "/etc/containers/systemd/k3s.container")
            }
        }

        /// Arguments of components with dashes in front, in each place that k3s reads them from.
        @Test(arguments: ["list", "text", "added", "unit", "variable"]) func k3sArgumentsWithDashes(
            _ place: String
        ) throws {
            try expectWhole(RancherTree(data: "/srv/prod-k3s")) { node in
                let argument = "--audit-policy-file=/srv/policy.yaml"
                try node.tree.write(Self.policy, to: "/srv/policy.yaml")
                var arguments = ["server", "'--data-dir=\(node.data)'"]
                var configuration: (name: String, text: String)?
                switch place {
                case "list": configuration = ("config.yaml", "kube-apiserver-arg: [\"v=2\", \"\(argument)\"]\n")
                case "text": configuration = ("config.yaml", "kube-apiserver-arg: \(argument)\n")
                case "added": configuration = ("config.yaml.d/1.yaml", "kube-apiserver-arg+:\n- \"\(argument)\"\n")
                case "unit": arguments.append("'--kube-apiserver-arg' '\(argument)'")
                default: arguments.append("$EXTRA")
                }
                try node.addUnit(arguments, variables: "EXTRA='--kube-apiserver-arg=\(argument)'\n")
                if let configuration {
                    try node.tree.write(configuration.text, to: "/etc/rancher/k3s/\(configuration.name)")
                }
            }
        }

        @Test func k0sWithArguments() throws {
            let node = try K0sTree()
            let etcd = try node.tree.startEtcd(
                ca: node.etcdCA.certificate, server: node.etcdServer, client: node.etcdClient)
            defer { etcd.kill() }
            try node.tree.write("", to: "/var/lib/k0s/etcd/member/snap/db")
            try node.tree.write(Self.policy, to: "/srv/policy.yaml")
            let key = Data(repeating: 7, count: 32).base64EncodedString()
            try node.tree.write(
                """
                apiVersion: apiserver.config.k8s.io/v1
                kind: EncryptionConfiguration
                resources:
                - resources: [secrets]
                  providers: [{aescbc: {keys: [{name: k, secret: "\(key)"}]}}, {identity: {}}]
                """, to: "/srv/encryption.yaml", mode: 0o600)
            try node.tree.write("kind: KubeSchedulerConfiguration\n", to: "/srv/scheduler.yaml")
            let storage = "{type: etcd, etcd: {extraArgs: {listen-client-urls: \"\(etcd.clientURL)\"}}}"
            try node.configure(
                storage: """
                    \(storage)
                      api:
                        extraArgs: {audit-policy-file: /srv/policy.yaml}
                        rawArgs: ["--encryption-provider-config=/srv/encryption.yaml"]
                      scheduler: {extraArgs: {config: /srv/scheduler.yaml}}
                      controllerManager: {rawArgs: ["--root-ca-file", /srv/root.crt]}
                    """)
            let backup = try DistributionBackup(of: node.tree)
            let report = try backup.expect(findings: ["reference-missing /srv/root.crt"])
            backup.expect(etcds: ["etcd"], in: report)
            try node.tree.change("cp var/lib/k0s/pki/ca.crt srv/root.crt")
            try backup.expect(findings: [])
            let classes = try backup.classes()
            #expect(classes["/srv/policy.yaml"] == "audit-policy" && classes["/srv/root.crt"] == "ca-certificate")
            #expect(classes["/srv/encryption.yaml"] == "encryption-configuration")
            #expect(classes["/srv/scheduler.yaml"] != nil)
        }

        // MARK: kubeadm

        /// The API server of the fixture as an instance of a template, behind a wrapper, with its files somewhere else.
        @Test func theAPIServerByATemplate() throws {
            let tree = try NodeTreeBuilder()
            try tree.addKubeadm()
            let etcd = try tree.startKubeadmEtcd()
            defer { etcd.kill() }
            try tree.write(Self.policy, to: "/srv/api-a/policy.yaml")
            try tree.change(
                #"""
                mkdir -p etc/systemd/system/multi-user.target.wants; cd etc/systemd/system
                { printf '[Service]\nWorkingDirectory=/srv/%%p-%%i\nExecStart=/usr/bin/nice -n -5 /usr/bin/hyperkube apiserver \\\n'
                  sed -n 's/^    - \(--.*\)/  "\1" \\/p' ../../kubernetes/manifests/kube-apiserver.yaml
                  printf '  --audit-policy-file=policy.yaml\n'; } >api@.service
                grep -q etcd-servers api@.service
                ln -s ../api@.service multi-user.target.wants/api@a.service
                rm ../../kubernetes/manifests/kube-apiserver.yaml
                """#)
            let backup = try DistributionBackup(of: tree)
            let report = try backup.expect(findings: [])
            backup.expect(etcds: ["etcd"], in: report)
            let classes = try backup.classes()
            #expect(classes["/srv/api-a/policy.yaml"] == "audit-policy")
            #expect(classes["/etc/systemd/system/api@.service"] == "systemd")
            #expect(classes["/etc/kubernetes/pki/sa.key"] == "service-account-key")
            try tree.change("sed -i 's#/srv/%p-%i#/srv/%b#' etc/systemd/system/api@.service")
            try backup.expect(findings: ["path-unresolved /etc/systemd/system/api@.service"])
        }

        /// A pod that lacks the volume of a file that its flag names: the file of the node is what was meant.
        @Test func flagsOfAPodWithoutTheirVolumes() throws {
            let tree = try NodeTreeBuilder()
            try tree.addKubeadm()
            let etcd = try tree.startKubeadmEtcd()
            defer { etcd.kill() }
            try tree.write(Self.policy, to: "/srv/policy.yaml")
            try tree.change(
                """
                cp -R etc/kubernetes/pki srv
                sed -i 's#/etc/kubernetes/pki#/srv/pki#g; /mountPath/d; /hostPath:/,+2d; s#^    volumeMounts:#    volumeMounts: []#; s#^  volumes:#  volumes: []#' \
                    etc/kubernetes/manifests/kube-apiserver.yaml
                sed -i 's#/etc/kubernetes/pki#/srv/pki#g' etc/kubernetes/manifests/*.yaml
                sed -i '/^      name: /d; /^      readOnly: true/d; /^    name: /d; s#^    - --allow-privileged=true#&\\n    - --audit-policy-file=/srv/policy.yaml#' \
                    etc/kubernetes/manifests/kube-apiserver.yaml
                """)
            let backup = try DistributionBackup(of: tree)
            let report = try backup.expect(findings: [])
            backup.expect(etcds: ["etcd"], in: report)
            let classes = try backup.classes()
            #expect(classes["/srv/policy.yaml"] == "audit-policy" && classes["/srv/pki/ca.key"] == "ca-key")
            #expect(classes["/srv/pki/apiserver.key"] == "private-key")
        }

        // MARK: Snaps

        /// MicroK8s has arguments in files and its data in dqlite.
        ///
        /// Source: MicroK8s 1.32, `microk8s-resources/default-args/kube-apiserver`.
        @Test func microK8s() throws {
            let tree = try NodeTreeBuilder()
            let data = "/var/snap/microk8s/7229"
            try tree.authority("\(data)/certs/ca", "10.152.183.1")
            try tree.issue(
                "\(data)/certs/server", "/CN=127.0.0.1",
                by: NodeTreeBuilder.Pair(certificate: "\(data)/certs/ca.crt", key: "\(data)/certs/ca.key"),
                names: NodeTreeBuilder.loopback + ["DNS:kubernetes.default.svc"])
            try tree.serviceAccountKey("\(data)/certs/serviceaccount.key")
            try tree.write(Self.policy, to: "/srv/policy.yaml")
            try tree.write(
                """
                --cert-dir=${SNAP_DATA}/certs
                --service-account-key-file=${SNAP_DATA}/certs/serviceaccount.key
                --client-ca-file=${SNAP_DATA}/certs/ca.crt
                --tls-cert-file=${SNAP_DATA}/certs/server.crt
                --tls-private-key-file=${SNAP_DATA}/certs/server.key
                --secure-port=16443
                --etcd-servers="unix://${SNAP_DATA}/var/kubernetes/backend/kine.sock:12379"
                --service-account-signing-key-file=${SNAP_DATA}/certs/serviceaccount.key
                # Added by hand
                --audit-policy-file=/srv/policy.yaml
                """, to: "\(data)/args/kube-apiserver", mode: 0o660)
            try tree.change("ln -s 7229 var/snap/microk8s/current")
            let backup = try DistributionBackup(of: tree)
            try backup.expect(findings: ["datastore-elsewhere /var/snap/microk8s/current/args/kube-apiserver"])
            try backup.expect(findings: [], ["--no-etcd"])
            let classes = try backup.classes()
            #expect(classes["/srv/policy.yaml"] == "audit-policy" && classes["\(data)/certs/ca.key"] == "ca-key")
            #expect(classes["\(data)/args/kube-apiserver"] == "distribution")
        }
    }
}
