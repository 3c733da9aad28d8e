import Foundation
import HostIO
import Testing

@Suite struct Base64Tests {
    private let forms: [Base64.Form] = [.unpadded, .padded, .lines]

    private func decode(_ text: String, _ form: Base64.Form) -> [UInt8]? { Base64.decode(text.utf8, as: form) }

    /// By Foundation's encoder, which is another one.
    @Test func encodesAndDecodes() {
        for count in 0..<100 {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 151 &+ count) }
            let text = Data(bytes).base64EncodedString()
            let short = String(text.prefix { $0 != "=" })
            #expect(String(ascii: Base64.encode(bytes, padded: true)) == text)
            #expect(String(ascii: Base64.encode(bytes)) == short)
            #expect(decode(text, .padded) == bytes && decode(text, .lines) == bytes)
            #expect(decode(short, .unpadded) == bytes)
            if short != text {
                #expect(decode(text, .unpadded) == nil && decode(short, .padded) == nil && decode(short, .lines) == nil)
            }
        }
    }

    @Test func foreignCharactersAndLengths() {
        for form in forms {
            for text in [
                "A", "=", "==", "====", "A===", "AA=A", "AAAAA", "AA-A", "AA_A", "AA A", "AAA\u{0}", "A=AA", "é===",
            ] {
                #expect(decode(text, form) == nil, "\(form): \(text)")
            }
            #expect(decode("", form) == [])
        }
        #expect(decode("AA==AA==", .lines) == nil && decode("AA==AA==", .padded) == nil)
    }

    /// RFC 4648, section 3.5: what is canonical has one spelling; Go's `base64.StdEncoding` looks away, without `Strict`.
    @Test func bitsToSpare() {
        for (text, bytes) in [("AB==", [0]), ("AAB=", [0, 0]), ("Zm9=", Array("fo".utf8))] as [(String, [UInt8])] {
            #expect(decode(text, .padded) == nil)
            #expect(decode(String(text.prefix { $0 != "=" }), .unpadded) == nil)
            #expect(decode(text, .lines) == bytes)
        }
    }

    @Test func lineEndsArePassedOver() {
        for text in ["Zm\n9v", "\r\nZm9v\r\n", "Z\nm\n9\nv", "Zm9v\n"] {
            #expect(decode(text, .lines) == Array("foo".utf8))
            #expect(decode(text, .padded) == nil && decode(text, .unpadded) == nil)
        }
        #expect(decode("Zg\n=\n=\n", .lines) == Array("f".utf8))
    }

    @Test func appends() {
        var bytes: [UInt8] = [1]
        #expect(Base64.append("Zm9v".utf8, as: .unpadded, to: &bytes) && bytes == [1] + Array("foo".utf8))
    }
}
