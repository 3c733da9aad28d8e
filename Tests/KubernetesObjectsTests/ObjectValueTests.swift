@testable import KubernetesObjects
import Testing

@Suite struct ObjectValueTests {
    /// Memory moves when it doubles, not with every element.
    @Test func listsGrowInPlace() {
        var object: [String: ObjectValue] = [:]
        var addresses: [UInt] = []
        for index in 0..<4000 {
            object["list", default: .null].append(.integer(Int64(index)))
            addresses.append(object["list"]?.list.withUnsafeBufferPointer { UInt(bitPattern: $0.baseAddress) } ?? 0)
        }
        #expect(object["list"]?.count == 4000 && object["list"]?.list.last == .integer(3999))
        #expect(zip(addresses, addresses.dropFirst()).count { $0 != $1 } < 20)
    }

    @Test func mapsGrowInPlace() {
        var object: [String: ObjectValue] = [:]
        var addresses: [UInt] = []
        for index in 0..<4000 {
            object["map", default: .null].set(.integer(Int64(index)), for: "\(index)")
            guard case .object(let fields)? = object["map"] else { continue }
            // A dictionary is one word: the address of what it holds.
            addresses.append(unsafeBitCast(fields, to: UInt.self))
        }
        #expect(object["map"]?.count == 4000 && object["map"]?["3999"] == .integer(3999))
        #expect(addresses.count == 4000)
        #expect(zip(addresses, addresses.dropFirst()).count { $0 != $1 } < 20)
    }
}
