import Foundation

/// A member of a cluster that can be cut off from the others while clients reach it all the same.
///
/// Only root can do that. It runs in a network of its own. Processes that listen in one network and connect in the other stand
/// between it and its clients, and between it and the other members.
public final class CutOffMember {
    private let member: BackgroundProcess
    private let clients: BackgroundProcess
    private let peers: [BackgroundProcess]

    /// Listens in the network of a process and connects in that of another, at one port; `self` is the tests' own network.
    private static let forwarder = """
        import ctypes, os, socket, sys, threading
        def network(of):
            return os.open("/proc/%s/ns/net" % of, os.O_RDONLY)
        def enter(number):
            if ctypes.CDLL(None, use_errno=True).setns(number, 0x40000000) != 0: sys.exit("setns")
        inner, outer, port = network(sys.argv[1]), network(sys.argv[2]), int(sys.argv[3])
        enter(inner)
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(64)
        enter(outer)
        def pass_on(source, target):
            try:
                while True:
                    data = source.recv(65536)
                    if not data: break
                    target.sendall(data)
            except OSError: pass
            for end in (source, target):
                try: end.shutdown(socket.SHUT_RDWR)
                except OSError: pass
        while True:
            client, _ = listener.accept()
            try: server = socket.create_connection(("127.0.0.1", port))
            except OSError:
                client.close()
                continue
            for ends in ((client, server), (server, client)):
                threading.Thread(target=pass_on, args=ends, daemon=True).start()
        """

    /// Starts a member of a cluster again in a network of its own, with its data and at its ports; without TLS.
    ///
    /// - Parameter others: the other members, which it reaches until ``cutOff()``.
    public init(instead server: EtcdServer, others: [EtcdServer]) throws {
        server.kill()
        let directory = try TemporaryDirectory()
        let client = "http://127.0.0.1:\(server.clientPort)"
        let peer = "http://127.0.0.1:\(server.peerPort)"
        let file = directory.file("pid")
        let script = "ip link set lo up; echo $$ >\"$0\"; exec \"$@\""
        member = try BackgroundProcess(
            "unshare",
            [
                "-n", "sh", "-c", script, file, server.version.path(of: "etcd"), "--name=\(server.name)",
                "--data-dir=\(server.dataDirectory)", "--listen-client-urls=\(client)",
                "--advertise-client-urls=\(client)", "--listen-peer-urls=\(peer)",
                "--initial-advertise-peer-urls=\(peer)", "--initial-cluster=\(server.name)=\(peer)",
            ])
        var number = ""
        while !number.hasSuffix("\n") {
            usleep(10_000)
            number = (try? String(contentsOfFile: file, encoding: .utf8)) ?? ""
        }
        let inside = number.trimmingCharacters(in: .newlines)
        func forward(_ arguments: String...) throws -> BackgroundProcess {
            try BackgroundProcess("python3", ["-c", Self.forwarder] + arguments)
        }
        clients = try forward("self", inside, "\(server.clientPort)")
        peers =
            try [forward("self", inside, "\(server.peerPort)")]
            + others.map { try forward(inside, "self", "\($0.peerPort)") }
        try clients.waitUntilListening(on: server.clientPort)
        try server.waitUntilCurrent()
    }

    /// Breaks the connections with the other members, and waits until the member knows of no leader.
    public func cutOff(_ server: EtcdServer) throws {
        for way in peers { way.stop() }
        for _ in 0..<300 {
            let status = try server.etcdctl("endpoint", "status", "-w", "json")
            if !status.contains("\"leader\":") || status.contains("\"leader\":0") { return }
            usleep(100_000)
        }
        throw TestSupportError("the member still has a leader")
    }

    /// Ends the member and the ways to it.
    public func stop() {
        for process in peers + [clients, member] { process.stop() }
    }
}

extension EtcdServer {
    /// Waits until the member answers a read that needs the cluster.
    func waitUntilCurrent() throws {
        for _ in 0..<60 {
            if (try? etcdctl("get", "x", "--command-timeout=2s", "--dial-timeout=1s")) != nil { return }
            usleep(200_000)
        }
        throw TestSupportError("\(name) does not join its cluster again")
    }
}
