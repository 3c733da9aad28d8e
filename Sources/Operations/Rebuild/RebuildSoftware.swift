import HostIO
import PKIBackup
import SealedArchive
import YAML

extension RebuildPlan {
    /// A program that a lost node ran, by what its backup tells.
    public struct Software: Codable, Sendable, Equatable {
        /// Its name, such as `kubelet`.
        public var program: String
        /// Its version as it was written there.
        public var version: String
        /// The image that it comes in; nil for one of the host.
        public var image: String?
        /// What tells of it, for people.
        public var origin: String
    }
}

/// Tells which programs, in which versions, the new hosts need.
enum RebuildSoftware {
    /// What backups say, each version of a program once.
    static func found(in backups: [NodeBackup]) -> [RebuildPlan.Software] {
        let ran = backups.flatMap { staticPods(of: $0) + servers(of: $0) }
        return chosen(ran: ran, installed: backups.flatMap(hostPrograms))
    }

    /// Each version of a program once, by what tells it best.
    ///
    /// - Parameters:
    ///   - ran: what ran, by images and servers.
    ///   - installed: programs in PATH, which need not be what ran: beside a static pod that is another one.
    static func chosen(ran: [RebuildPlan.Software], installed: [RebuildPlan.Software]) -> [RebuildPlan.Software] {
        var found: [RebuildPlan.Software] = []
        let programs = Set(ran.map(\.program))
        let images = ran.filter { $0.image != nil }
        for software in installed.filter({ !programs.contains($0.program) }) + ran {
            // An image's tag has a revision of its own behind the version, or a letter before it: 3.5.1-0, v3.5.1.
            let isOfImage =
                software.image == nil
                && images.contains {
                    $0.program == software.program
                        && $0.version.drop { $0 == "v" }.prefix { $0 != "-" } == software.version.drop { $0 == "v" }
                }
            if !isOfImage, !found.contains(where: { $0.program == software.program && $0.version == software.version })
            {
                found.append(software)
            }
        }
        return found
    }

    /// The largest answer of a program that is read.
    private static let largestAnswer = 1 << 16

    /// What the programs of the host said when the backup was made.
    private static func hostPrograms(of backup: NodeBackup) -> [RebuildPlan.Software] {
        let (start, end) = ("\(HostFacts.prefix)/", "-version.txt")
        return backup.manifest.entries.compactMap { entry in
            guard entry.path.hasPrefix(start), entry.path.hasSuffix(end), entry.size <= largestAnswer,
                let bytes = try? backup.reader.bytes(of: entry),
                let text = try? bytes.bytes(at: 0, count: bytes.byteCount),
                let version = version(in: String(decoding: text, as: UTF8.self))
            else { return nil }
            let program = String(entry.path.dropFirst(start.count).dropLast(end.count))
            return RebuildPlan.Software(
                program: program, version: version,
                origin: "what \(program) said on \(backup.node.name) when the backup was made")
        }
    }

    private static func staticPods(of backup: NodeBackup) -> [RebuildPlan.Software] {
        let pods = backup.files.values.filter { $0.entry.role == CaptureClass.staticPod.rawValue }
        return pods.sorted { $0.path < $1.path }.flatMap { file -> [RebuildPlan.Software] in
            guard let content = file.content,
                let root = content.withBytes({ try? YAML.Node.first(in: copy $0) })
            else { return [] }
            return (root.value("spec")?.items("containers") ?? []).compactMap { container in
                guard let image = container.text("image"), let name = container.text("name"),
                    let tag = tag(of: image)
                else { return nil }
                return RebuildPlan.Software(
                    program: name, version: tag, image: image,
                    origin: "the image in \(file.path) of \(backup.node.name)")
            }
        }
    }

    /// The etcd that gave the snapshot.
    private static func servers(of backup: NodeBackup) -> [RebuildPlan.Software] {
        backup.manifest.etcd.filter { !$0.serverVersion.isEmpty }.map {
            RebuildPlan.Software(
                program: "etcd", version: $0.serverVersion, origin: "the server that the snapshot was taken from")
        }
    }

    /// The tag of `REGISTRY:PORT/NAME:TAG@DIGEST`.
    static func tag(of image: String) -> String? {
        let parts = lastName(image.prefix { $0 != "@" }).split(separator: ":")
        return parts.count == 2 ? String(parts[1]) : nil
    }

    /// The first word that is a version: `v1.30.2`, `1.7.13`, `v1.29.3+k3s1`.
    static func version(in text: String) -> String? {
        let words = text.split { $0.isWhitespace || $0 == "," || $0 == "\"" }
        return words.lazy.map(String.init).first { word in
            let parts = word.drop { $0 == "v" }.split(separator: ".", omittingEmptySubsequences: false)
            return parts.count >= 3 && parts[0...1].allSatisfy { !$0.isEmpty && $0.allSatisfy(\.isNumber) }
                && parts[2].first?.isNumber == true
        }
    }
}
