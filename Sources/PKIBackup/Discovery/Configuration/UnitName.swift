import HostIO
import NodeFiles

/// The name of a service's unit (systemd.unit(5), "Description").
struct UnitName: Hashable {
    static let ending = ".service"

    /// The whole name, such as `k3s@prod.service`.
    let text: String

    /// A name; nil if it is not that of a service.
    init?(_ text: String) {
        guard text.hasSuffix(Self.ending), text.utf8.count > Self.ending.utf8.count else { return nil }
        self.text = text
    }

    private init(prefix: String, instance: String) { text = "\(prefix)@\(instance)\(Self.ending)" }

    /// The name without its ending.
    var base: String { String(text.dropLast(Self.ending.count)) }

    /// What stands before the first `@`, or the whole name without one.
    var prefix: String { String(base.prefix { $0 != "@" }) }

    /// What stands behind the first `@`; nil without one, empty for a template.
    var instance: String? { base.firstIndex(of: "@").map { String(base[base.index(after: $0)...]) } }

    /// Whether it is a template, of which only instances are started.
    var isTemplate: Bool { instance == "" }

    /// The template of an instance; nil if it is none.
    var template: UnitName? {
        guard let instance, !instance.isEmpty else { return nil }
        return UnitName(prefix: prefix, instance: "")
    }

    /// The same template's unit for an instance.
    func instantiated(_ instance: String) -> UnitName { UnitName(prefix: prefix, instance: instance) }

    /// The directories of its drop-ins, the most specific first (systemd.unit(5), "Description": the unit itself, its template,
    /// and what its prefix begins with up to each dash).
    var dropInDirectories: [String] {
        let beginnings = prefix.indices.filter { prefix[$0] == "-" }.reversed().map { String(prefix[...$0]) }
            .filter { $0 != prefix }
        return ([prefix] + beginnings).flatMap { beginning -> [String] in
            guard let instance else { return ["\(beginning)\(Self.ending).d"] }
            let names = instance.isEmpty ? [""] : [instance, ""]
            return names.map { "\(beginning)@\($0)\(Self.ending).d" }
        }
    }

    /// A part of a name with its escapes undone: `-` stands for a slash, `\x2d` for the byte of that number (systemd.unit(5),
    /// "String Escaping for Inclusion in Unit Names").
    static func unescaped(_ text: String) -> String {
        let bytes = Array(text.utf8)
        var result: [UInt8] = []
        var index = 0
        while index < bytes.count {
            let isEscape = bytes[index...].starts(with: "\\x".utf8) && index + 4 <= bytes.count
            if isEscape, let byte = UInt8(String(decoding: bytes[(index + 2)..<(index + 4)], as: UTF8.self), radix: 16)
            {
                result.append(byte)
                index += 4
            } else {
                result.append(bytes[index] == UInt8(ascii: "-") ? UInt8(ascii: "/") : bytes[index])
                index += 1
            }
        }
        return String(decoding: result, as: UTF8.self)
    }
}

/// Puts what systemd does in the place of specifiers such as `%i` (systemd.unit(5), "Specifiers", those of the system's manager).
///
/// What only the running system knows, such as the boot's ID, becomes ``ShellWords/unknown``, so that no other path comes of it.
struct UnitSpecifiers {
    private let unit: UnitName
    private let fragment: String
    private let root: NodeRoot

    /// - Parameters:
    ///   - unit: the unit whose settings are read.
    ///   - fragment: the file that defines it.
    init(unit: UnitName, fragment: String, root: NodeRoot) {
        self.unit = unit
        self.fragment = fragment
        self.root = root
    }

    /// A text with its specifiers in their place; what is none of them stays.
    func expanded(_ text: String) -> String {
        guard text.contains("%") else { return text }
        var result = ""
        var rest = text[...]
        while let percent = rest.firstIndex(of: "%") {
            result += rest[..<percent]
            rest = rest[percent...].dropFirst()
            guard let letter = rest.first else {
                result += "%"
                break
            }
            result += value(of: letter) ?? "%\(letter)"
            rest = rest.dropFirst()
        }
        return result + rest
    }

    /// What stands for a specifier; nil if the letter is none.
    private func value(of letter: Character) -> String? {
        if let text = Self.fixed[letter] { return text }
        if let field = Self.releaseFields[letter] { return release(field) }
        let instance = unit.instance ?? ""
        return switch letter {
        case "n": unit.text
        case "N": unit.base
        case "p": unit.prefix
        case "P": UnitName.unescaped(unit.prefix)
        case "i": instance
        case "I": UnitName.unescaped(instance)
        case "j": lastPart
        case "J": UnitName.unescaped(lastPart)
        case "f": joinPath("/", UnitName.unescaped(instance.isEmpty ? unit.prefix : instance))
        case "d": joinPath("/run/credentials", unit.text)
        case "y": realFragment
        case "Y": parentPath(realFragment)
        case "H", "m": line(letter == "H" ? "/etc/hostname" : "/etc/machine-id") ?? unknown
        case "l": line("/etc/hostname").map { String($0.prefix { $0 != "." }) } ?? unknown
        case "a", "b", "q", "v": unknown
        default: nil
        }
    }

    private var unknown: String { String(ShellWords.unknown) }

    private static let fixed: [Character: String] = [
        "%": "%", "C": "/var/cache", "E": "/etc", "L": "/var/log", "S": "/var/lib", "t": "/run", "T": "/tmp",
        "V": "/var/tmp", "h": "/root", "u": "root", "U": "0", "g": "root", "G": "0", "s": "/bin/sh",
    ]
    /// Fields of os-release(5); one that is not set is empty.
    private static let releaseFields: [Character: String] = [
        "A": "IMAGE_VERSION", "B": "BUILD_ID", "M": "IMAGE_ID", "o": "ID", "w": "VERSION_ID", "W": "VARIANT_ID",
    ]

    private func release(_ field: String) -> String {
        let bytes = ["/etc/os-release", "/usr/lib/os-release"].lazy.compactMap { try? root.bytes(of: $0) }.first
        return bytes.map { EnvironmentFile($0).variables[field] ?? "" } ?? unknown
    }

    private func line(_ path: String) -> String? {
        guard let bytes = try? root.bytes(of: path) else { return nil }
        let text = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isWhitespace).first.map(String.init)
        return text?.isEmpty == false ? text : nil
    }

    /// What stands behind the prefix' last dash.
    private var lastPart: String {
        unit.prefix.lastIndex(of: "-").map { String(unit.prefix[unit.prefix.index(after: $0)...]) } ?? unit.prefix
    }

    private var realFragment: String { (try? root.realPath(of: fragment)) ?? fragment }
}
