import Foundation

/// Values as API servers store them in protobuf: `k8s` and a zero, then `runtime.Unknown`.
///
/// Numbers of fields are those of k8s.io/api 1.36, as the tests give them.
struct StoredValue {
    private(set) var bytes = Data()

    init(_ build: (inout StoredValue) -> Void = { _ in }) { build(&self) }

    private mutating func varint(_ value: Int) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7F) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    mutating func text(_ number: Int, _ text: String) { field(number, Data(text.utf8)) }

    mutating func field(_ number: Int, _ payload: Data) {
        varint(number << 3 | 2)
        varint(payload.count)
        bytes += payload
    }

    mutating func number(_ number: Int, _ value: Int) {
        varint(number << 3)
        varint(value)
    }

    mutating func message(_ number: Int, _ build: (inout StoredValue) -> Void) {
        field(number, StoredValue(build).bytes)
    }

    mutating func entry(_ number: Int, _ key: String, _ value: String) {
        message(number) {
            $0.text(1, key)
            $0.text(2, value)
        }
    }

    /// An object with its metadata: labels and annotations, and fields that only repeat what others say.
    static func object(
        _ kind: String, _ name: String, labels: [String: String] = [:], annotations: [String: String] = [:],
        _ build: (inout StoredValue) -> Void = { _ in }
    ) -> Data {
        let unknown = StoredValue {
            $0.message(1) {
                $0.text(1, "v1")
                $0.text(2, kind)
            }
            $0.message(2) {
                $0.message(1) {
                    $0.text(1, name)
                    for (key, value) in labels.sorted(by: <) { $0.entry(11, key, value) }
                    for (key, value) in annotations.sorted(by: <) { $0.entry(12, key, value) }
                    $0.message(17) { $0.message(7) { $0.text(1, "{\"k:{\\\"ip\\\":\\\"10.0.0.11\\\"}\":{}}") } }
                }
                build(&$0)
            }
            $0.text(3, "")
            $0.text(4, "")
        }
        return Data("k8s\0".utf8) + unknown.bytes
    }

    /// A lease that somebody holds for 15 seconds.
    static func lease(_ name: String, heldBy holder: String) -> Data {
        object("Lease", name) {
            $0.message(2) {
                $0.text(1, holder)
                $0.number(2, 15)
            }
        }
    }
}
