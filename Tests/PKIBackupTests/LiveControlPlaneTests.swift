import Foundation
import HostIO
import TestSupport
import Testing

@testable import NodeFiles
@testable import PKIBackup

@Suite(.timeLimit(.minutes(45))) struct LiveControlPlaneTests {
    private let proc: TemporaryDirectory
    private let tree: NodeTree

    init() throws {
        proc = try TemporaryDirectory()
        tree = try NodeTree()
        try run("mkdir", ["-p", proc.file("self/net"), proc.file("1")])
        try process(1, ["/sbin/init"], root: "/")
    }

    private func process(_ number: Int, _ words: [String], root: String) throws {
        try run("mkdir", ["-p", proc.file("\(number)")])
        try run("ln", ["-sfn", root, proc.file("\(number)/root")])
        try proc.write(words.map { $0 + "\0" }.joined(), to: "\(number)/cmdline")
    }

    private func users(of root: String) throws -> [String] {
        try LiveControlPlane(processes: proc.path).users(of: OpenDirectory(path: root))
    }

    @Test func nothingRuns() throws {
        try process(20, ["grep", "kubelet"], root: "/")
        try process(21, ["/usr/bin/etcdctl", "get"], root: "/")
        try process(22, ["/usr/bin/etcd-snap", "restore", "etcd"], root: "/")
        #expect(try users(of: "/") == [])
    }

    @Test(arguments: ["/usr/bin/kubelet", "kube-apiserver", "/usr/local/bin/etcd", "/usr/local/bin/k3s"])
    func aProgramOfAControlPlaneRuns(_ program: String) throws {
        try process(30, [program, "server"], root: "/")
        let name = try #require(program.split(separator: "/").last)
        #expect(try users(of: "/") == ["\(name) (process 30)"])
        // However the root is written; it is no business of another tree.
        #expect(try users(of: "/usr/..").count == 1)
        #expect(try users(of: tree.path) == [])
    }

    @Test func aProcessWhoseRootIsThatTree() throws {
        try process(40, ["kubelet"], root: tree.path)
        #expect(try users(of: tree.path) == ["kubelet (process 40)"])
    }

    @Test func aPortIsListenedOn() throws {
        let head = "  sl  local_address rem_address   st tx_queue rx_queue\n"
        // 2379 listens, 6443 is a connection, 80 is nobody's.
        try proc.write(
            head + "   0: 0100007F:094B 00000000:0000 0A 0:0\n   1: 0100007F:192B 0100007F:A000 01 0:0\n",
            to: "self/net/tcp")
        try proc.write(head + "   0: \(String(repeating: "0", count: 32)):0050 0:0 0A 0:0\n", to: "self/net/tcp6")
        let found = try users(of: "/")
        #expect(found.count == 1 && found[0].contains("2379") && found[0].contains("etcd"))
        #expect(try users(of: tree.path) == [])
    }
}
