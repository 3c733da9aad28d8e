import Foundation
import SealedArchive
import TestSupport
import Testing

@testable import PKIBackup

/// Templates, instances, aliases and specifiers of systemd.unit(5).
@Suite(.timeLimit(.minutes(45))) struct UnitInstanceTests {
    private static let directory = "/etc/systemd/system"
    private let tree: NodeTree

    init() throws { tree = try NodeTree() }

    private func unit(_ command: String, _ more: String = "") -> String { "[Service]\n\(more)ExecStart=\(command)\n" }

    private func link(_ path: String, to target: String) throws {
        try tree.make("mkdir -p \"$(dirname '.\(path)')\"; ln -s '\(target)' '.\(path)'")
    }

    private func services() -> [ServiceDefinition] { ServiceUnits(root: tree.root).services() }

    @Test(arguments: [
        "wants", "requires", "upholds", "absolute", "default", "target", "timer", "transient", "file", "alias",
        "template alias",
    ])
    func whatStartsAnInstance(_ way: String) throws {
        let directory = Self.directory
        let template = "\(directory)/api@.service"
        try tree.write(unit("/opt/kube-apiserver --audit-policy-file=/srv/%i.yaml"), to: template)
        switch way {
        case "wants", "requires", "upholds":
            try link("\(directory)/multi-user.target.\(way)/api@a.service", to: "../api@.service")
        case "absolute": try link("\(directory)/x.target.wants/api@a.service", to: template)
        case "default":
            try tree.write(
                unit("/opt/kube-apiserver --audit-policy-file=/srv/%i.yaml") + "[Install]\nDefaultInstance=a\n",
                to: template)
            try link("\(directory)/x.target.wants/api@.service", to: template)
        case "target": try tree.write("[Unit]\nWants=x.mount api@a.service\n", to: "\(directory)/kube.target")
        case "timer": try tree.write("[Timer]\nUnit=api@a.service\n", to: "\(directory)/kube.timer")
        case "transient": try link("/run/systemd/transient/x.target.wants/api@a.service", to: template)
        case "file":
            try tree.write(
                unit("/opt/kube-apiserver --audit-policy-file=/srv/%i.yaml"), to: "\(directory)/api@a.service")
        case "alias":
            try link("\(directory)/api@a.service", to: "api@.service")
            try link("\(directory)/server.service", to: "api@a.service")
            try link("\(directory)/x.target.wants/server.service", to: "../server.service")
        default:
            try link("\(directory)/other@.service", to: template)
            try link("\(directory)/x.target.wants/other@a.service", to: "../other@.service")
        }
        let found = services()
        #expect(found.map(\.name) == ["api@a"])
        #expect(found.first?.words == ["/opt/kube-apiserver", "--audit-policy-file=/srv/a.yaml"])
        #expect(found.first?.isEnabled == (way != "file"))
    }

    @Test func aTemplateWithoutAnInstanceIsNothing() throws {
        try tree.write(unit("/opt/kube-apiserver"), to: "\(Self.directory)/api@.service")
        try tree.write("[Service]\nNice=1\n", to: "\(Self.directory)/api@a.service.d/x.conf")
        #expect(services().isEmpty)
    }

    @Test func dropInsOfTheTemplateAndTheInstance() throws {
        let directory = Self.directory
        try tree.write(unit("/opt/kube-apiserver $A $B $C"), to: "/usr/lib/systemd/system/kube-api@.service")
        try link("\(directory)/x.target.wants/kube-api@a.service", to: "/usr/lib/systemd/system/kube-api@.service")
        try tree.write("[Service]\nEnvironment=A=--a=%i\n", to: "\(directory)/kube-api@.service.d/1.conf")
        try tree.write("[Service]\nEnvironment=B=--b=template\n", to: "\(directory)/kube-api@.service.d/2.conf")
        try tree.write("[Service]\nEnvironment=B=--b=%p\n", to: "\(directory)/kube-api@a.service.d/2.conf")
        try tree.write("[Service]\nEnvironment=C=--c\n", to: "\(directory)/kube-@.service.d/3.conf")
        let service = try #require(services().first)
        #expect(service.words == ["/opt/kube-apiserver", "--a=a", "--b=kube-api", "--c"])
        #expect(service.isLocal && service.isEnabled)
    }

    /// A unit of a package under any name counts where something starts it.
    @Test func aPackagesUnitThatIsEnabled() throws {
        try tree.write(unit("/opt/kube-apiserver"), to: "/usr/lib/systemd/system/vendor.service")
        #expect(services().isEmpty)
        try link("\(Self.directory)/x.target.wants/vendor.service", to: "/usr/lib/systemd/system/vendor.service")
        #expect(services().map(\.name) == ["vendor"])
    }

    // MARK: Specifiers

    @Test(arguments: [
        ("%n %N %p", "kube-api@a-b\\x2dc.service kube-api@a-b\\x2dc kube-api"), ("%i", "a-b\\x2dc"), ("%I", "a/b-c"),
        ("%f", "/a/b-c"), ("%P", "kube/api"), ("%j", "api"),
        ("%S %C %L %E %t %h", "/var/lib /var/cache /var/log /etc /run /root"),
        ("50%% %", "50% %"), ("%H %l", "cp-1.example cp-1"), ("%m", "0123abcd"), ("%o%W", "debian"), ("%z", "%z"),
        ("%Y", "/etc/systemd/system"), ("%d", "/run/credentials/kube-api@a-b\\x2dc.service"),
        ("/x/%b/%v", "/x/\u{0}/\u{0}"),
    ])
    func specifiers(_ text: String, _ expanded: String) throws {
        try tree.write("cp-1.example\n", to: "/etc/hostname")
        try tree.write("0123abcd\n", to: "/etc/machine-id")
        try tree.write("NAME=x\nID=debian\n", to: "/etc/os-release")
        let unit = try #require(UnitName("kube-api@a-b\\x2dc.service"))
        let specifiers = UnitSpecifiers(
            unit: unit, fragment: "/etc/systemd/system/kube-api@.service", root: tree.root)
        #expect(specifiers.expanded(text) == expanded)
    }

    /// Words are split before the instance's name is in its place.
    @Test func namesWithBlanksStayOneWord() throws {
        try tree.write(unit("/opt/kube-apiserver --audit-policy-file=/%I"), to: "\(Self.directory)/api@.service")
        try link("\(Self.directory)/x.target.wants/api@srv-a\\x20b\\x5cc.service", to: "../api@.service")
        #expect(services().first?.words == ["/opt/kube-apiserver", "--audit-policy-file=/srv/a b\\c"])
    }

    @Test func whatOnlyTheRunningSystemKnowsIsAFinding() throws {
        try tree.write("x", to: "/srv/ca.crt")
        try tree.write(
            unit(
                "/opt/kube-apiserver --audit-policy-file=/srv/%b.yaml --client-ca-file=/srv/ca.crt --advertise-address=%b",
                "EnvironmentFile=-/srv/%v.env\n"), to: "\(Self.directory)/kube-apiserver.service")
        try link("\(Self.directory)/x.target.wants/kube-apiserver.service", to: "../kube-apiserver.service")
        let layout = tree.discover()
        #expect(layout.codes == ["path-unresolved", "path-unresolved"])
        #expect(layout.findings.contains { $0.message.contains("--audit-policy-file=/srv/?.yaml") })
        #expect(layout.findings.contains { $0.message.contains("/srv/?.env") })
        #expect(layout.reference("/srv/ca.crt")?.captureClass == .caCertificate)
        #expect(!layout.references.contains { $0.path.hasSuffix(".yaml") })
    }

    // MARK: Paths and variables

    @Test(
        arguments: [
            ("LoadCredentialEncrypted=p:/srv/none\n", "/srv/none"), ("LoadCredential=p:/srv/none\n", "/srv/none"),
            ("SetCredential=p:default\nLoadCredential=p:/srv/none\n", nil),
            ("SetCredential=p:default\nLoadCredentialEncrypted=p:/srv/none\n", nil),
        ] as [(String, String?)])
    func credentialsThatAreMissing(_ settings: String, _ missing: String?) throws {
        try tree.write(
            unit("/opt/kube-apiserver --audit-policy-file=%d/p", settings),
            to: "\(Self.directory)/kube-apiserver.service")
        let layout = tree.discover()
        #expect(layout.codes == [], "\(layout.findings)")
        let required = layout.references.filter { $0.isRequired && $0.path.hasPrefix("/srv") }.map(\.path)
        #expect(required == [missing].compactMap(\.self))
    }

    @Test(
        arguments: [
            ("ImportCredential=kube.*\n", "kube.policy", "/etc/credstore/kube.policy"),
            ("ImportCredential=kube.*:api-\n", "api-policy", "/etc/credstore/kube.policy"),
            ("LoadCredential=kube.policy\n", "kube.policy", "/etc/credstore/kube.policy"),
            ("LoadCredential=kube.other\n", "kube.other", "/usr/lib/credstore/kube.other"),
            ("SetCredential=policy:kind\\x3a Policy\n", "policy", nil),
            ("SetCredentialEncrypted=policy: AAAA\n", "policy", "encrypted /etc/systemd/system/kube-apiserver.service"),
            ("LoadCredentialEncrypted=policy:/srv/policy.cred\n", "policy", "encrypted /srv/policy.cred"),
            ("LoadCredentialEncrypted=policy\n", "policy", "encrypted /etc/credstore.encrypted/policy"),
            ("ImportCredential=pol*\n", "policy", "encrypted /etc/credstore.encrypted/policy"),
        ] as [(String, String, String?)])
    func credentialsOfAUnit(_ settings: String, _ name: String, _ expected: String?) throws {
        for path in ["/etc/credstore/kube.policy", "/usr/lib/credstore/kube.policy", "/usr/lib/credstore/kube.other"] {
            try tree.write("x", to: path)
        }
        let secret = "/var/lib/systemd/credential.secret"
        for path in ["/srv/policy.cred", "/etc/credstore.encrypted/policy", secret] { try tree.write("x", to: path) }
        try tree.write(
            unit("/opt/kube-apiserver --audit-policy-file=${CREDENTIALS_DIRECTORY}/\(name)", settings),
            to: "\(Self.directory)/kube-apiserver.service")
        let layout = tree.discover()
        let isEncrypted = expected?.hasPrefix("encrypted") == true
        #expect(layout.codes == (isEncrypted ? ["credential-encrypted"] : []), "\(layout.findings)")
        let policies = layout.references.filter { $0.captureClass == .auditPolicy }.map(\.path)
        guard let expected, expected.hasPrefix("encrypted ") else {
            #expect(policies == [expected].compactMap(\.self))
            #expect(layout.reference(secret) == nil)
            return
        }
        #expect(policies.isEmpty)
        // Whatever its name ends with, it is not read as PEM.
        #expect(layout.reference(String(expected.dropFirst("encrypted ".count)))?.captureClass == .systemd)
        #expect(layout.reference(secret) != nil)
    }

    @Test(arguments: [
        ("", "--audit-policy-file=/srv/policy"), ("WorkingDirectory=/srv\n", "--audit-policy-file=./policy"),
        ("RootDirectory=/srv\n", "--audit-policy-file=/policy"),
        ("BindReadOnlyPaths=-/srv:/etc/other:rbind\n", "--audit-policy-file=/etc/other/policy"),
        ("LoadCredential=p:/srv/policy\n", "--audit-policy-file=${CREDENTIALS_DIRECTORY}/p"),
        ("LoadCredential=p:/srv/policy\n", "--audit-policy-file=%d/p"),
        ("LoadCredential=d:/srv\n", "--audit-policy-file=%d/d_policy"),
        ("SetCredential=p:default\nLoadCredential=p:/srv/policy\n", "--audit-policy-file=%d/p"),
        ("StateDirectory=../../srv\n", "--audit-policy-file=/srv/policy"),
        ("Environment=P=policy\nUnsetEnvironment=Q\n", "--audit-policy-file=/srv/${P}${Q}"),
        ("EnvironmentFile=/etc/k[a-b]?/*.env\n", "$ARGS"),
    ])
    func filesOfAUnit(_ settings: String, _ argument: String) throws {
        try tree.write("x", to: "/srv/policy")
        try tree.write("[Manager]\nDefaultEnvironment=Q=wrong\n", to: "/etc/systemd/system.conf")
        try tree.write("ARGS=--audit-policy-file=/srv/policy\n", to: "/etc/kab/1.env")
        try tree.write(
            unit("/opt/kube-apiserver \(argument)", settings), to: "\(Self.directory)/kube-apiserver.service")
        let layout = tree.discover()
        #expect(layout.findings.isEmpty, "\(layout.findings)")
        #expect(layout.reference("/srv/policy")?.captureClass == .auditPolicy)
    }
}
