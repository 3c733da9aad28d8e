public import HostIO

/// Finds what still holds an old name or address as a whole word: 10.0.0.1 is none within 10.0.0.11.
///
/// Addresses are found however they are written, names whatever their case, also where the names of files, mirror pods
/// and kubeconfig's users are made of them.
public struct OldNameSearch: Sendable {
    /// A place of an old name or address.
    public struct Occurrence: Sendable, Equatable {
        /// The file.
        public var path: String
        /// The line, counted from 1.
        public var line: Int
        /// The byte of the line, counted from 1.
        public var column: Int
        /// The old name or address as it is written there.
        public var word: String
        /// The line without what is secret in it, blanks at its ends and what is too long.
        public var excerpt: String
    }

    /// Old names in lower case.
    private let names: [[UInt8]]
    private let addresses: Set<IPAddress>
    private let firstLetters: Set<UInt8>
    private let beginnings: Beginnings

    /// A search for what a change replaces.
    public init(_ change: NodeChange) {
        var names: Set<String> = []
        for (old, new) in [(change.oldName, change.newName)] + change.members.map({ ($0.oldName, $0.newName) })
        where old != new { names.insert(old.lowercased()) }
        var addresses = Set(change.allAddresses.filter { $0.old != $0.new }.map(\.old))
        if let endpoint = change.oldEndpoint, change.newEndpoint.map({ !$0.hasHost(endpoint.host) }) ?? true {
            if let address = IPAddress(endpoint.host) {
                addresses.insert(address)
            } else {
                names.insert(endpoint.host.lowercased())
            }
        }
        self.init(names: names, addresses: addresses)
    }

    /// A search for these names and addresses.
    public init(names: Set<String>, addresses: Set<IPAddress>) {
        self.names = names.map { Array($0.lowercased().utf8) }.filter { !$0.isEmpty }.sorted { $0.count > $1.count }
        self.addresses = addresses
        firstLetters = Set(self.names.compactMap(\.first))
        beginnings = Beginnings(self.names + addresses.map(Self.beginning))
    }

    /// Whether there is nothing to search for.
    public var isEmpty: Bool { names.isEmpty && addresses.isEmpty }

    /// The old names and addresses in a text, each once, as they are written there.
    public func words(in text: [UInt8]) -> Set<String> {
        Set((nameRanges(text) + addressRanges(text)).map { String(decoding: text[$0], as: UTF8.self) })
    }

    /// Whether bytes have what an old name or address begins with; the answer for nearly all values after one quick pass.
    ///
    /// Of an IPv6 address that is its first part, with which it begins in every notation but that with more zeros.
    public func mayBe(in bytes: UnsafeRawBufferPointer) -> Bool { beginnings.isAny(in: bytes) }

    private static func beginning(of address: IPAddress) -> [UInt8] {
        guard address.bytes.count == 16 else { return Array(address.text.utf8) }
        return Array(address.text.utf8.prefix { $0 != 0x3A }) + [0x3A]
    }

    /// What is left in a file that was changed, its new values not counted.
    public func occurrences(in change: FileChange) -> [Occurrence] {
        occurrences(path: change.path, bytes: change.newBytes, apartFrom: change.newRanges)
    }

    /// What is in a file; nothing for one that is no text.
    public func occurrences(path: String, bytes: [UInt8]) -> [Occurrence] {
        occurrences(path: path, bytes: bytes, apartFrom: [])
    }

    private func occurrences(path: String, bytes: [UInt8], apartFrom excluded: [Range<Int>]) -> [Occurrence] {
        guard !names.isEmpty || !addresses.isEmpty, !bytes.prefix(8192).contains(0) else { return [] }
        let found = (nameRanges(bytes) + addressRanges(bytes))
            .filter { range in !excluded.contains { $0.overlaps(range) } }
            .sorted { $0.lowerBound < $1.lowerBound }
        guard !found.isEmpty else { return [] }
        let text = SecretText(bytes)
        var occurrences: [Occurrence] = []
        var (line, lineStart) = (1, 0)
        for range in found {
            for index in lineStart..<range.lowerBound where bytes[index] == 0x0A {
                (line, lineStart) = (line + 1, index + 1)
            }
            let lineEnd = bytes[lineStart...].firstIndex(of: 0x0A) ?? bytes.count
            occurrences.append(
                Occurrence(
                    path: path, line: line, column: range.lowerBound - lineStart + 1,
                    word: String(decoding: bytes[range], as: UTF8.self),
                    excerpt: Self.excerpt(text, lineStart..<lineEnd)))
        }
        return occurrences
    }

    private static func excerpt(_ text: SecretText, _ range: Range<Int>) -> String {
        let shown = text.shown(range.lowerBound..<min(range.upperBound, range.lowerBound + 4096))
        let trimmed = shown.drop(while: \.isWhitespace)
        return trimmed.count > 160 ? trimmed.prefix(160) + "…" : String(trimmed)
    }

    // MARK: Names

    /// What may stand before a name though it could belong to one: file names of kubespray, names of mirror pods.
    private static let prefixes = [
        "node-", "member-", "admin-", "etcd-", "kube-apiserver-", "kube-controller-manager-", "kube-scheduler-",
    ].map { Array($0.utf8) }

    private func nameRanges(_ bytes: [UInt8]) -> [Range<Int>] {
        var found: [Range<Int>] = []
        var index = 0
        while index < bytes.count {
            guard firstLetters.contains(lowered(bytes[index])),
                let name = names.first(where: { isName($0, at: index, bytes) })
            else {
                index += 1
                continue
            }
            found.append(index..<index + name.count)
            index += name.count
        }
        return found
    }

    private func isName(_ name: [UInt8], at index: Int, _ bytes: [UInt8]) -> Bool {
        guard index + name.count <= bytes.count, zip(name, bytes[index...]).allSatisfy({ $0 == lowered($1) }) else {
            return false
        }
        return isStart(index, bytes) && isEnd(index + name.count, bytes)
    }

    private func isStart(_ index: Int, _ bytes: [UInt8]) -> Bool {
        guard index > 0, isOfName(bytes[index - 1]) else { return true }
        let before = bytes[max(0, index - 32)..<index]
        return Self.prefixes.contains { prefix in
            before.suffix(prefix.count).elementsEqual(prefix)
                && (before.count == prefix.count || !isOfName(before[before.endIndex - prefix.count - 1]))
        }
    }

    /// Names of keys in kubespray end in `-key.pem`, members of k3s and RKE2 in a dash and eight digits, who holds a lease
    /// in a UUID behind an underscore.
    private func isEnd(_ index: Int, _ bytes: [UInt8]) -> Bool {
        guard index < bytes.count, isOfName(bytes[index]) else { return true }
        let rest = bytes[index...].prefix(10)
        if rest.starts(with: "-key.pem".utf8) { return true }
        if rest.first == 0x5F, rest.count == 10, rest[index + 9] == 0x2D {
            return rest.dropFirst().prefix(8).allSatisfy(isHexadecimal)
        }
        return rest.first == 0x2D && rest.dropFirst().prefix(8).count { isHexadecimal($0) } == 8
            && (rest.count < 10 || !isOfName(rest[index + 9]))
    }

    private func lowered(_ byte: UInt8) -> UInt8 { (0x41...0x5A).contains(byte) ? byte | 0x20 : byte }

    private func isOfName(_ byte: UInt8) -> Bool { byte == 0x2D || isWord(byte) }

    private func isWord(_ byte: UInt8) -> Bool {
        byte == 0x5F || byte >= 0x80 || (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte | 0x20)
    }

    // MARK: Addresses

    private func isHexadecimal(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte | 0x20)
    }

    /// Runs of what addresses are made of, each judged whole.
    private func addressRanges(_ bytes: [UInt8]) -> [Range<Int>] {
        guard !addresses.isEmpty else { return [] }
        var found: [Range<Int>] = []
        var index = 0
        while index < bytes.count {
            guard isOfAddress(bytes[index]) else {
                index += 1
                continue
            }
            let end = bytes[index...].firstIndex { !isOfAddress($0) } ?? bytes.count
            // A letter beside it makes it a part of a word, unless a point or a colon is between them.
            let isCut = index > 0 && isWord(bytes[index - 1]) || end < bytes.count && isWord(bytes[end])
            found += addressRanges(bytes, index..<end, isCut: isCut)
            index = end
        }
        return found
    }

    private func isOfAddress(_ byte: UInt8) -> Bool { isHexadecimal(byte) || byte == 0x2E || byte == 0x3A }

    /// The longest an address is; longer runs are base64 or digests.
    private static let longestRun = 64

    private func addressRanges(_ bytes: [UInt8], _ run: Range<Int>, isCut: Bool) -> [Range<Int>] {
        guard run.count <= Self.longestRun, bytes[run].contains(where: { $0 == 0x2E || $0 == 0x3A }) else { return [] }
        var whole = run
        // A full stop, or a colon that ends no address of IPv6.
        while let last = bytes[whole].last, last == 0x2E || last == 0x3A && !bytes[whole].dropLast().hasSuffix(0x3A) {
            whole = whole.lowerBound..<whole.upperBound - 1
        }
        if !isCut || whole != run, isOld(bytes[whole]) { return [whole] }
        // `HOST:PORT`, and addresses of IPv4 within IPv6 or behind `key:`.
        var found: [Range<Int>] = []
        var start = run.lowerBound
        for part in bytes[run].split(separator: 0x3A, omittingEmptySubsequences: false) {
            defer { start += part.count + 1 }
            var end = start + part.count
            while end > start, bytes[end - 1] == 0x2E { end -= 1 }
            let isInside =
                (start > run.lowerBound || !isWordBefore(run, bytes))
                && (end < run.upperBound || !isWordAfter(run, bytes))
            if isInside, isOld(bytes[start..<end]) { found.append(start..<end) }
        }
        return found
    }

    private func isWordBefore(_ run: Range<Int>, _ bytes: [UInt8]) -> Bool {
        run.lowerBound > 0 && isWord(bytes[run.lowerBound - 1])
    }

    private func isWordAfter(_ run: Range<Int>, _ bytes: [UInt8]) -> Bool {
        run.upperBound < bytes.count && isWord(bytes[run.upperBound])
    }

    private func isOld(_ bytes: ArraySlice<UInt8>) -> Bool {
        IPAddress(String(decoding: bytes, as: UTF8.self)).map { addresses.contains($0) } ?? false
    }
}

extension ArraySlice<UInt8> {
    fileprivate func hasSuffix(_ byte: UInt8) -> Bool { last == byte }
}
