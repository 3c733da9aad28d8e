import Testing

@testable import Operations

/// Versions as programs and images tell them.
@Suite struct RebuildSoftwareTests {
    @Test(arguments: [
        ("Kubernetes v1.30.2\n", "v1.30.2"), ("v1.36.3", "v1.36.3"),
        ("containerd github.com/containerd/containerd v1.7.13 7c3aca7a610df76212171d200ca3811ff6096eb8\n", "v1.7.13"),
        ("containerd containerd.io 1.6.33 d2d58213f83a351ca8f528a95fbd145f5654e957", "1.6.33"),
        ("k3s version v1.29.3+k3s1 (8aecc26b)\ngo version go1.21.8\n", "v1.29.3+k3s1"),
        ("crio version 1.29.1\nVersion: 1.29.1\n", "1.29.1"), ("etcd Version: 3.5.12\n", "3.5.12"),
        ("v1.31.0-rc.1+k0s.0", "v1.31.0-rc.1+k0s.0"), ("go1.21.8", nil), ("", nil), ("1.2", nil),
    ])
    func versionInAnAnswer(_ text: String, _ version: String?) { #expect(RebuildSoftware.version(in: text) == version) }

    private func software(_ program: String, _ version: String, image: String? = nil) -> RebuildPlan.Software {
        .init(program: program, version: version, image: image, origin: "a test")
    }

    @Test func whatRanCountsBeforeWhatIsInstalled() {
        let pods = [
            software("etcd", "3.5.1-0", image: "registry.k8s.io/etcd:3.5.1-0"),
            software("kube-apiserver", "v1.23.1", image: "registry.k8s.io/kube-apiserver:v1.23.1"),
        ]
        let installed = [software("etcd", "3.4.23"), software("kubelet", "v1.23.0")]
        #expect(
            RebuildSoftware.chosen(ran: pods + [software("etcd", "3.5.1")], installed: installed)
                == [installed[1]] + pods)
        // Without an image the server itself tells; one of another version than the image has is said.
        #expect(
            RebuildSoftware.chosen(ran: [software("etcd", "3.5.12")], installed: installed)
                == [installed[1], software("etcd", "3.5.12")])
        let tagged = software("etcd", "v3.5.12", image: "quay.io/coreos/etcd:v3.5.12")
        #expect(RebuildSoftware.chosen(ran: [tagged, software("etcd", "3.5.12")], installed: []) == [tagged])
        let other = software("etcd", "3.5.10")
        #expect(RebuildSoftware.chosen(ran: pods + [other], installed: []) == pods + [other])
        #expect(RebuildSoftware.chosen(ran: [], installed: installed) == installed)
    }

    @Test(arguments: [
        ("registry.k8s.io/kube-apiserver:v1.36.3", "v1.36.3"), ("host:5000/a/etcd:3.6.8-0@sha256:00", "3.6.8-0"),
        ("host:5000/a/etcd", nil), ("etcd@sha256:00", nil),
    ])
    func tagOfAnImage(_ image: String, _ tag: String?) { #expect(RebuildSoftware.tag(of: image) == tag) }
}
