import HostIO

/// The temporary name of an entry that is complete and about to be renamed to its place: `.etcd-snap-placing-` and 16
/// hexadecimal digits.
///
/// It begins with a dot, for the kubelet runs every other file in the directory of static pods
/// (`pkg/kubelet/config/file_linux.go`, `extractFromDir` and `produceWatchEvent`).
enum StagedName {
    private static let prefix = Array(".etcd-snap-placing-".utf8)
    private static let digitCount = 16

    /// A new one.
    static func random() -> EntryName {
        let digits = String(UInt64.random(in: .min ... .max), radix: 16)
        let zeros = String(repeating: "0", count: digitCount - digits.utf8.count)
        guard let name = EntryName(prefix + Array((zeros + digits).utf8)) else {
            preconditionFailure("a staged name is a name")
        }
        return name
    }

    /// Whether a name is one.
    static func matches(_ name: some Collection<UInt8>) -> Bool {
        name.count == prefix.count + digitCount && name.starts(with: prefix)
            && name.dropFirst(prefix.count).allSatisfy("0123456789abcdef".utf8.contains)
    }
}
