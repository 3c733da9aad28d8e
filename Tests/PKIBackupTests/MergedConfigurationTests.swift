import Foundation
import SealedArchive
import TestSupport
import Testing

@testable import PKIBackup

/// Where real nodes keep their settings, and which of them counts.
@Suite(.timeLimit(.minutes(45))) struct MergedConfigurationTests {
    private let tree: NodeTree

    init() throws { tree = try NodeTree() }

    /// k3s, `install.sh`, `create_systemd_service_file`.
    private func writeK3sUnit(_ arguments: String = "server") throws {
        try tree.write(
            """
            [Service]
            EnvironmentFile=-/etc/default/%N
            EnvironmentFile=-/etc/sysconfig/%N
            EnvironmentFile=-/etc/systemd/system/k3s.service.env
            ExecStartPre=-/sbin/modprobe br_netfilter
            ExecStart=/usr/local/bin/k3s \\
                \(arguments) \\

            """, to: "/etc/systemd/system/k3s.service")
    }

    private func dataDirectory() throws -> String? {
        let layout = tree.discover()
        #expect(layout.findings.isEmpty, "\(layout.findings)")
        return layout.reference("/data/k3s/server/tls") == nil ? nil : layout.component("k3s")?.flags["data-dir"]?.last
    }

    @Test(arguments: [
        "config", "drop-in", "drop-in alone", "env", "default", "sysconfig", "unit", "unit drop-in", "openrc", "conf.d",
        "process",
    ])
    func theDataDirectoryOfK3sIsFound(_ place: String) throws {
        try tree.touch(["/data/k3s/server/tls/server-ca.crt", "/data/k3s/server/token"])
        let variable = "K3S_TOKEN='s ecret'\nK3S_DATA_DIR='/data/k3s'\n"
        var processes: TemporaryDirectory?
        switch place {
        case "config": try tree.write("data-dir: /data/k3s\n", to: "/etc/rancher/k3s/config.yaml")
        case "drop-in":
            try tree.write("data-dir: /wrong\n", to: "/etc/rancher/k3s/config.yaml")
            try tree.write("data-dir: /also-wrong\n", to: "/etc/rancher/k3s/config.yaml.d/10.yaml")
            try tree.write("data-dir: /data/k3s\n", to: "/etc/rancher/k3s/config.yaml.d/20.YML")
            try tree.write("data-dir: /not-read\n", to: "/etc/rancher/k3s/config.yaml.d/30.txt")
        case "drop-in alone": try tree.write("data-dir: /data/k3s\n", to: "/etc/rancher/k3s/config.yaml.d/x.yaml")
        case "env":
            try writeK3sUnit()
            try tree.write(variable, to: "/etc/systemd/system/k3s.service.env")
        case "default":
            try writeK3sUnit()
            try tree.write(variable, to: "/etc/default/k3s")
        case "sysconfig":
            try writeK3sUnit()
            try tree.write(variable, to: "/etc/sysconfig/k3s")
        case "unit": try writeK3sUnit("server \\\n\t'--data-dir' \\\n\t'/data/k3s'")
        case "unit drop-in":
            try writeK3sUnit("server --data-dir=/wrong")
            try tree.write(
                "[Service]\nExecStart=\nExecStart=/usr/local/bin/k3s server -d /data/k3s\n",
                to: "/run/systemd/system/k3s.service.d/a.conf")
        case "openrc", "conf.d":
            // k3s, `install.sh`, `create_openrc_service_file`.
            try tree.write(
                """
                #!/sbin/openrc-run
                depend() {
                    after network-online
                }
                supervisor=supervise-daemon
                command="/usr/local/bin/k3s"
                command_args="server \\
                    '--disable' 'traefik' \\
                    ${K3S_EXTRA} >>/var/log/k3s.log 2>&1"
                set -o allexport
                if [ -f /etc/environment ]; then . /etc/environment; fi
                if [ -f /etc/rancher/k3s/k3s.env ]; then . /etc/rancher/k3s/k3s.env; fi
                set +o allexport
                """, to: "/etc/init.d/k3s")
            if place == "openrc" { try tree.write("export \(variable)", to: "/etc/rancher/k3s/k3s.env") }
            if place == "openrc" { try tree.write(variable, to: "/etc/rancher/k3s/k3s.env") }
            if place == "conf.d" { try tree.write("K3S_EXTRA='--data-dir=/data/k3s'\n", to: "/etc/conf.d/k3s") }
        default:
            // The arguments are overwritten (k3s, `pkg/proctitle`); the environment remains.
            let directory = try TemporaryDirectory()
            try run("mkdir", [directory.file("10")])
            try directory.write("/usr/local/bin/k3s server\0\0\0\0\0\0", to: "10/cmdline")
            try directory.write("K3S_TOKEN=secret\0K3S_DATA_DIR=/data/k3s\0", to: "10/environ")
            try directory.write("PPid:\t1\nUid:\t0 0 0 0\n", to: "10/status")
            try directory.write("0::/system.slice/k3s.service\n", to: "10/cgroup")
            processes = directory
        }
        if let processes {
            #expect(tree.discover(processes: processes.path).component("k3s")?.flags["data-dir"] == ["/data/k3s"])
        } else {
            #expect(try dataDirectory() == "/data/k3s")
        }
        #expect(!tree.discover().components.contains { "\($0)".contains("ecret") })
    }

    /// Arguments before files, files before the environment; `key+` adds to what other files set.
    @Test func precedenceOfK3s() throws {
        try writeK3sUnit("server --data-dir=/argument --kube-apiserver-arg=c=3")
        try tree.write(
            "K3S_DATA_DIR=/environment\nK3S_DATASTORE_ENDPOINT=\nK3S_KUBECONFIG_OUTPUT=/e\n", to: "/etc/default/k3s")
        try tree.write(
            "data-dir: /file\nwrite-kubeconfig: /f\nkube-apiserver-arg: [a=1]\ntls-san: x\n",
            to: "/etc/rancher/k3s/config.yaml")
        try tree.write(
            "kube-apiserver-arg+: [b=2]\ntls-san+: y\nwrite-kubeconfig: /g\n",
            to: "/etc/rancher/k3s/config.yaml.d/a.yaml")
        let layout = tree.discover()
        let server = try #require(layout.component("k3s"))
        #expect(server.flags["data-dir"] == ["/argument"])
        #expect(server.flags["kube-apiserver-arg"] == ["a=1", "b=2", "c=3"])
        #expect(server.flags["tls-san"] == ["x", "y"] && server.flags["write-kubeconfig"] == ["/g"])
        #expect(server.configuration["write-kubeconfig"].map(\.origin) == ["/etc/rancher/k3s/config.yaml.d/a.yaml"])
        try tree.write("kube-apiserver-arg: [d=4]\n", to: "/etc/rancher/k3s/config.yaml.d/b.yaml")
        #expect(tree.discover().component("k3s")?.flags["kube-apiserver-arg"] == ["d=4", "c=3"])
    }

    @Test func anotherConfigurationFileOfK3s() throws {
        try writeK3sUnit("server --config /etc/own.yaml")
        try tree.write("data-dir: /data/k3s\n", to: "/etc/own.yaml.d/1.yaml")
        try tree.write("data-dir: /wrong\n", to: "/etc/rancher/k3s/config.yaml")
        #expect(tree.discover().component("k3s")?.flags["data-dir"] == ["/data/k3s"])
        try tree.write("data-dir: /third\n", to: "/etc/third.yaml")
        try tree.write("K3S_CONFIG_FILE=/etc/third.yaml\n", to: "/etc/default/k3s")
        #expect(tree.discover().component("k3s")?.flags["data-dir"] == ["/third"])
    }

    /// RKE2's static pods are below its data directory, wherever that is.
    @Test func staticPodsOfAMovedRKE2() throws {
        try tree.write("data-dir: /data/rke2\n", to: "/etc/rancher/rke2/config.yaml.d/1.yaml")
        try tree.write(
            "kind: Pod\nmetadata: {name: s}\nspec: {containers: [{name: s, command: [kube-scheduler]}]}",
            to: "/data/rke2/agent/pod-manifests/kube-scheduler.yaml")
        #expect(tree.discover().component("kube-scheduler") != nil)
    }

    // MARK: kubelet

    @Test func dropInsOfTheKubelet() throws {
        try tree.write(
            """
            [Service]
            Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml --config-dir=/etc/kubernetes/kubelet.conf.d"
            EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
            EnvironmentFile=-/etc/default/kubelet
            ExecStart=
            ExecStart=/usr/bin/kubelet $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
            """, to: "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf")
        try tree.write("[Service]\nExecStart=/usr/bin/kubelet", to: "/usr/lib/systemd/system/kubelet.service")
        try tree.write("KUBELET_KUBEADM_ARGS=\"--root-dir=/data/kubelet\"\n", to: "/var/lib/kubelet/kubeadm-flags.env")
        try tree.write(
            "kind: KubeletConfiguration\nstaticPodPath: /etc/wrong\ntlsCertFile: /etc/k/tls.crt\n",
            to: "/var/lib/kubelet/config.yaml")
        try tree.write("staticPodPath: /etc/own\n", to: "/etc/kubernetes/kubelet.conf.d/20.conf")
        try tree.write("staticPodPath: /etc/not-read\n", to: "/etc/kubernetes/kubelet.conf.d/30.yaml")
        for (directory, name) in [("own", "kube-scheduler"), ("wrong", "kube-proxy"), ("not-read", "dex")] {
            try tree.write(
                "kind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: p, command: [\(name)]}]}",
                to: "/etc/\(directory)/p.yaml")
        }
        try tree.touch(["/data/kubelet/config.json", "/data/kubelet/seccomp/a.json", "/data/kubelet/pki/kubelet.key"])
        let layout = tree.discover()
        #expect(layout.components.map(\.name) == ["kubelet", "kube-scheduler"])
        #expect(layout.component("kubelet")?.flags["tls-cert-file"] == ["/etc/k/tls.crt"])
        #expect(layout.reference("/data/kubelet/config.json")?.captureClass == .kubeletConfiguration)
        #expect(layout.reference("/data/kubelet/seccomp")?.captureClass == .kubeletConfiguration)
        #expect(layout.reference("/data/kubelet/pki")?.captureClass == .kubeletPKI)
    }

    // MARK: etcd

    private static let etcdFlags =
        "ETCD_NAME=cp0\nETCD_DATA_DIR=/srv/etcd\nETCD_LISTEN_CLIENT_URLS=https://10.0.0.1:2379\n"

    /// `/etc/etcd/etcd.conf` of RHEL's package, by its unit's shell and without the unit.
    @Test(arguments: [true, false]) func etcdByItsEnvironmentFile(_ hasUnit: Bool) throws {
        try tree.write(Self.etcdFlags, to: "/etc/etcd/etcd.conf")
        try tree.touch(["/srv/etcd/member/snap/db"])
        if hasUnit {
            try tree.write(
                """
                [Service]
                EnvironmentFile=-/etc/etcd/etcd.conf
                User=etcd
                ExecStart=/bin/bash -c "GOMAXPROCS=$(nproc) /usr/bin/etcd --name=\\"${ETCD_NAME}\\" --data-dir=\\"${ETCD_DATA_DIR}\\""
                """, to: "/usr/lib/systemd/system/etcd.service")
            try tree.make(
                "mkdir -p etc/systemd/system/multi-user.target.wants; ln -s /usr/lib/systemd/system/etcd.service etc/systemd/system/multi-user.target.wants"
            )
        }
        let layout = tree.discover()
        #expect(layout.etcds.map(\.endpoints) == [["https://10.0.0.1:2379"]])
        #expect(layout.etcds.map(\.dataDirectory) == ["/srv/etcd"])
        #expect(layout.component("etcd")?.flags["name"] == ["cp0"])
        #expect(layout.reference("/etc/etcd/etcd.conf") != nil || layout.reference("/etc/etcd") != nil)
    }

    /// With a configuration file etcd takes neither flags nor variables.
    @Test func theConfigurationFileOfEtcdIsAlone() throws {
        try tree.write(
            """
            name: from-file
            data-dir: /var/lib/etcd
            listen-client-urls: https://127.0.0.1:2379
            initial-advertise-peer-urls: https://10.0.0.1:2380
            client-transport-security: {cert-file: /etc/e/s.crt, client-cert-auth: true, trusted-ca-file: /etc/e/ca.crt}
            peer-transport-security: {cert-file: /etc/e/p.crt}
            log-outputs: [stderr, /etc/e/log]
            """, to: "/etc/e/config")
        for (arguments, variables) in [
            ("--config-file=/etc/e/config --name=flag", ""), ("", "{name: ETCD_CONFIG_FILE, value: /etc/e/config}, "),
        ] {
            try tree.write(
                """
                kind: Pod
                metadata: {name: etcd}
                spec:
                  containers:
                  - name: etcd
                    command: [etcd, \(arguments.split(separator: " ").joined(separator: ", "))]
                    env: [\(variables){name: ETCD_NAME, value: variable}]
                    volumeMounts: [{name: e, mountPath: /etc/e}]
                  volumes: [{name: e, hostPath: {path: /etc/e}}]
                """, to: "/etc/kubernetes/manifests/etcd.yaml")
            let etcd = try #require(tree.discover().component("etcd"))
            #expect(etcd.flags["name"] == ["from-file"] && etcd.flags["peer-cert-file"] == ["/etc/e/p.crt"])
            #expect(etcd.flags["trusted-ca-file"] == ["/etc/e/ca.crt"])
            #expect(etcd.flags["initial-advertise-peer-urls"] == ["https://10.0.0.1:2380"])
        }
    }

    @Test func theNameOfEtcdFromItsEnvironment() throws {
        try tree.write(
            """
            kind: Pod
            metadata: {name: etcd}
            spec:
              containers:
              - name: etcd
                command: [etcd, --listen-client-urls=https://127.0.0.1:2379]
                env: [{name: NODE, value: cp0}, {name: ETCD_NAME, value: $(NODE)}, {name: ETCD_WAL_DIR, valueFrom: {fieldRef: {fieldPath: a}}}]
            """, to: "/etc/kubernetes/manifests/etcd.yaml")
        let etcd = try #require(tree.discover().component("etcd"))
        #expect(etcd.flags["name"] == ["cp0"] && etcd.flags["wal-dir"] == nil)
    }

    /// A package's unit that nobody has enabled is no etcd of the node.
    @Test func anIdleUnitIsNoEtcd() throws {
        try tree.write("[Service]\nExecStart=/usr/bin/etcd $DAEMON_ARGS", to: "/lib/systemd/system/etcd.service")
        #expect(tree.discover().etcds.isEmpty)
        try tree.make(
            "mkdir -p etc/systemd/system/multi-user.target.wants; ln -s /lib/systemd/system/etcd.service etc/systemd/system/multi-user.target.wants"
        )
        #expect(tree.discover().etcds.map(\.endpoints) == [["http://127.0.0.1:2379"]])
    }

    @Test func etcdInAContainerOfAUnit() throws {
        try tree.write(
            """
            [Service]
            ExecStart=/usr/bin/docker run --rm -v /srv/pki:/etc/ssl/etcd:ro --volume=/srv/data:/data \\
              --mount type=bind,source=/srv/ca,target=/ca quay.io/etcd:v3 /usr/local/bin/etcd --data-dir=/data \\
              --cert-file=/etc/ssl/etcd/s.crt --trusted-ca-file=/ca/ca.crt --listen-client-urls=https://127.0.0.1:2379
            """, to: "/etc/systemd/system/etcd.service")
        try tree.make(
            "mkdir -p srv/data/member etc/systemd/system/a.target.wants; ln -s ../etcd.service etc/systemd/system/a.target.wants"
        )
        let layout = tree.discover()
        #expect(layout.reference("/srv/pki/s.crt")?.captureClass == .certificate)
        #expect(layout.etcds.first?.caPath == "/srv/ca/ca.crt" && layout.etcds.first?.dataDirectory == "/srv/data")
    }
}
