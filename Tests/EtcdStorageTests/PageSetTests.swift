import Testing

@testable import EtcdStorage

@Suite struct PageSetTests {
    @Test func differencesAndRanges() {
        var set = PageSet(pageCount: 300)
        for page in [0, 1, 2, 63, 64, 65, 130, 299] as [UInt64] { set.insert(page) }
        #expect(set.ranges == [0..<3, 63..<66, 130..<131, 299..<300])
        var other = PageSet(pageCount: 300)
        for page in [1, 64, 200] as [UInt64] { other.insert(page) }
        #expect(set.subtracting(other).ranges == [0..<1, 2..<3, 63..<64, 65..<66, 130..<131, 299..<300])
        #expect(!set.isEmpty && set.subtracting(set).isEmpty && PageSet(pageCount: 300).ranges.isEmpty)
    }
}
