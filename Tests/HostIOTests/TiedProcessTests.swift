import Foundation
import HostIO
import Synchronization
import Testing

/// Servers that run beside this process.
@Suite struct TiedProcessTests {
    private final class Owner: Sendable {}

    /// An end that waits for nobody kills what is just being started too, before the directory that it fills goes.
    @Test func anEndInTheMiddleOfAStart() async {
        await #expect(processExitsWith: .success) {
            for delay in 0..<200 {
                let path = FileManager.default.temporaryDirectory.path + "/etcd-snap-tied-\(getpid())-\(delay)"
                let directory = try OpenDirectory.make(path: path)
                let owner = Owner()
                UnfinishedWork.add(owner) { try? FileManager.default.removeItem(atPath: path) }
                let process = Mutex<TiedProcess?>(nil)
                let isStarted = DispatchSemaphore(value: 0)
                Thread.detachNewThread {
                    let started = try? TiedProcess(
                        "/bin/sh", ["-c", "while :; do i=$((i+1)); : >$i; done"], environment: [], directory: directory,
                        log: "log")
                    process.withLock { $0 = started }
                    isStarted.signal()
                }
                usleep(UInt32(delay) * 20)
                UnfinishedWork.abandon {
                    guard FileManager.default.fileExists(atPath: path) else { return }
                    print("\(path) is left, after \(delay)")
                    exit(1)
                }
                isStarted.wait()
                UnfinishedWork.remove(owner)
                if let started = process.withLock({ $0 }), started.end == nil {
                    print("it runs after \(delay)")
                    exit(2)
                }
            }
            exit(0)
        }
    }
}
