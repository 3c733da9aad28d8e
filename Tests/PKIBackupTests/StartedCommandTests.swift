import Foundation
import SealedArchive
import TestSupport
import Testing

@testable import PKIBackup

/// What command lines start behind wrappers, shells, scripts and in containers.
@Suite(.timeLimit(.minutes(45))) struct StartedCommandTests {
    private static let command = "/opt/kube-apiserver --client-ca-file=/a"

    private func line(_ text: String, _ variables: [String: String] = [:]) -> CommandLineFlags {
        CommandLineFlags(UnitWords.split(text), variables: variables)
    }

    @Test(arguments: [
        "nice -n 5 %", "ionice -c2 -n 0 %", "chrt -f 10 %", "taskset -c 0-3 %", "numactl --cpunodebind=0 -m 0 %",
        "setpriv --reuid etcd --regid etcd %", "systemd-run --scope -p A=b %", "nsenter -t 1 -m %",
        "/sbin/tini -g -- %",
        "dumb-init %", "stdbuf -oL %", "timeout 5d %", "env -i %", "env -u A B=c %", "runuser -u etcd -- %",
        "sudo -u etcd A=b %", "flock /run/lock %", "ip netns exec blue %", "/opt/some-wrapper --level info %",
        "sh -c '%'", "bash -lc 'cd /srv && exec %'", "env A=b sh -c 'exec %'", "su etcd -s /bin/sh -c '%'",
        "env -S '%'", "nice env -- ionice -c3 %", "start-stop-daemon --start --exec %",
    ])
    func wrappers(_ wrapper: String) {
        let line = line(wrapper.replacing("%", with: Self.command))
        #expect(line.startsKnownProgram && line.program == "kube-apiserver")
        #expect(line.flags["client-ca-file"] == ["/a"])
    }

    @Test(arguments: [
        "systemctl restart kubelet", "chown -R etcd:etcd /var/lib/etcd", "rsync -a /var/lib/etcd --delete /backup",
        "curl --cacert /x/etcd --cert /y https://x", "journalctl -u kube-apiserver --follow", "pkill -f kube-apiserver",
        "sh -c 'echo \(command)'", "kubectl get pod kube-apiserver --kubeconfig=/x", "k3s kubectl get nodes",
        "k3s agent --token-file=/x", "test -x /usr/bin/etcd", "docker run alpine ls /srv/etcd",
        "podman pull kube-apiserver",
    ])
    func whatOnlyNamesAProgramStartsNone(_ text: String) { #expect(!line(text).startsKnownProgram) }

    @Test func wrappersGiveVariables() {
        #expect(
            line("env K3S_DATA_DIR=/d A=b k3s server", ["C": "d"]).environment == [
                "K3S_DATA_DIR": "/d", "A": "b", "C": "d",
            ])
        #expect(line("env -i A=b k3s server", ["C": "d"]).environment == ["A": "b"])
        #expect(line("env -u C --unset=D k3s server", ["C": "d", "D": "e", "E": "f"]).environment == ["E": "f"])
        #expect(line("systemd-run -E A=b --setenv=C=d k3s server").environment == ["A": "b", "C": "d"])
        #expect(line("env A=b sh -c 'C=$A exec k3s server'").environment == ["A": "b", "C": "b"])
        #expect(line("env -C /srv k3s server").workingDirectory == "/srv")
        #expect(line("env --chdir=/srv k3s server").workingDirectory == "/srv")
    }

    @Test(arguments: [
        ("hyperkube apiserver", "kube-apiserver"), ("/hyperkube kube-scheduler", "kube-scheduler"),
        ("hyperkube controller-manager", "kube-controller-manager"), ("hyperkube kubelet", "kubelet"),
    ])
    func hyperkube(_ text: String, _ program: String) {
        let line = line("\(text) --kubeconfig=/k")
        #expect(line.program == program && line.flags == ["kubeconfig": ["/k"]] && line.startsKnownProgram)
    }

    // MARK: Scripts

    @Test func scriptsOfTheNodeAreRead() throws {
        let tree = try NodeTree()
        try tree.write(
            "#!/bin/sh\n. /etc/kube.env\n[ -x /opt/etcd ] || exit\nexec /opt/start.sh \"$@\" $MORE\n",
            to: "/opt/outer.sh")
        try tree.write(
            "#!/usr/bin/env bash\ncd /srv\nexec nice kube-apiserver --client-ca-file=$1 \"${@}\"\n", to: "/opt/start.sh"
        )
        try tree.write("MORE='--audit-policy-file=policy'\n", to: "/etc/kube.env")
        let line = CommandLineFlags(["/bin/sh", "-c", "exec /opt/outer.sh /a"], read: tree.root.script)
        #expect(line.program == "kube-apiserver" && line.startsKnownProgram)
        #expect(line.flags == ["client-ca-file": ["/a"], "audit-policy-file": ["policy"]])
        #expect(line.workingDirectory == "/srv")
        #expect(line.scripts == ["/opt/outer.sh", "/etc/kube.env", "/opt/start.sh"])
    }

    @Test func aScriptUnderTheNameOfAProgram() throws {
        let tree = try NodeTree()
        try tree.write(
            "#!/bin/bash\n/usr/bin/docker run --name etcd1 -v /srv/pki:/pki quay.io/coreos/etcd:v3 /usr/local/bin/etcd \"$@\"\n",
            to: "/usr/local/bin/etcd")
        let line = CommandLineFlags(["/usr/local/bin/etcd", "--cert-file=/pki/a.crt"], read: tree.root.script)
        #expect(line.program == "etcd" && line.flags == ["cert-file": ["/pki/a.crt"]])
        #expect(line.container?.mounts == [ContainerMount(mountPath: "/pki", nodePath: "/srv/pki")])
    }

    /// Scripts that start one another end.
    @Test func scriptsInACircle() throws {
        let tree = try NodeTree()
        try tree.write("#!/bin/sh\n" + String(repeating: "/a.sh; /b.sh\n", count: 20), to: "/a.sh")
        try tree.write("#!/bin/sh\n/a.sh\n", to: "/b.sh")
        #expect(!CommandLineFlags(["/a.sh"], read: tree.root.script).startsKnownProgram)
    }

    // MARK: Containers

    @Test func whatAContainerSees() throws {
        let text = """
            docker --log-level info run -d --rm -it --name etcd --net=host -v /srv/a:/a:ro --volume=data:/data -v /new \
            --mount type=bind,source=/srv/b,target=/b --tmpfs /t:size=1m -e X=y --env=Z --env-file /etc/e.env -w /a \
            --entrypoint /bin/etcd quay.io:443/coreos/etcd:v3@sha256:0 --cert-file=c.crt
            """
        let line = line(text, ["Z": "z", "HIDDEN": "x"])
        #expect(line.program == "etcd" && line.flags == ["cert-file": ["c.crt"]] && line.startsKnownProgram)
        #expect(line.environment == ["X": "y", "Z": "z"] && line.workingDirectory == "/a")
        let container = try #require(line.container)
        #expect(container.image == "etcd" && container.environmentFiles == ["/etc/e.env"])
        #expect(
            container.mounts.map { "\($0.mountPath)=\($0.nodePath ?? "")" } == [
                "/a=/srv/a", "/data=/var/lib/docker/volumes/data/_data", "/new=", "/b=/srv/b", "/t=",
            ])
    }

    @Test(arguments: [
        ("podman run -v /x:/x docker.io/rancher/k3s:v1.30.0-k3s1 server --data-dir=/x", "k3s"),
        ("nerdctl run -v /x:/x registry.k8s.io/kube-apiserver:v1 --data-dir=/x", "kube-apiserver"),
        (
            "ctr -n k8s.io run --rm --net-host --mount type=bind,src=/x,dst=/x,options=rbind:ro etcd:v3 name etcd --data-dir=/x",
            "etcd"
        ),
        ("docker run -v /x:/x busybox sh -c 'exec etcd --data-dir=/x'", "etcd"),
    ])
    func theProgramOfAnImage(_ text: String, _ program: String) {
        let line = line(text)
        #expect(line.program == program && line.startsKnownProgram && line.flags["data-dir"] == ["/x"])
        #expect(line.container?.mounts.first?.nodePath == "/x")
    }

    /// podman-systemd.unit(5).
    @Test func quadlets() throws {
        let tree = try NodeTree()
        try tree.touch(["/srv/api/policy.yaml", "/srv/b/ca.crt", "/etc/containers/systemd/kube/encryption.yaml"])
        try tree.write(
            """
            [Unit]
            Description=API server
            [Container]
            Image=registry.k8s.io/kube-apiserver:v1.34.0
            Volume=/srv/%p:/policies:ro
            Volume=./encryption.yaml:/enc.yaml
            Mount=type=bind,source=/srv/b,destination=/b
            Exec=kube-apiserver --audit-policy-file=/policies/policy.yaml \\
              --client-ca-file=/b/ca.crt
            [Install]
            WantedBy=multi-user.target
            """, to: "/etc/containers/systemd/kube/api.container")
        try tree.write(
            "[Container]\nExec=kube-apiserver --audit-policy-file=/policies/policy.yaml --client-ca-file=/b/ca.crt --encryption-provider-config=/enc.yaml\n",
            to: "/etc/containers/systemd/kube/api.container.d/10.conf")
        let layout = tree.discover()
        #expect(layout.findings.isEmpty, "\(layout.findings)")
        #expect(layout.reference("/srv/api/policy.yaml")?.captureClass == .auditPolicy)
        #expect(layout.reference("/srv/b/ca.crt")?.captureClass == .caCertificate)
        #expect(
            layout.reference("/etc/containers/systemd/kube/encryption.yaml")?.captureClass == .encryptionConfiguration)
        #expect(layout.reference("/etc/containers/systemd/kube/api.container")?.captureClass == .systemd)
    }

    /// A server in a container has its configuration and its data where the container's volumes are.
    @Test func k3sInAContainer() throws {
        let tree = try NodeTree()
        try tree.touch(["/srv/data/server/tls/server-ca.key", "/srv/data/server/token", "/srv/conf/policy"])
        try tree.write(
            "kube-apiserver-arg: [\"--audit-policy-file=/etc/rancher/k3s/policy\"]\n", to: "/srv/conf/config.yaml")
        let container = "/etc/containers/systemd/k3s.container"
        let volumes = "Volume=/srv/data:/var/lib/rancher/k3s\nVolume=/srv/conf:/etc/rancher/k3s\n"
        try tree.write("[Container]\nImage=docker.io/rancher/k3s:v1\n\(volumes)Exec=server\n", to: container)
        let layout = tree.discover()
        #expect(layout.findings.isEmpty, "\(layout.findings)")
        #expect(layout.reference("/srv/data/server/tls") != nil && layout.reference("/srv/data/server/token") != nil)
        #expect(layout.reference("/srv/conf/policy")?.captureClass == .auditPolicy)
        try tree.write("[Container]\nImage=docker.io/rancher/k3s:v1\nExec=server\n", to: container)
        #expect(tree.discover().codes == ["component-paths-unknown"])
    }

    @Test func podsOfPodman() throws {
        let tree = try NodeTree()
        try tree.touch(["/srv/policy.yaml"])
        try tree.write("[Kube]\nYaml=api.yaml\n", to: "/etc/containers/systemd/api.kube")
        try tree.write(
            "kind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, command: [kube-apiserver, --audit-policy-file=/p/policy.yaml], volumeMounts: [{name: s, mountPath: /p}]}], volumes: [{name: s, hostPath: {path: /srv}}]}\n",
            to: "/etc/containers/systemd/api.yaml")
        let layout = tree.discover()
        #expect(layout.reference("/srv/policy.yaml")?.captureClass == .auditPolicy)
        #expect(layout.reference("/etc/containers/systemd/api.yaml") != nil)
    }

    // MARK: What is not understood

    @Test func anEnabledServiceOfAProgramsNameIsNeverPassedOver() throws {
        let tree = try NodeTree()
        try tree.write("[Service]\nExecStart=/opt/launcher --all\n", to: "/etc/systemd/system/kube-apiserver.service")
        #expect(tree.discover().codes == [])
        try tree.make("cd etc/systemd/system; mkdir a.target.wants; ln -s ../kube-apiserver.service a.target.wants")
        let layout = tree.discover()
        #expect(layout.findings.map { "\($0.code) \($0.subject)" } == ["component-paths-unknown kube-apiserver"])
        #expect(layout.reference("/etc/systemd/system/kube-apiserver.service") != nil)
        try tree.write("#!/bin/sh\nexec kube-apiserver $(cat /etc/arguments)\n", to: "/opt/launcher")
        #expect(tree.discover().codes == ["path-unresolved"])
    }

    /// A worker may have its unit under the name of the server's.
    @Test func anotherCommandOfAProgramIsUnderstood() throws {
        let tree = try NodeTree()
        try tree.write("[Service]\nExecStart=/usr/local/bin/k3s agent\n", to: "/etc/systemd/system/k3s.service")
        try tree.make("cd etc/systemd/system; mkdir a.target.wants; ln -s ../k3s.service a.target.wants")
        #expect(tree.discover().codes == [])
    }
}
