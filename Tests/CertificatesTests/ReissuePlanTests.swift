import Foundation
import HostIO
import TestSupport
import Testing

@testable import Certificates

/// Plans from one tree's certificates beside what kubeadm made for another tree's configuration.
@Suite(.timeLimit(.minutes(45))) struct ReissuePlanTests {
    private func plan(
        _ kind: KubeadmCertificate, _ tree: KubeadmTree, to target: NodeIdentity,
        certificate: ParsedCertificate? = nil, now: Date = KubeadmTree.now, lifetime: Int? = nil
    ) throws -> ReissuePlan {
        try ReissuePlan(
            of: certificate ?? tree.certificate(kind), as: kind,
            authority: tree.authorityCertificate(kind.authority),
            for: IdentityChange(from: tree.identity, to: target), at: now, lifetimeSeconds: lifetime)
    }

    @Test(arguments: ["base", "addr", "nodename", "endpoint", "noendpoint", "N1", "N2", "N3"])
    func plansAreWhatKubeadmMakes(_ target: String) throws {
        let (base, other) = (try KubeadmTree.named("base"), try KubeadmTree.named(target))
        for kind in base.kinds {
            let plan = try plan(kind, base, to: other.identity)
            let profile = try #require(plan.profile)
            var expected = try CertificateProfile(of: other.certificate(kind))
            if kind.isEmbedded { expected.lifetimeSeconds = profile.lifetimeSeconds }
            #expect(profile == expected, "\(kind)")
            let old = try CertificateProfile(of: base.certificate(kind))
            let isSame = old.subject == expected.subject && old.names == expected.names
            #expect((plan.decision == .keep) == isSame && plan.remarks.isEmpty, "\(kind): \(plan.decision)")
            #expect(
                Set(old.names.hosts).union(plan.addedHosts).subtracting(plan.removedHosts) == Set(expected.names.hosts))
        }
    }

    @Test func differencesAreTold() throws {
        let (base, other) = (try KubeadmTree.named("base"), try KubeadmTree.named("N1"))
        let server = try plan(.apiServer, base, to: other.identity)
        #expect(server.decision == .reissue([.names]))
        #expect(server.addedHosts.map(\.description) == ["cp-21", "10.0.0.21", "10.0.0.100"])
        #expect(server.removedHosts.map(\.description) == ["cp-1", "lb.example.internal", "10.0.0.11"])
        let peer = try plan(.etcdPeer, base, to: other.identity)
        #expect(peer.decision == .reissue([.subject(old: "CN=cp-1", new: "CN=cp-21"), .names]))
        let kubelet = try plan(.kubelet, base, to: other.identity)
        let names = (old: "CN=system:node:cp-1,O=system:nodes", new: "CN=system:node:cp-21,O=system:nodes")
        #expect(kubelet.decision == .reissue([.subject(old: names.old, new: names.new)]))
        #expect(kubelet.addedHosts.isEmpty && kubelet.removedHosts.isEmpty)
        #expect(try plan(.admin, base, to: other.identity).decision == .keep)
    }

    @Test(arguments: ["sans", "ecdsa", "rsa4096", "svc", "v6"]) func whatIsTheClustersOwnStays(_ name: String) throws {
        let tree = try KubeadmTree.named(name)
        let target = try NodeIdentity(
            nodeName: "CP-77", addresses: [#require(IPAddress("192.0.2.77"))], endpointHost: "api.new.example")
        var configuration = tree.configuration
        // The extra names of `sans` are the old node's as well, and that is what they are replaced as.
        configuration.apiServerNames.removeAll { ["cp-1", "10.0.0.11"].contains($0) }
        for kind in tree.kinds {
            let profile = try #require(try plan(kind, tree, to: target).profile)
            #expect(profile == kind.profile(of: target, in: configuration), "\(kind)")
        }
        let server = try #require(try plan(.apiServer, tree, to: target).profile)
        #expect(server.names.ipAddresses.first == tree.configuration.serviceAddress)
        #expect(server.names.dnsNames.contains("kubernetes.default.svc." + tree.configuration.dnsDomain))
        #expect(try plan(.apiServer, tree, to: target, lifetime: 7200).profile?.lifetimeSeconds == 7200)
    }

    /// Whatever changes into what: a certificate made by a plan needs no other by the same plan.
    @Test(arguments: 0..<40) func reissueOfReissueChangesNothing(_ seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        let tree = try KubeadmTree.named(seed % 2 == 0 ? "sans" : "base")
        let names = ["cp-1", "cp-2", "lb.example.internal", "10.0.0.100", "api.public.example"]
        let addresses = ["10.0.0.11", "10.0.0.12", "203.0.113.7", "fd00::1"].compactMap { IPAddress($0) }
        func identity(_ generator: inout SeededGenerator) throws -> NodeIdentity {
            try NodeIdentity(
                nodeName: names[Int.random(in: 0..<3, using: &generator)],
                addresses: Array(addresses.shuffled(using: &generator).prefix(.random(in: 1...2, using: &generator))),
                endpointHost: Bool.random(using: &generator) ? names.randomElement(using: &generator) : nil)
        }
        let change = IdentityChange(from: try identity(&generator), to: try identity(&generator))
        for kind in [KubeadmCertificate.apiServer, .etcdServer, .etcdPeer, .admin] {
            let authority = try tree.authority(kind.authority)
            func plan(_ old: ParsedCertificate) -> ReissuePlan {
                ReissuePlan(of: old, as: kind, authority: authority.certificate, for: change, at: KubeadmTree.now)
            }
            let first = plan(try tree.certificate(kind))
            let profile = try #require(first.profile)
            let made = try authority.issue(profile, key: KubeadmTree.key(.rsa2048), now: KubeadmTree.now)
            let second = plan(try made.parsed(path: "new.crt"))
            #expect(second.decision == .keep, "\(kind): \(change)")
            #expect(second.profile == profile && second.addedHosts.isEmpty && second.removedHosts.isEmpty)
        }
    }

    @Test func whatCantBeRightIsRefused() throws {
        let (base, addr) = (try KubeadmTree.named("base"), try KubeadmTree.named("addr"))
        let target = addr.identity
        let foreign = try plan(.apiServer, base, to: target, certificate: addr.certificate(.apiServer))
        let name = "CN=kubernetes"
        #expect(foreign.decision == .refuse([.otherIssuer(authority: name, issuer: name)]) && foreign.profile == nil)
        let authority = try base.authorityCertificate(.cluster)
        #expect(
            try plan(.etcdPeer, base, to: target, certificate: base.certificate(.apiServer)).decision
                == .refuse([.otherIssuer(authority: "CN=etcd-ca", issuer: name)]))
        let itself = try plan(.apiServer, base, to: target, certificate: authority)
        guard case .refuse(let problems) = itself.decision, case .noModel = problems.first else {
            Issue.record("\(itself.decision)")
            return
        }
        let (start, end) = (authority.record.notBefore, authority.record.notAfter)
        let early = try plan(.apiServer, base, to: target, now: start - 1)
        #expect(early.decision == .refuse([.authority(.notYetValid(start, now: start - 1))]))
        let late = try plan(.apiServer, base, to: target, now: end + 1)
        #expect(late.decision == .refuse([.authority(.expired(end))]))
        let server = try base.certificate(.apiServer)
        let wrong = ReissuePlan(
            of: try base.certificate(.kubelet), as: .kubelet, authority: server,
            for: IdentityChange(from: base.identity, to: target), at: KubeadmTree.now)
        let issuer = ReissuePlan.Problem.otherIssuer(authority: "CN=kube-apiserver", issuer: name)
        #expect(wrong.decision == .refuse([.authority(.notAuthority), .authority(.mayNotSign), issuer]))
    }

    @Test func expiredCertificatesAreMadeAnew() throws {
        let base = try KubeadmTree.named("base")
        let end = try base.certificate(.admin).record.notAfter
        let plan = try plan(.admin, base, to: base.identity, now: end + 1)
        #expect(plan.decision == .reissue([.expired(end)]))
        #expect(plan.profile?.lifetimeSeconds == 8760 * 3600)
    }

    @Test func lifetimesThatChangeAreTold() throws {
        let (base, target) = (try KubeadmTree.named("base"), try KubeadmTree.named("N1").identity)
        let year = 8760 * 3600
        let short = try plan(.etcdPeer, base, to: target, lifetime: year / 4)
        #expect(short.remarks == [.shortened(old: year, new: year / 4)])
        #expect(try plan(.etcdHealthcheckClient, base, to: target, lifetime: year / 4).remarks.isEmpty)
        let end = try base.authorityCertificate(.etcd).record.notAfter
        #expect(try plan(.etcdPeer, base, to: target, lifetime: 20 * year).remarks == [.endsWithAuthority(end)])
    }

    /// A certificate that begins with its authority tells nothing about how long those of its maker are valid; one that
    /// kubeadm did not make stays what it is.
    @Test func lifetimesSinceTheAuthorityAreNotKept() throws {
        let base = try KubeadmTree.named("base")
        let authority = try base.authority(.cluster)
        var profile = base.profile(.scheduler)
        profile.lifetimeSeconds *= 3
        let start = authority.certificate.record.notBefore
        let made = try authority.issue(profile, key: KubeadmTree.key(.rsa2048), now: start)
        let old = try made.parsed(path: "scheduler.conf")
        for (kind, hours) in [(KubeadmCertificate.scheduler, 8760), (nil, 3 * 8760)] {
            let plan = ReissuePlan(
                of: old, as: kind, hasKey: false, authority: authority.certificate,
                for: IdentityChange(from: base.identity, to: base.identity), at: KubeadmTree.now)
            #expect(plan.decision == .reissue([.noKey]))
            let seconds = try #require(plan.profile?.lifetimeSeconds)
            #expect((hours * 3600 - 300...hours * 3600).contains(seconds))
            #expect(plan.remarks.isEmpty == (kind == nil))
        }
    }

    @Test func anotherNodesKubeletIsRefused() throws {
        let (base, other) = (try KubeadmTree.named("base"), try KubeadmTree.named("nodename"))
        let plan = ReissuePlan(
            of: try base.certificate(.kubelet), as: .kubelet, authority: try base.authorityCertificate(.cluster),
            for: IdentityChange(from: other.identity, to: try KubeadmTree.named("N1").identity), at: KubeadmTree.now)
        #expect(plan.decision == .refuse([.otherNode("cp-1")]))
    }
}
