public import HostIO

/// How an object is cut into parts: all of one size but the last, which every server takes.
///
/// A part is in memory whole, because its digest and its length are sent before it, and it may have to be sent again.
public struct MultipartPlan: Sendable, Equatable {
    /// The size of each part but the last, in bytes.
    public static let partByteCount = 16 << 20
    /// The most parts; S3's own limit.
    public static let maximumPartCount = 10_000
    /// The largest object that the parts hold, in bytes: 167.8 GB.
    public static let maximumByteCount = partByteCount * maximumPartCount

    /// The number of bytes, as far as it is known; an upper bound will do.
    public let byteCount: Int?

    /// A plan for an object.
    ///
    /// - Throws: ``Failure`` with the code `failed` if so many bytes don't fit.
    public init(byteCount: Int?) throws(Failure) {
        self.byteCount = byteCount
        if let byteCount { try Self.check(byteCount) }
    }

    /// Checks that so many bytes fit; to be called as an object of unknown size grows.
    public static func check(_ byteCount: Int) throws(Failure) {
        guard byteCount > maximumByteCount else { return }
        throw Failure(
            .failed,
            "\(byteCount) bytes are more than an object in S3 can have here: \(maximumPartCount) parts of \(partByteCount) "
                + "bytes hold \(maximumByteCount)", hint: "keep such a backup in a store that is a directory")
    }

    /// Whether it is known to fit into one request, which needs no upload in parts.
    public var fitsIntoOneRequest: Bool { byteCount.map { $0 <= Self.partByteCount } ?? false }

    /// The number of parts, one for an empty object; nil if the number of bytes is not known.
    public var partCount: Int? {
        byteCount.map { max(1, ($0 + Self.partByteCount - 1) / Self.partByteCount) }
    }

    /// The bytes of a part of an object.
    ///
    /// - Parameter number: from 1.
    public func range(ofPart number: Int) -> Range<Int>? {
        guard let byteCount, let partCount, (1...partCount).contains(number) else { return nil }
        let start = (number - 1) * Self.partByteCount
        return start..<min(start + Self.partByteCount, byteCount)
    }
}
