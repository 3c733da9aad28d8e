import Foundation

/// A member of a cluster that reaches none of the others, and that clients reach all the same.
///
/// It runs in a network of its own; clients come through a process that listens here and connects there. Only root can do that.
public final class CutOffMember {
    private let member: BackgroundProcess
    private let way: BackgroundProcess
    private let directory: TemporaryDirectory

    private static let forwarder = """
        import ctypes, os, socket, sys, threading
        outside = socket.socket()
        outside.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        outside.bind(("127.0.0.1", int(sys.argv[2])))
        outside.listen(64)
        network = os.open("/proc/%s/ns/net" % open(sys.argv[1]).read().strip(), os.O_RDONLY)
        if ctypes.CDLL(None, use_errno=True).setns(network, 0x40000000) != 0: sys.exit("setns")
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
            client, _ = outside.accept()
            try: server = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
            except OSError:
                client.close()
                continue
            for ends in ((client, server), (server, client)):
                threading.Thread(target=pass_on, args=ends, daemon=True).start()
        """

    /// Starts a member again that was killed, with its data and at its port; without TLS.
    public init(instead server: EtcdServer) throws {
        directory = try TemporaryDirectory()
        let client = "http://127.0.0.1:\(server.clientPort)"
        let peer = "http://127.0.0.1:\(server.peerPort)"
        let number = directory.file("pid")
        let script = "ip link set lo up; echo $$ >\"$0\"; exec \"$@\""
        member = try BackgroundProcess(
            "unshare",
            [
                "-n", "sh", "-c", script, number, server.version.path(of: "etcd"), "--name=\(server.name)",
                "--data-dir=\(server.dataDirectory)", "--listen-client-urls=\(client)",
                "--advertise-client-urls=\(client)", "--listen-peer-urls=\(peer)",
                "--initial-advertise-peer-urls=\(peer)", "--initial-cluster=\(server.name)=\(peer)",
            ])
        while (try? String(contentsOfFile: number, encoding: .utf8))?.hasSuffix("\n") != true { usleep(10_000) }
        way = try BackgroundProcess("python3", ["-c", Self.forwarder, number, "\(server.clientPort)"])
        try way.waitUntilListening(on: server.clientPort)
        try waitUntilServing(server)
    }

    private func waitUntilServing(_ server: EtcdServer) throws {
        for _ in 0..<300 {
            if let text = try? server.etcdctl("get", "--consistency=s", "x", "--command-timeout=2s"), text.isEmpty {
                return
            }
            usleep(100_000)
        }
        throw TestSupportError("the member that was cut off does not answer")
    }

    /// Ends the member and the way to it.
    public func stop() {
        way.stop()
        member.stop()
    }
}
