/// Tells copies that a renewal or a person kept aside by their names: `apiserver.crt.old`, `pki.bak`, `tls-1712345678`.
///
/// Such files are captured and not judged: what is in use has a name that something refers to.
enum LeftoverName {
    private static let words: Set<String> = [
        "old", "bak", "backup", "backups", "bkp", "orig", "original", "save", "saved", "rpmsave", "rpmnew", "rpmorig",
        "expired", "prev", "previous", "obsolete", "dist", "copy", "swp", "tmp", "disabled", "ucf",
    ]

    /// Whether a name of a file or directory is one of a copy kept aside.
    static func matches(_ name: String) -> Bool {
        if name.hasSuffix("~") || isNumbered(name) { return true }
        let parts = name.lowercased().split { !($0.isASCII && ($0.isLetter || $0.isNumber)) }.map(String.init)
        // A name of one word is a thing of its own.
        guard parts.count > 1 || parts.first.map(isWord) ?? false else { return false }
        return parts.contains(where: isWord) || parts.dropFirst().contains(where: isTime) || hasDate(parts)
    }

    /// `apiserver.crt.1`, as `logrotate` and `cp --backup=numbered` (`apiserver.crt.~1~`) write it, and `apiserver (1).crt`.
    private static func isNumbered(_ name: String) -> Bool {
        if let open = name.lastIndex(of: "("), let close = name[open...].firstIndex(of: ")"),
            name.index(after: open) < close
        {
            return name[name.index(after: open)..<close].allSatisfy(\.isNumber)
        }
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        guard let last = parts.last, parts.count > 2, !last.isEmpty, last.count < 4, last.allSatisfy(\.isNumber) else {
            return false
        }
        return endings.contains(parts[parts.count - 2].lowercased())
    }

    private static let endings: Set<String> = [
        "cer", "cert", "conf", "crt", "json", "key", "kubeconfig", "pem", "pub", "yaml", "yml",
    ]

    /// `bak`, and with a number `bak2`.
    private static func isWord(_ part: String) -> Bool {
        words.contains(String(part.reversed().drop(while: \.isNumber).reversed()))
    }

    /// A day as `20261126`, with a time of day behind, or seconds since 1970.
    private static func isTime(_ part: String) -> Bool {
        guard part.allSatisfy(\.isNumber) else { return false }
        switch part.count {
        case 8, 12, 14: return part.hasPrefix("20")
        case 10: return part.hasPrefix("1") || part.hasPrefix("2")
        default: return false
        }
    }

    /// A day as `2026-11-26`.
    private static func hasDate(_ parts: [String]) -> Bool {
        parts.indices.dropLast(2).contains { index in
            let day = parts[index...(index + 2)]
            return day.allSatisfy { $0.prefix(2).allSatisfy(\.isNumber) } && parts[index].count == 4
                && parts[index].hasPrefix("20") && parts[index].allSatisfy(\.isNumber) && parts[index + 1].count == 2
        }
    }
}
