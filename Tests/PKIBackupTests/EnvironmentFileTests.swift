import Foundation
import TestSupport
import Testing

@testable import PKIBackup

/// The rules of systemd.exec(5), `EnvironmentFile=`.
@Suite struct EnvironmentFileTests {
    private func variables(_ text: String) -> [String: String] { EnvironmentFile(Array(text.utf8)).variables }

    @Test(arguments: [
        ("A=b", "b"), ("A= b c \t\r", "b c"), ("  A  =b", "b"), ("A=b\\ ", "b "), ("A=b\\\nc", "bc"),
        ("A=b\\qc\\\\", "bqc\\"), ("A='b \"c\" \\n'", "b \"c\" \\n"),
        ("A=\"b \\\"c\\\" \\n \\$ \\\\ \\`\"", "b \"c\" \\n $ \\ `"),
        ("A=\"b\\\nc\"", "bc"), ("A='b\nc'", "b\nc"), ("A='b' \"c\" ", "bc"), ("A='b'c d", "bc d"), ("A=b'c'", "b'c'"),
        ("A=b # c", "b # c"), ("A=", ""), ("A=$B", "$B"), ("A='b", "b"), ("A=1\nA=2", "2"),
        ("#A=x\n;A=y\nA=b", "b"), ("x\n=y\n1A=z\nA=b", "b"), ("# comment \\\nA=b", "b"),
    ])
    func valuesAreReadAsSystemdDoes(_ text: String, _ value: String) {
        #expect(variables(text) == ["A": value], "\(text)")
    }

    @Test func linesThatAreNoneArePassedOver() {
        #expect(variables("export A=b\nB-C=d\n\n[Service]\nD\n") == [:])
        #expect(variables("A=\\") == ["A": ""] && variables("") == [:] && variables("\"") == [:])
    }
}

/// The rules of systemd.syntax(7), systemd.unit(5) and systemd.service(5).
@Suite struct UnitFileTests {
    private func unit(_ files: [String: String], _ name: String = "kubelet") throws -> ServiceDefinition? {
        let tree = try NodeTree()
        for (path, text) in files { try tree.write(text, to: path) }
        return ServiceUnits(root: tree.root).services().first { $0.name == name }
    }

    @Test func linesSectionsAndComments() {
        let file = UnitFile(
            Array("# a\n[Unit]\nA = b \\\n# inside\n  c\n[Service]\n;x\nE=f=g \nno\n[Install]\nH=\n".utf8))
        #expect(
            file.assignments.map { "\($0.section).\($0.key)=\($0.value)" } == [
                "Unit.A=b    c", "Service.E=f=g", "Install.H=",
            ])
    }

    @Test(arguments: [
        ("a  b\tc", ["a", "b", "c"]), ("'a b' \"c d\"", ["a b", "c d"]), ("a'b c'd", ["ab cd"]),
        ("a\\x20b \\163", ["a b", "s"]),
        ("\"a\\\"b\" 'c\\'d'", ["a\"b", "c'd"]), ("''", [""]), ("a\\qb", ["a\\qb"]), ("%N%%", ["%N%%"]),
    ])
    func words(_ text: String, _ words: [String]) { #expect(UnitWords.split(text) == words, "\(text)") }

    @Test func variablesInCommands() {
        let environment = ["A": "x 'y z'", "B": "b"]
        #expect(
            UnitWords.expanded(["$A", "${A}", "p${B}q", "$$B", "$NONE", "${NONE}", "x$B"], environment)
                == ["x", "y z", "x 'y z'", "pbq", "$B", "", "x$B"])
    }

    @Test func dropInsGoByNameAndDirectoriesByPrecedence() throws {
        let service = try unit([
            "/usr/lib/systemd/system/kubelet.service": "[Service]\nExecStart=/usr/bin/kubelet --a=1\nEnvironment=X=1",
            "/usr/lib/systemd/system/kubelet.service.d/10.conf": "[Service]\nEnvironment=X=2 \"Y=a b\"",
            "/etc/systemd/system/kubelet.service.d/20.conf":
                "[Service]\nExecStart=\nExecStart=-/usr/local/bin/kubelet \\\n  --b=${X} $Z --unit=%N",
            "/run/systemd/system/kubelet.service.d/20.conf": "[Service]\nExecStart=\nExecStart=/bin/false",
            "/etc/systemd/system/service.d/30.conf": "[Service]\nEnvironment=Z=--c=3",
            "/lib/systemd/system/kubelet.service.d/40.txt": "[Service]\nExecStart=",
        ])
        #expect(service?.words == ["/usr/local/bin/kubelet", "--b=2", "--c=3", "--unit=kubelet"])
        #expect(service?.environment == ["X": "2", "Y": "a b", "Z": "--c=3"])
        #expect(
            service?.files == [
                "/usr/lib/systemd/system/kubelet.service", "/usr/lib/systemd/system/kubelet.service.d/10.conf",
                "/etc/systemd/system/kubelet.service.d/20.conf", "/etc/systemd/system/service.d/30.conf",
            ])
        #expect(service?.isLocal == true && service?.isEnabled == false)
    }

    @Test func environmentFilesGoBeforeTheUnitsOwnVariables() throws {
        let service = try unit([
            "/etc/systemd/system/kubelet.service": """
            [Service]
            EnvironmentFile=-/etc/default/%N
            EnvironmentFile=/etc/k/*.env
            Environment=A=unit B=unit
            ExecStart=/usr/bin/kubelet --a=${A} --b=${B} --c=${C}
            """,
            "/etc/default/kubelet": "A=default\nC=default", "/etc/k/1.env": "C=one", "/etc/k/2.env": "C='two'",
            "/etc/k/3.txt": "C=three", "/etc/systemd/system/multi-user.target.wants/kubelet.service": "",
        ])
        #expect(service?.words == ["/usr/bin/kubelet", "--a=default", "--b=unit", "--c=two"])
        #expect(service?.environmentFiles == ["/etc/default/kubelet", "/etc/k/1.env", "/etc/k/2.env"])
        #expect(service?.isEnabled == true)
    }

    @Test func aMaskedUnitIsNone() throws {
        let unit = "[Service]\nExecStart=/usr/bin/kubelet"
        #expect(try self.unit(["/lib/systemd/system/kubelet.service": unit]) != nil)
        #expect(
            try self.unit(["/lib/systemd/system/kubelet.service": unit, "/etc/systemd/system/kubelet.service": ""])
                == nil)
        let tree = try NodeTree()
        try tree.write(unit, to: "/lib/systemd/system/kubelet.service")
        try tree.make("mkdir -p etc/systemd/system; ln -s /dev/null etc/systemd/system/kubelet.service")
        #expect(ServiceUnits(root: tree.root).services().isEmpty)
    }

    @Test func whatIsNoControlPlaneIsPassedOver() throws {
        #expect(
            try unit(["/etc/systemd/system/a.service": "[Service]\nExecStart=/usr/bin/etcdctl watch etcd"], "a") == nil)
        #expect(try unit(["/etc/systemd/system/a.service": "[Service]\nExecStart=/opt/bin/etcd"], "a") != nil)
        #expect(
            try unit(
                [
                    "/etc/systemd/system/a.service":
                        "[Service]\nExecStart=/bin/sh -c \"GOMAXPROCS=$(nproc) exec /opt/etcd\""
                ], "a")
                != nil)
    }
}
