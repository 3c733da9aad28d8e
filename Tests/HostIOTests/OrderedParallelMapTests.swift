import Dispatch
import Foundation
import HostIO
import Synchronization
import Testing

private struct TransformError: Error, Equatable { var input: Int }

@Suite(.timeLimit(.minutes(45))) struct OrderedParallelMapTests {
    /// Submits on a thread of its own, as a producer does.
    private func submit(_ inputs: Range<Int>, to map: OrderedParallelMap<Int, Int>) {
        DispatchQueue(label: "producer").async {
            for input in inputs { map.submit(input) }
            map.finish()
        }
    }

    @Test(arguments: [(1, 1), (1, 4), (2, 1), (3, 4), (4, 5), (7, 3)])
    func keepsTheOrderUnderUnevenWork(workerCount: Int, depth: Int) throws {
        let map = OrderedParallelMap<Int, Int>(name: "test", workerCount: workerCount, depth: depth) {
            return { input in
                usleep(UInt32((input * 7919) % 13) * 20)
                return input * 2
            }
        }
        submit(0..<300, to: map)
        for input in 0..<300 { #expect(try map.next() == input * 2) }
        #expect(try map.next() == nil)
    }

    @Test func givesEachWorkerItsOwnState() throws {
        let makers = Mutex(0)
        let map = OrderedParallelMap<Int, Int>(name: "test", workerCount: 3, depth: 4) {
            makers.withLock { $0 += 1 }
            var count = 0
            return { _ in
                count += 1
                return count
            }
        }
        submit(0..<9, to: map)
        let outputs = try (0..<9).map { _ in try map.next() }
        #expect(outputs == [1, 1, 1, 2, 2, 2, 3, 3, 3])
        #expect(makers.withLock { $0 } == 3)
    }

    @Test func neverHoldsMoreThanItsDepth() throws {
        let depth = 3
        let taken = Atomic<Int>(0)
        let excess = Atomic<Int>(0)
        let map = OrderedParallelMap<Int, Int>(name: "test", workerCount: 4, depth: depth) {
            return { input in
                // Input i may be under way only if the first i + 1 - depth outputs are being taken.
                if input >= taken.load(ordering: .sequentiallyConsistent) + depth {
                    excess.add(1, ordering: .sequentiallyConsistent)
                }
                return input
            }
        }
        submit(0..<500, to: map)
        for input in 0..<500 {
            taken.add(1, ordering: .sequentiallyConsistent)
            if input % 50 == 0 { usleep(2_000) }
            #expect(try map.next() == input)
        }
        #expect(excess.load(ordering: .sequentiallyConsistent) == 0)
    }

    @Test func throwsEachErrorInItsPlace() throws {
        let map = OrderedParallelMap<Int, Int>(name: "test", workerCount: 3, depth: 4) {
            return { input in
                if input % 5 == 3 { throw TransformError(input: input) }
                return input
            }
        }
        submit(0..<40, to: map)
        for input in 0..<40 {
            if input % 5 == 3 {
                #expect(throws: TransformError(input: input)) { try map.next() }
            } else {
                #expect(try map.next() == input)
            }
        }
        #expect(try map.next() == nil)
    }

    /// As SealedFrameWriter does: after an error outputs are only taken away, until the end.
    @Test func letsTheProducerEndAfterAnError() throws {
        let map = OrderedParallelMap<Int, Int>(name: "test", workerCount: 2, depth: 2) {
            return { input in
                if input >= 5 { throw TransformError(input: input) }
                return input
            }
        }
        let drained = DispatchSemaphore(value: 0)
        DispatchQueue(label: "consumer").async {
            var isAtEnd = false
            while !isAtEnd {
                do { isAtEnd = try map.next() == nil } catch {}
            }
            drained.signal()
        }
        for input in 0..<1_000 { map.submit(input) }
        map.finish()
        drained.wait()
    }

    @Test func mayBeDroppedWithOutputsNotTaken() {
        for _ in 0..<50 {
            let map = OrderedParallelMap<Int, [UInt8]>(name: "test", workerCount: 2, depth: 3) {
                return { [UInt8](repeating: 0, count: $0) }
            }
            for input in 0..<3 { map.submit(input) }
        }
    }

    @Test func worksOnOneThread() throws {
        let map = OrderedParallelMap<Int, Int>(name: "test", workerCount: 2, depth: 2) { return { $0 } }
        #expect(map.isIdle)
        for input in 0..<10 {
            map.submit(input)
            #expect(!map.isIdle)
            #expect(try map.next() == input)
            #expect(map.isIdle)
        }
        map.finish()
        #expect(try map.next() == nil)
    }
}
