import HostIO
import KubernetesObjects
import Testing

/// Texts in objects as API servers store them, and what objects tell of where they belong.
@Suite struct ObjectTextsTests {
    private func texts(_ value: [UInt8], where isWanted: @escaping (String) -> Bool = { _ in true }) -> [String]? {
        var found: [String] = []
        let texts = ObjectTexts { isWanted(String(decoding: $0, as: UTF8.self)) }
        let isObject = value.withUnsafeBytes { value in
            texts.forEach(in: value) { place, text in
                found.append("\(place)=\(String(decoding: text, as: UTF8.self))")
            }
        }
        return isObject ? found : nil
    }

    private func facts(_ value: [UInt8]) -> ObjectFacts? { value.withUnsafeBytes { ObjectFacts($0) } }

    private static let pod = Pb.stored("v1", "Pod") {
        $0.metadata("etcd-cp-1", namespace: "kube-system") {
            $0.entry(12, "kubernetes.io/config.mirror", "d41d8")
            $0.entry(12, "kubeadm.kubernetes.io/etcd.advertise-client-urls", "https://10.0.0.11:2379")
        }
        $0.message(2) {
            $0.message(2) { $0.text(3, "--name=cp-1") }
            $0.text(10, "cp-1")
        }
        $0.message(3) { $0.text(5, "10.0.0.11") }
    }

    /// A tag of the next field behind a text, or a length before it, must not look like a part of it.
    @Test func fieldsAreTakenApart() throws {
        let found = try #require(texts(Self.pod))
        for text in [
            "metadata.name=etcd-cp-1", "metadata.annotations[kubernetes.io/config.mirror]=d41d8",
            "metadata.annotations[kubeadm.kubernetes.io/etcd.advertise-client-urls]=https://10.0.0.11:2379",
            "spec=--name=cp-1", "spec=cp-1", "status=10.0.0.11",
        ] {
            #expect(found.contains(text), "\(text) in \(found)")
        }
        #expect(!found.contains { $0.contains("f:metadata") })
        for count in 32...127 {
            let name = String(repeating: "x", count: count)
            let value = Pb.stored("v1", "Thing") { $0.message(2) { $0.message(6) { $0.text(6, name) } } }
            #expect(texts(value)?.contains("spec=\(name)") == true, "\(count)")
        }
        #expect(texts(Self.pod) { $0.contains("10.0.0.11") }?.contains { $0.hasSuffix("=d41d8") } == false)
    }

    @Test func mapsNameTheirKeys() throws {
        let value = Pb.stored("v1", "ConfigMap") {
            $0.metadata("kube-proxy", namespace: "kube-system")
            $0.entry(2, "kubeconfig.conf", "server: https://10.0.0.11:6443\n")
        }
        #expect(try #require(texts(value)).contains("data[kubeconfig.conf]=server: https://10.0.0.11:6443\n"))
        let json = """
            {"kind":"Thing","metadata":{"name":"a","managedFields":[{"m":"x"}],"labels":{"k":"v"}},
            "spec":{"nodes":["cp-1",{"address":"10.0.0.11"}],"count":3}}
            """
        let found = try #require(texts(Array(json.utf8)))
        for text in ["spec.nodes=cp-1", "spec.nodes.address=10.0.0.11", "metadata.labels[k]=v", "metadata.name=a"] {
            #expect(found.contains(text), "\(text) in \(found)")
        }
        #expect(!found.contains { $0.hasSuffix("=x") })
    }

    @Test func whatIsNoObjectIsSaid() {
        for value in ["", "k8s", "{", "{]", "text", "k8s:enc:aescbc:v1:a:b"] {
            #expect(texts(Array(value.utf8)) == nil)
        }
        for count in 0..<Self.pod.count {
            _ = texts(Array(Self.pod.prefix(count)))
            _ = facts(Array(Self.pod.prefix(count)))
        }
        let deep = (0..<200).reduce(Array("cp-1".utf8)) { inner, _ in Pb { $0.raw(2, inner) }.bytes }
        #expect(texts(Pb.stored("v1", "Thing") { $0.raw(2, deep) }) != nil)
    }

    @Test func whereObjectsBelong() throws {
        let pod = try #require(facts(Self.pod))
        #expect(pod.kind == "Pod" && pod.nodeName == "cp-1" && pod.isMirrorPod && pod.holderIdentity == nil)
        let lease = Pb.stored("coordination.k8s.io/v1", "Lease") {
            $0.metadata("kube-scheduler", namespace: "kube-system")
            $0.message(2) {
                $0.text(1, "cp-1_uuid")
                $0.number(2, 15)
            }
        }
        let json = Array(
            #"{"kind":"Lease","spec":{"holderIdentity":"cp-1_uuid","leaseDurationSeconds":15},"metadata":{}}"#.utf8)
        for value in [lease, json] {
            let told = try #require(facts(value))
            #expect(told.holderIdentity == "cp-1_uuid" && told.leaseDurationSeconds == 15 && !told.isMirrorPod)
        }
        #expect(facts(Array("{}".utf8)) == nil && facts(Array("x".utf8)) == nil && facts([]) == nil)
    }
}
