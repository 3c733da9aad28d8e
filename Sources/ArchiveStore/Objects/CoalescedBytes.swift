import Dispatch
import HostIO
import Synchronization

/// The bytes of an object, read in few and larger pieces; a decorator.
///
/// Small reads here and there fetch a window around what they ask for, and the end of the object at once, where archives
/// have their index. Reads that go on where others ended fetch larger windows, the next one while this one is used. At most
/// ``maximumWindowCount`` windows are kept.
///
/// `@unchecked Sendable`: the windows are in a mutex, and each is written by who fetches it before others see it.
final class CoalescedBytes: RandomAccessBytes, @unchecked Sendable {
    /// A part of the object that is there, or on its way.
    private final class Window: @unchecked Sendable {
        let range: Range<Int>
        /// How large the window behind this one is.
        let nextByteCount: Int
        let ready = DispatchSemaphore(value: 0)
        /// Set before ``ready`` is signalled.
        var result: Result<[UInt8], any Error>?

        init(_ range: Range<Int>, nextByteCount: Int) {
            self.range = range
            self.nextByteCount = nextByteCount
        }

        /// The bytes, once they are there.
        func bytes() throws -> [UInt8] {
            ready.wait()
            ready.signal()
            guard let result else { preconditionFailure("a window is signalled when it has a result") }
            return try result.get()
        }
    }

    private let object: StoredObject
    private let objects: any ObjectStorage
    /// The last used last.
    private let windows = Mutex<[Window]>([])

    /// The largest window.
    private static let maximumWindowByteCount = 4 << 20
    /// From this size on the next window is fetched ahead.
    private static let readAheadByteCount = 1 << 20
    private static let maximumWindowCount = 4

    init(_ object: StoredObject, in objects: any ObjectStorage) {
        self.object = object
        self.objects = objects
    }

    var name: String { "\(objects.name)/\(object.key)" }
    var byteCount: Int { object.byteCount }
    var isCheapAtRandom: Bool { false }

    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let end = min(offset + buffer.count, byteCount)
        var position = offset
        while position < end {
            let window = window(at: position, wanted: end - position)
            let bytes = try window.bytes()
            let part =
                (position - window.range.lowerBound)..<min(end, window.range.upperBound) - window.range.lowerBound
            bytes.withUnsafeBytes {
                UnsafeMutableRawBufferPointer(rebasing: buffer[(position - offset)...])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[part]))
            }
            position += part.count
        }
        return max(0, end - offset)
    }

    /// The window that has a position: one that is there, or a new one, which this fetches.
    private func window(at position: Int, wanted: Int) -> Window {
        let (window, isNew, ahead) = windows.withLock { windows -> (Window, Bool, Window?) in
            if let index = windows.firstIndex(where: { $0.range.contains(position) }) {
                let window = windows.remove(at: index)
                windows.append(window)
                return (window, false, Self.ahead(of: window, byteCount, &windows))
            }
            let window = Window(range(at: position, wanted, windows), nextByteCount: nextByteCount(position, windows))
            Self.add(window, to: &windows)
            return (window, true, Self.ahead(of: window, byteCount, &windows))
        }
        if let ahead { runBeside("etcd-snap.read-ahead") { self.fetch(ahead) } }
        if isNew { fetch(window) }
        return window
    }

    private static func add(_ window: Window, to windows: inout [Window]) {
        windows.append(window)
        if windows.count > maximumWindowCount { windows.removeFirst() }
    }

    /// The window behind one, if it is read ahead and not there yet.
    private static func ahead(of window: Window, _ byteCount: Int, _ windows: inout [Window]) -> Window? {
        let start = window.range.upperBound
        guard window.nextByteCount > readAheadByteCount, start < byteCount,
            !windows.contains(where: { $0.range.contains(start) })
        else { return nil }
        let end = min(start + window.nextByteCount, byteCount)
        let ahead = Window(start..<end, nextByteCount: window.nextByteCount)
        // Before the one that is used now, which must not be forgotten first.
        windows.insert(ahead, at: max(0, windows.count - 1))
        if windows.count > maximumWindowCount { windows.removeFirst() }
        return ahead
    }

    private func isContinuation(_ position: Int, _ windows: [Window]) -> Window? {
        windows.last { $0.range.upperBound == position }
    }

    private func nextByteCount(_ position: Int, _ windows: [Window]) -> Int {
        guard let before = isContinuation(position, windows) else { return 2 * objects.readByteCount }
        return min(2 * before.nextByteCount, max(Self.maximumWindowByteCount, objects.readByteCount))
    }

    private func range(at position: Int, _ wanted: Int, _ windows: [Window]) -> Range<Int> {
        let before = isContinuation(position, windows)
        let largest = max(Self.maximumWindowByteCount, objects.readByteCount)
        let end = min(position + max(min(wanted, largest), before?.nextByteCount ?? objects.readByteCount), byteCount)
        // Whoever reads near the end reads the index, which begins before.
        let tail = max(0, byteCount - 2 * objects.readByteCount)
        return before == nil && position >= tail ? tail..<byteCount : position..<end
    }

    private func fetch(_ window: Window) {
        window.result = Result {
            try [UInt8](unsafeUninitializedCapacity: window.range.count) { buffer, count in
                count = try objects.read(
                    object, at: window.range.lowerBound, into: UnsafeMutableRawBufferPointer(buffer))
                guard count == window.range.count else {
                    throw Failure(
                        .integrity,
                        "\(quoted(name)) ends after \(window.range.lowerBound + count) bytes, "
                            + "\(byteCount) were expected", hint: "compare it with another copy of the store")
                }
            }
        }
        if case .failure = window.result { windows.withLock { $0.removeAll { $0 === window } } }
        window.ready.signal()
    }
}
