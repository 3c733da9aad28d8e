import Foundation
import HostIO
import KubernetesObjects
import Testing

@testable import Operations

/// What becomes of objects that have a lost node's name or address.
@Suite struct ObjectFateTests {
    /// cp-1 is lost, cp-2 has another address.
    private static let gone = GoneNames(
        nodes: ["cp-1"], names: ["cp-1"], addresses: [], nodeAddresses: [], staying: ["cp-2"])

    private func fate(_ path: String, _ json: String = "{}", fields: Set<String> = []) -> ObjectFate {
        let facts = Array(json.utf8).withUnsafeBytes { ObjectFacts($0) }
        return ObjectFate(
            path.split(separator: "/").map(String.init), FoundRow(words: ["x"], fields: fields, facts: facts), Self.gone
        )
    }

    private func pod(on node: String, isMirror: Bool = false) -> String {
        let annotations = isMirror ? #""kubernetes.io/config.mirror":"1""# : ""
        return #"{"kind":"Pod","metadata":{"annotations":{\#(annotations)}},"spec":{"nodeName":"\#(node)"}}"#
    }

    @Test func nodes() {
        #expect(fate("minions/cp-1") == .deletedNode && fate("minions/cp-2") == .stayingNode)
        #expect(fate("minions/worker") == .other)
        #expect(fate("csinodes/cp-1") == .followsNode && fate("csinodes/worker") == .other)
        #expect(fate("leases/kube-node-lease/cp-1") == .followsNode && fate("leases/kube-node-lease/w") == .other)
        #expect(fate("cilium.io/ciliumnodes/cp-1") == .other && fate("minions/cp-11") == .other)
    }

    @Test func pods() {
        #expect(fate("pods/a/p", pod(on: "cp-1")) == .followsNode)
        #expect(fate("pods/a/p", pod(on: "cp-1", isMirror: true)) == .mirrorPod)
        #expect(fate("pods/a/p", pod(on: "CP-1")) == .followsNode)
        #expect(fate("pods/a/p", pod(on: "cp-2", isMirror: true), fields: ["spec"]) == .stayingPod)
        #expect(fate("pods/a/p", pod(on: "cp-2"), fields: ["status.hostIP"]) == .stayingPod)
        #expect(fate("pods/a/p", pod(on: "cp-2"), fields: ["status.hostIP", "spec.containers"]) == .other)
        #expect(fate("pods/a/p", pod(on: "worker"), fields: ["status"]) == .other)
        // What can't be decoded is for a person.
        #expect(fate("pods/a/p", "") == .other)
    }

    @Test func endpoints() {
        #expect(fate("endpointslices/default/kubernetes") == .kubernetesService)
        #expect(fate("services/endpoints/default/kubernetes") == .kubernetesService)
        #expect(fate("services/specs/default/kubernetes") == .other)
        let label = #"{"kind":"E","metadata":{"labels":{"endpointslice.kubernetes.io/managed-by":"X"}}}"#
        let ours = label.replacing("X", with: "endpointslice-controller.k8s.io")
        #expect(fate("endpointslices/a/e", ours) == .followsPods)
        #expect(fate("endpointslices/a/e", label.replacing("X", with: "somebody")) == .other)
        let old = #"{"kind":"E","metadata":{"annotations":{"endpoints.kubernetes.io/last-change-trigger-time":"t"}}}"#
        #expect(fate("services/endpoints/a/e", old) == .followsPods && fate("services/endpoints/a/e") == .other)
    }

    @Test func othersByTheirPaths() {
        #expect(fate("masterleases/10.0.0.1") == .masterLease && fate("events/a/e") == .event)
        #expect(fate("leases/kube-system/apiserver-x") == .serverIdentity)
        #expect(fate("leases/a/l") == .leaderElection && fate("certificatesigningrequests/c") == .signingRequest)
        #expect(fate("configmaps/kube-system/kubeadm-config") == .edited)
        #expect(
            fate("configmaps/kube-system/kubeadm-config-old") == .other && fate("configmaps/a/kube-proxy") == .other)
    }

    @Test func everyFateIsShown() {
        #expect(Set(ObjectFate.all).count == 14)
        #expect(ObjectFate.all.filter { $0.description == nil } == [.other])
    }

    @Test func durations() {
        for (text, seconds) in [
            ("8760h0m0s", 31_536_000), ("2160h", 7_776_000), ("90m", 5400), ("1h30m", 5400), ("45s", 45),
        ] {
            #expect(CertificateValidity.seconds(text) == seconds)
        }
        for text in ["", "0s", "5", "h", "-1h", "1.5h", "1d", "99999999999999h", "999999999999h", "1h x"] {
            #expect(CertificateValidity.seconds(text) == nil, "\(text)")
        }
    }

    @Test func holders() {
        for identity in ["cp-1_uuid", "CP-1_x", "cp-1_"] { #expect(Self.gone.holder(identity) == "cp-1") }
        for identity in [nil, "", "cp-1", "cp-11_uuid", "_cp-1", "cp-2_uuid"] {
            #expect(Self.gone.holder(identity) == nil)
        }
    }
}
