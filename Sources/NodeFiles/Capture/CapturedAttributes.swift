import FoundationEssentials
import HostIO
import SealedArchive

/// The extended attributes of a file as far as an archive can keep them.
struct CapturedAttributes {
    /// More than readers take of a pax header: libarchive refuses one of more than a mebibyte, and with it the archive.
    ///
    /// Source: libarchive 3.6, `archive_read_support_format_tar.c`, `read_body_to_string`.
    static let limitByteCount = 960 << 10

    /// Those that are kept.
    private(set) var kept: [ExtendedAttribute] = []
    /// The names of those that would be too much, the largest of all.
    private(set) var leftOut: [[UInt8]] = []

    init() {}

    init(_ all: [(name: [UInt8], value: [UInt8])]) {
        var rest = Self.limitByteCount
        var kept: Set<[UInt8]> = []
        for attribute in all.sorted(by: { $0.value.count < $1.value.count }) {
            rest -= attribute.name.count + attribute.value.count
            if rest >= 0 { kept.insert(attribute.name) }
        }
        self.kept = all.filter { kept.contains($0.name) }.map {
            ExtendedAttribute(name: $0.name, value: Data($0.value))
        }
        leftOut = all.map(\.name).filter { !kept.contains($0) }
    }
}
