/// The name of an extended attribute as it stands in a pax header, behind `SCHILY.xattr.`.
///
/// A keyword ends at the first `=`, so GNU tar writes that as `%3D`, and `%` as `%25`; every other byte is itself. libarchive
/// writes and reads other forms: for blanks and bytes that are not ASCII it writes a `%` and two digits, which GNU tar takes
/// for a part of the name, and it reads all of them as they are. So it is given a name of the same length in their place,
/// and the right one is put into the header that it makes.
///
/// Source: GNU tar 1.34, `src/xheader.c`, `xattr_encode_keyword` and `xattr_decode_keyword`; libarchive 3.6,
/// `archive_write_set_format_pax.c`, `url_encode`, and `archive_read_support_format_tar.c`, `pax_attribute_schily_xattr`.
struct AttributeKeyword: Equatable {
    private static let prefix = Array("SCHILY.xattr.".utf8)
    private static let escapes: [UInt8: [UInt8]] = [0x25: Array("%25".utf8), 0x3D: Array("%3D".utf8)]

    /// The bytes behind the prefix.
    let bytes: [UInt8]

    init(name: [UInt8]) { bytes = name.flatMap { Self.escapes[$0] ?? [$0] } }

    /// A name of as many bytes, which libarchive leaves as it is.
    var placeholder: String { String(repeating: "x", count: bytes.count) }

    /// The name that is written as `keyword`, also in libarchive's form.
    static func name(_ keyword: [UInt8]) -> [UInt8] {
        var name: [UInt8] = []
        var rest = keyword[...]
        while let byte = rest.popFirst() {
            if byte == 0x25, let digits = String(validating: rest.prefix(2), as: UTF8.self), digits.utf8.count == 2,
                digits.utf8.allSatisfy({ Character(UnicodeScalar($0)).isHexDigit }), let code = UInt8(digits, radix: 16)
            {
                name.append(code)
                rest = rest.dropFirst(2)
            } else {
                name.append(byte)
            }
        }
        return name
    }

    /// The records of a pax header with the placeholders replaced in their order; nil if these are not such records.
    ///
    /// Each record is `<length> <keyword>=<value>\n`, where the length is that of all of it.
    static func fill(_ keywords: [AttributeKeyword], into records: UnsafeRawBufferPointer) -> [UInt8]? {
        var bytes = Array(records)
        var offset = 0
        var keywords = keywords[...]
        while offset < bytes.count, let keyword = keywords.first {
            guard let blank = bytes[offset...].prefix(20).firstIndex(of: 0x20),
                let length = Int(String(decoding: bytes[offset..<blank], as: UTF8.self)), length > blank + 1 - offset,
                length <= bytes.count - offset
            else { return nil }
            let start = blank + 1
            if bytes[start..<offset + length].starts(with: prefix) {
                let place = start + prefix.count..<start + prefix.count + keyword.bytes.count
                guard place.upperBound < offset + length, bytes[place].allSatisfy({ $0 == 0x78 }),
                    bytes[place.upperBound] == 0x3D
                else { return nil }
                bytes.replaceSubrange(place, with: keyword.bytes)
                keywords.removeFirst()
            }
            offset += length
        }
        return keywords.isEmpty ? bytes : nil
    }
}

/// A time of a file, and the form in which libarchive writes and reads it: as a decimal fraction, whose sign it takes for
/// that of the seconds alone.
///
/// Of the last second before 1970 the fraction is lost, for there is no negative zero that could have the sign.
struct PaxTime: Equatable {
    /// Whole seconds since 1970, rounded down.
    var seconds: Int64
    /// The rest, from 0 to 999,999,999.
    var nanoseconds: Int

    private static let second = 1_000_000_000

    init(seconds: Int64, nanoseconds: Int) {
        self.seconds = seconds
        self.nanoseconds = nanoseconds
    }

    /// What libarchive has read: of `-1.5` it makes -1 s and half a second.
    init(read seconds: Int64, _ nanoseconds: Int) {
        let isNegative = seconds < 0 && nanoseconds > 0 && seconds > .min
        self.init(
            seconds: isNegative ? seconds - 1 : seconds,
            nanoseconds: isNegative ? Self.second - nanoseconds : nanoseconds)
    }

    /// What libarchive is to be given.
    var written: PaxTime {
        guard seconds < 0, nanoseconds > 0 else { return self }
        guard seconds < -1 else { return PaxTime(seconds: seconds, nanoseconds: 0) }
        return PaxTime(seconds: seconds + 1, nanoseconds: Self.second - nanoseconds)
    }
}
