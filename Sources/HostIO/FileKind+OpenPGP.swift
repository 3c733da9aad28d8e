extension FileKind {
    /// Whether a file begins with a packet of OpenPGP that encrypted or signed files begin with, in binary.
    ///
    /// RFC 9580, 4.2: a packet's tag in its first byte, in the old or the new form, then its length. 5.1 and 5.3: the session
    /// key for a public key (tag 1) or a passphrase (tag 3), with a version and an algorithm at known places. 5.6: compressed
    /// data (tag 8), which gpg makes of indeterminate length when it signs.
    static func isOpenPGP(_ head: [UInt8]) -> Bool {
        guard let packet = openPGPPacket(head) else { return false }
        let body = Array(head.dropFirst(packet.bodyOffset).prefix(10))
        guard body.count == 10 else { return false }
        switch packet.tag {
        case 1: return body[0] == 3 && [1, 2, 3, 16, 18, 20, 22, 25, 26].contains(body[9])
        case 3:
            let (version, cipher, next) = (body[0], body[1], body[2])
            // Behind the cipher version 4 has how the key is made of the passphrase, version 5 the mode of the cipher.
            let known: ClosedRange<UInt8> = version == 4 ? 0...4 : 1...3
            return [4, 5].contains(version) && (1...13).contains(cipher) && known.contains(next)
        case 8: return packet.isIndeterminate && (1...3).contains(body[0])
        default: return false
        }
    }

    private static func openPGPPacket(_ head: [UInt8]) -> (tag: UInt8, bodyOffset: Int, isIndeterminate: Bool)? {
        guard head.count > 1, head[0] & 0x80 != 0 else { return nil }
        if head[0] & 0x40 != 0 {
            let lengthByteCount = head[1] < 192 ? 1 : head[1] < 224 ? 2 : head[1] == 255 ? 5 : 1
            return (head[0] & 0x3F, 1 + lengthByteCount, false)
        }
        let lengthByteCount = [1, 2, 4, 0][Int(head[0] & 3)]
        return ((head[0] >> 2) & 0x0F, 1 + lengthByteCount, lengthByteCount == 0)
    }
}
