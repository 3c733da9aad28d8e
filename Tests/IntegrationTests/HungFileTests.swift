import Foundation
import TestSupport
import Testing

extension Integration {
    /// The program is told to end while a file system does not answer.
    @Suite struct HungFileTests {
        /// A FUSE server that greets the kernel and then reads no request: what looks at a file waits.
        private static let server = #"""
            import ctypes, os, struct, sys, time
            device = os.open("/dev/fuse", os.O_RDWR)
            options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
            if ctypes.CDLL(None).mount(b"hung", sys.argv[1].encode(), b"fuse", 0, options) != 0: sys.exit("mount failed")
            unique = struct.unpack_from("<IIQ", os.read(device, 1 << 22))[2]
            body = struct.pack("<IIIIHHIIHHI28x", 7, 31, 65536, 0, 12, 10, 131072, 1, 32, 0, 0)
            os.write(device, struct.pack("<IiQ", 16 + len(body), 0, unique) + body)
            open(sys.argv[2], "w").close()
            time.sleep(120)
            """#

        @Test(.enabled(if: geteuid() == 0 && access("/dev/fuse", R_OK) == 0, "FUSE needs root and its device"))
        func aFileSystemThatDoesNotAnswer() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            let (mount, ready) = (store.directory.file("hung"), store.directory.file("ready"))
            try run("mkdir", [mount])
            let server = try RunningCommand("python3", ["-c", Self.server, mount, ready])
            defer {
                server.signal(SIGKILL)
                _ = try? run("umount", ["--lazy", mount], allowsFailure: true)
            }
            while server.isRunning, !FileManager.default.fileExists(atPath: ready) { usleep(10_000) }
            #expect(server.isRunning, "\(server.errorText)")
            for arguments in [store.backup(["--include", "\(mount)/file"]), ["inspect", "status", "\(mount)/file"]] {
                for number in [SIGINT, SIGTERM] {
                    let command = try SnapTool.start(arguments)
                    usleep(700_000)
                    #expect(command.isRunning)
                    try expectStops(command, by: number, within: .seconds(20))
                }
            }
            #expect(try store.names() == [])
        }

        @Test func aPipeThatNobodyWritesTo() throws {
            let store = try TestStore(Laboratory.shared().server(.v3_5))
            try store.makeBackup()
            let pipe = store.directory.file("pipe")
            #expect(mkfifo(pipe, 0o600) == 0)
            let target = store.directory.file("target")
            let command = try SnapTool.start(["restore", "-i", pipe, "--target", target] + store.flags)
            usleep(500_000)
            try expectStops(command, by: SIGINT, within: .seconds(20))
        }

        /// Whatever signal ends it, nothing unfinished is left.
        @Test(arguments: [SIGHUP, SIGQUIT, SIGALRM, SIGUSR1, SIGUSR2, SIGVTALRM])
        func everySignalCleansUp(number: Int32) throws {
            let store = try TestStore(Laboratory.shared().bulkServer(.v3_5))
            let command = try SnapTool.start(store.backup())
            while command.isRunning, try store.names().isEmpty { usleep(500) }
            command.signal(number)
            let result = try command.wait()
            #expect(result.status == 128 + number || result.status == 0, "\(result.errorText)")
            #expect(try !store.names().contains { $0.hasPrefix(".pending") })
        }

        private func expectStops(_ command: RunningCommand, by number: Int32, within limit: Duration) throws {
            let start = ContinuousClock.now
            command.signal(number)
            let result = try command.wait(seconds: 60)
            #expect(result.status == 128 + number, "\(result.errorText)")
            #expect(ContinuousClock.now - start < limit)
        }
    }
}
