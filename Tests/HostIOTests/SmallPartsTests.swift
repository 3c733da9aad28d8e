import Foundation
import HostIO
import SystemPackage
import TestSupport
import Testing

@Suite struct EntryNameTests {
    @Test func takesOneComponentOnly() throws {
        for bad in ["", ".", "..", "/", "a/b", "/a", "a/", "../a", "a\0b"] { #expect(EntryName(bad.utf8) == nil) }
        for good in ["a", "...", ".a", "..a", " ", "\n", "-", "\\", "a b"] {
            #expect(EntryName(good.utf8)?.bytes == Array(good.utf8))
        }
        #expect(EntryName(brokenName)?.bytes == brokenName)
    }

    @Test func takesRelativePathsApart() throws {
        func components(_ path: String) -> [String]? {
            EntryName.components(of: Array(path.utf8))?.map(\.description)
        }
        #expect(components("a/b/c") == ["a", "b", "c"])
        #expect(components("a//b/") == ["a", "b"])
        #expect(components("./a/./b") == ["a", "b"])
        #expect(components("") == [])
        #expect(components(".") == [])
        for bad in ["/", "/a", "//a", "..", "a/..", "a/../b", "a/b\0c", "../../etc/passwd"] {
            #expect(components(bad) == nil)
        }
        #expect(EntryName.components(of: brokenName)?.map(\.bytes) == [brokenName])
    }

    @Test func ordersBytewiseAndLendsCStrings() throws {
        #expect(try entry("B") < entry("a"))
        #expect(try entry("a") < entry("ab"))
        #expect(try entry("abc").withCString { String(cString: $0) } == "abc")
    }
}

@Suite struct ByteBlockTests {
    @Test func isUsedAgainOnceNobodyHasIt() {
        var pool = ByteBlockPool(capacity: 16)
        var first: ByteBlock? = pool.take()
        let address = first?.unownedBytes.baseAddress
        let second = pool.take()
        #expect(second !== first)
        first = nil
        let third = pool.take()
        #expect(third.unownedBytes.baseAddress == address)
        #expect(pool.take() !== second)
    }

    @Test func fillsAnewAndAppends() throws {
        let block = ByteBlock(capacity: 8)
        #expect(block.capacity == 8 && block.count == 0)
        block.fill { buffer in
            buffer.copyBytes(from: [1, 2, 3])
            return 3
        }
        [4, 5].withUnsafeBufferPointer { (bytes: UnsafeBufferPointer<UInt8>) in
            block.append(UnsafeRawBufferPointer(bytes))
        }
        #expect(block.withUnsafeBytes { Array($0) } == [1, 2, 3, 4, 5])
        #expect(throws: CancellationError.self) {
            try block.fill { (_: UnsafeMutableRawBufferPointer) throws(CancellationError) in throw CancellationError() }
        }
        #expect(block.count == 0)
    }

    @Test func fillingPastTheEndIsABug() async {
        await #expect(processExitsWith: .failure) {
            let block = ByteBlock(capacity: 2)
            [UInt8](repeating: 0, count: 3).withUnsafeBytes { block.append($0) }
        }
    }
}

@Suite struct MessageTests {
    /// Nobody who is root is told to become root.
    @Test(.enabled(if: geteuid() == 0, "it is about root"))
    func rootIsToldWhatMayRefuseIt() {
        let refused = SystemCallError("rename to", "/x", errno: .notPermitted).failure
        #expect(refused.hint?.contains("lsattr") == true && refused.hint?.contains("run as root") == false)
        let denied = SystemCallError("open", "/x", errno: .permissionDenied).failure
        #expect(denied.hint?.contains("SELinux") == true && denied.hint?.contains("run as root") == false)
    }

    @Test func quotesControlCharacters() {
        #expect(quoted("plain é") == "\"plain é\"")
        #expect(quoted("a\"b\\c") == "\"a\\\"b\\\\c\"")
        #expect(quoted("\u{1B}[2J\n\u{7F}\u{9B}") == "\"\\u{1b}[2J\\u{a}\\u{7f}\\u{9b}\"")
        // Marks of the writing direction make one name look like another.
        #expect(quoted("a\u{202E}b\u{2066}\u{2028}") == "\"a\\u{202e}b\\u{2066}\\u{2028}\"")
    }

    @Test func printsNothingThatATerminalObeys() {
        #expect(printable("plain é \u{1F600} \"\\") == "plain é \u{1F600} \"\\")
        #expect(printable("a\tb\r\nc\u{1B}[2J\u{7F}\u{9B}\u{202E}d") == "a b  c\u{FFFD}[2J\u{FFFD}\u{FFFD}\u{FFFD}d")
    }

    @Test func findsPlacesInOrderedCollections() {
        for count in 0..<40 {
            let numbers = (0..<count).map { 2 * $0 }
            for sought in -1...(2 * count + 1) {
                #expect(numbers.partitionPoint { $0 < sought } == numbers.count { $0 < sought })
                let rest = numbers.dropFirst(3)
                #expect(rest.partitionPoint { $0 < sought } == rest.startIndex + rest.count { $0 < sought })
            }
        }
    }

    @Test func errorNumbersHaveExitCodes() {
        let codes: [(Errno, Failure.Code)] = [
            (.noSpace, .noSpace), (.diskQuotaExceeded, .noSpace), (.noSuchFileOrDirectory, .notFound),
            (.permissionDenied, .failed), (.readOnlyFileSystem, .failed), (.ioError, .failed),
        ]
        for (number, code) in codes {
            #expect(Failure(wrapping: SystemCallError("open", "x", errno: number)).code == code)
        }
        let outer = Failure(.integrity, "outer", cause: SystemCallError("open", "x", errno: .ioError))
        #expect(outer.description == "outer: cannot open \"x\": Input/output error")
        #expect(Failure(wrapping: outer).code == .integrity)
        #expect(Failure(wrapping: CancellationError()).code == .failed)
    }

    @Test func retriesWhatASignalInterrupted() throws {
        var attempts = 0
        let result = try retryingInterrupts("try", "it") { () -> Int in
            attempts += 1
            errno = EINTR
            return attempts < 4 ? -1 : 42
        }
        #expect(result == 42 && attempts == 4)
    }
}

@Suite struct AvailableCoresTests {
    /// `nproc` asks the affinity mask; a quota can only lower it.
    @Test func isWithinTheAffinityMask() throws {
        let text = try run("nproc", []).text
        let allowed = try #require(Int(text.dropLast()))
        #expect((1...allowed).contains(availableCoreCount()))
    }

    @Test func blockingThreadsPassOnValuesAndErrors() async throws {
        #expect(try await withBlockingThread("test") { 7 } == 7)
        await #expect(throws: CancellationError.self) {
            try await withBlockingThread("test") { throw CancellationError() }
        }
    }
}
