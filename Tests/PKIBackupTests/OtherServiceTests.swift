import Foundation
import TestSupport
import Testing

@testable import PKIBackup

/// Components that other init systems than systemd and OpenRC start.
@Suite(.timeLimit(.minutes(45))) struct OtherServiceTests {
    private static let command = "/usr/local/bin/kube-apiserver --audit-policy-file=/srv/policy.yaml"
    private let tree: NodeTree

    init() throws {
        tree = try NodeTree()
        try tree.write("kind: Policy\n", to: "/srv/policy.yaml")
    }

    private func expectServer(_ path: String, sourceLocation: SourceLocation = #_sourceLocation) {
        let layout = tree.discover()
        #expect(layout.component("kube-apiserver")?.source == path, sourceLocation: sourceLocation)
        #expect(layout.reference("/srv/policy.yaml")?.captureClass == .auditPolicy, sourceLocation: sourceLocation)
        #expect(layout.reference(path)?.captureClass == .systemd, sourceLocation: sourceLocation)
        #expect(layout.codes.isEmpty, sourceLocation: sourceLocation)
    }

    @Test(arguments: ["/etc/supervisor/conf.d/kube.conf", "/etc/supervisord.d/kube.ini"]) func supervisord(
        _ path: String
    ) throws {
        try tree.write(
            """
            [program:other]
            command=/usr/bin/other
            [program:kube-apiserver]
            command=/usr/local/bin/%(program_name)s  ; the server
              --v=2
              --audit-policy-file=policy.yaml
            directory=/srv
            environment=A="x",B=y
            """, to: path)
        expectServer(path)
    }

    @Test func runit() throws {
        try tree.write("#!/bin/sh\nexec 2>&1\nexec \(Self.command)\n", to: "/etc/sv/kube-apiserver/run")
        try tree.make("mkdir -p etc/service; ln -s /etc/sv/kube-apiserver etc/service/kube-apiserver")
        expectServer("/etc/sv/kube-apiserver/run")
    }

    @Test func s6() throws {
        let path = "/etc/s6-overlay/s6-rc.d/kube-apiserver/run"
        try tree.write("#!/bin/execlineb -P\n# comment\nfdmove -c 2 1\n\(Self.command)\n", to: path)
        expectServer(path)
    }

    @Test func systemV() throws {
        let path = "/etc/init.d/kube-apiserver"
        try tree.write("OPTIONS=--audit-policy-file=/srv/policy.yaml\n", to: "/etc/default/kube-apiserver")
        try tree.write(
            """
            #!/bin/sh
            . /etc/default/kube-apiserver
            start-stop-daemon --start --exec /usr/bin/kube-apiserver -- $OPTIONS
            """, to: path)
        expectServer(path)
        #expect(tree.discover().reference("/etc/default/kube-apiserver") != nil)
        // A unit of that name goes before it.
        try tree.make("mkdir -p etc/systemd/system; ln -s /dev/null etc/systemd/system/kube-apiserver.service")
        #expect(tree.discover().components.isEmpty)
    }

    @Test func aServiceThatIsNotUnderstood() throws {
        try tree.write("#!/bin/sh\n/opt/start.py\n", to: "/etc/init.d/kube-apiserver")
        #expect(tree.discover().codes.isEmpty)
        try tree.make("mkdir -p etc/rc3.d; ln -s ../init.d/kube-apiserver etc/rc3.d/S20kube-apiserver")
        #expect(tree.discover().codes == ["component-paths-unknown"])
    }

    @Test(arguments: ["docker compose up", "docker-compose -f /srv/compose.yaml up"]) func composeFiles(
        _ command: String
    ) throws {
        try tree.write(
            """
            services:
              api:
                image: registry.k8s.io/kube-apiserver:v1.33.0
                command: kube-apiserver --audit-policy-file=/c/policy.yaml
                volumes: ["./:/c:ro"]
            """, to: "/srv/compose.yaml")
        try tree.write(
            "[Service]\nWorkingDirectory=/srv\nExecStart=/usr/bin/\(command)\n", to: "/etc/systemd/system/c.service")
        expectServer("/srv/compose.yaml")
    }

    /// A timer, a path or a socket starts the service of its own name.
    @Test(arguments: ["timer", "path", "socket"]) func whatStartsAService(_ kind: String) throws {
        let units = "/etc/systemd/system"
        try tree.write("[Service]\nExecStart=/usr/bin/kube-apiserver --v=1\n", to: "\(units)/kube-apiserver.service")
        try tree.write("[Service]\nExecStart=\(Self.command)\n", to: "\(units)/zz.service")
        try tree.make("mkdir -p .\(units)/a.target.wants; ln -s ../zz.\(kind) .\(units)/a.target.wants")
        expectServer("\(units)/zz.service")
    }

    @Test(arguments: ["kube play", "play kube"]) func aPodThatPodmanPlays(_ verb: String) throws {
        let unit = "/etc/systemd/system/control-plane.service"
        try tree.write(
            "[Service]\nWorkingDirectory=/srv/pods\nExecStart=/usr/bin/podman \(verb) --replace api.yaml\n", to: unit)
        try tree.write(
            """
            kind: Pod
            metadata: {name: api}
            spec:
              containers:
              - {name: a, command: [kube-apiserver, --audit-policy-file=/c/policy.yaml], volumeMounts: [{name: c, mountPath: /c}]}
              volumes: [{name: c, hostPath: {path: /srv}}]
            """, to: "/srv/pods/api.yaml")
        let layout = tree.discover()
        #expect(layout.component("kube-apiserver")?.source == "/srv/pods/api.yaml")
        #expect(layout.reference("/srv/policy.yaml") != nil && layout.reference(unit) != nil)
    }
}
