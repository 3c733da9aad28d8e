import FoundationEssentials
import HostIO
import NodeFiles
import SealedArchive

#if canImport(Glibc)
    import Glibc
#endif

/// Something that was asked of the host, as a member of the archive.
public struct HostFact: Sendable {
    /// The path in the archive, below `host/`.
    public var path: String
    /// What was asked: a command line, or a directory.
    public var source: String
    /// The answer.
    public var bytes: [UInt8]
}

/// What is asked of the host besides its files: addresses, routes, rule sets, programs and versions.
public enum HostFacts {
    /// The directory of facts in an archive.
    public static let prefix = "host"

    /// Asks the host, and looks at the node at `root`; commands are only run if that is this host.
    ///
    /// Each fact has at most 16 MiB, and is given to `body` before the next is asked for.
    ///
    /// - Parameter components: the components found on the node; their images become a fact.
    /// - Returns: what was not found, and why.
    /// - Throws: what `body` throws.
    public static func collect(
        root: NodeRoot = NodeRoot(), components: [Component] = [], _ body: (HostFact) throws -> Void
    ) rethrows -> [SkippedPath] {
        var skipped: [SkippedPath] = []
        if root.isHost {
            for (name, command) in commands {
                if let fact = fact(name, command, &skipped) { try body(fact) }
            }
            if let fact = kernel() { try body(fact) }
        }
        if let fact = images(of: components) { try body(fact) }
        for directory in pluginDirectories {
            if let fact = programs(in: directory, root, &skipped) { try body(fact) }
        }
        return skipped
    }

    /// The commands with the names that their answers are kept under; rule sets are in forms that their tools restore from.
    ///
    /// Sources: ip(8) `-json`, nft(8), iptables-save(8), ipvsadm(8), ipset(8), bridge(8), resolvectl(1).
    private static let commands: [(name: String, command: HostCommand)] = [
        ("ip-address.json", HostCommand("ip", ["-json", "-details", "address"])),
        ("ip-route.json", HostCommand("ip", ["-json", "route", "show", "table", "all"])),
        ("ip-route6.json", HostCommand("ip", ["-6", "-json", "route", "show", "table", "all"])),
        ("ip-rule.json", HostCommand("ip", ["-json", "rule"])),
        ("ip-rule6.json", HostCommand("ip", ["-6", "-json", "rule"])),
        ("ip-neighbour.json", HostCommand("ip", ["-json", "neighbour"])),
        ("nftables.nft", HostCommand("nft", ["list", "ruleset"])),
        ("iptables.rules", HostCommand("iptables-save", [])),
        ("ip6tables.rules", HostCommand("ip6tables-save", [])),
        ("ipvs.rules", HostCommand("ipvsadm-save", ["-n"])),
        ("ipset.rules", HostCommand("ipset", ["save"])),
        ("bridge-fdb.json", HostCommand("bridge", ["-json", "fdb"])),
        ("kubelet-version.txt", HostCommand("kubelet", ["--version"])),
        ("kubeadm-version.txt", HostCommand("kubeadm", ["version", "-o", "short"])),
        ("containerd-version.txt", HostCommand("containerd", ["--version"])),
        ("crio-version.txt", HostCommand("crio", ["--version"])),
        ("runc-version.txt", HostCommand("runc", ["--version"])),
        ("k3s-version.txt", HostCommand("k3s", ["--version"])),
        ("rke2-version.txt", HostCommand("rke2", ["--version"])),
        ("k0s-version.txt", HostCommand("k0s", ["version"])),
        ("etcd-version.txt", HostCommand("etcd", ["--version"])),
    ]

    /// CNI's standard place (`CNI_PATH` of the specification's examples), and those of k3s, RKE2 and others.
    private static let pluginDirectories = [
        "/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni", "/var/lib/rancher/k3s/data/cni", "/var/lib/cni/bin",
    ]

    private static func fact(_ name: String, _ command: HostCommand, _ skipped: inout [SkippedPath]) -> HostFact? {
        let line = ([command.program] + command.arguments).joined(separator: " ")
        switch command.run() {
        case .output(let bytes): return HostFact(path: "\(prefix)/\(name)", source: line, bytes: bytes)
        case .absent: skipped.append(SkippedPath(path: line, reason: "the host has no \(command.program)"))
        case .failed(let reason): skipped.append(SkippedPath(path: line, reason: reason))
        }
        return nil
    }

    private static func kernel() -> HostFact? {
        var names = utsname()
        guard uname(&names) == 0 else { return nil }
        func text<Field>(_ field: Field) -> String {
            withUnsafeBytes(of: field) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        }
        let document = [
            "system": text(names.sysname), "node": text(names.nodename), "release": text(names.release),
            "version": text(names.version), "machine": text(names.machine),
        ]
        return fact("kernel.json", source: "uname", document)
    }

    private static func images(of components: [Component]) -> HostFact? {
        let images = components.filter { $0.image != nil }
        guard !images.isEmpty else { return nil }
        return fact(
            "images.json", source: "static pods",
            images.map { ["component": $0.name, "source": $0.source, "image": $0.image ?? ""] })
    }

    // MARK: Programs

    private struct Program: Encodable {
        var name: String
        var size: Int
        var mode: String
        var sha256: String?
        var linkTarget: String?
    }

    /// Lists programs with their digests; unknown programs are not run to ask for their version.
    private static func programs(
        in directory: String, _ root: NodeRoot, _ skipped: inout [SkippedPath]
    ) -> HostFact? {
        guard let resolved = try? root.resolve(Array(directory.utf8)), resolved.attributes.kind == .directory,
            let name = resolved.name
        else { return nil }
        do {
            let open = try resolved.directory.openDirectory(name)
            let programs = try open.names().compactMap { EntryName($0) }.compactMap { program($0, in: open) }
            let file = directory.split(separator: "/").joined(separator: "-")
            return fact("programs-\(file).json", source: directory, programs)
        } catch {
            skipped.append(SkippedPath(path: directory, reason: Failure(wrapping: error).message))
            return nil
        }
    }

    private static func program(_ name: EntryName, in directory: OpenDirectory) -> Program? {
        guard let attributes = try? directory.attributes(of: name) else { return nil }
        var program = Program(
            name: name.description, size: attributes.byteCount, mode: "0" + String(attributes.mode, radix: 8))
        switch attributes.kind {
        case .file: program.sha256 = try? directory.sha256(of: name)
        case .symbolicLink: program.linkTarget = (try? directory.readLink(name)).map(display)
        default: return nil
        }
        return program
    }

    private static func fact(_ name: String, source: String, _ document: some Encodable) -> HostFact? {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(document) else { return nil }
        return HostFact(path: "\(prefix)/\(name)", source: source, bytes: Array(data) + [0x0A])
    }
}
