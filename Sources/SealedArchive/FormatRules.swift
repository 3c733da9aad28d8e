import HostIO

/// By which rules a document or a frame is to be read: the version of its format, and what a reader must know besides.
///
/// A version changes what is written already. A feature that older readers may pass over is a new field and nothing
/// else; one that they would get wrong is named in `requires`.
struct FormatRules: Sendable, Equatable {
    /// The version that this code writes, and the newest that it reads.
    static let version = 1
    /// The features that this code knows; version 1 has none.
    static let knownFeatures: Set<String> = []

    var version: Int
    var requiredFeatures: [String]

    /// Checks that this code reads what `subject` is a word for.
    ///
    /// - Throws: ``Failure`` with the code `failed` for what a newer program wrote, `integrity` for a version that none
    ///   has ever written.
    func check(_ subject: String) throws(Failure) {
        guard version > 0 else {
            throw Failure(
                .integrity, "\(subject) has format version \(version), the first is 1",
                hint: "it is damaged or was made up: compare it with another copy of the store")
        }
        let hint = "use a newer etcd-snap; without one `age -d | zstd -d | tar x` opens the archive"
        guard version <= Self.version else {
            throw Failure(
                .failed, "\(subject) has format version \(version), this program reads \(Self.version)",
                hint: hint)
        }
        guard let feature = requiredFeatures.first(where: { !Self.knownFeatures.contains($0) }) else { return }
        throw Failure(
            .failed, "\(subject) requires the feature \(quoted(feature)), which this program does not know",
            hint: hint)
    }
}

/// A document that says by which rules it is to be read.
protocol RuledDocument: Decodable {
    /// The version of its format; nil means 1.
    var formatVersion: Int? { get }
    /// The features that a reader must know; nil means none.
    var requires: [String]? { get }
    /// What the archive is.
    var archive: ArchiveHeader { get }
}

extension RuledDocument {
    /// Reads a document, unless this version would get it wrong; `name` names it in errors.
    ///
    /// - Throws: ``Failure``: what ``FormatRules/check(_:)`` throws, or `integrity` for what is no such document.
    static func decodeByRules(_ bytes: [UInt8], name: String) throws -> Self {
        let document: Self
        do {
            document = try DocumentCoding.decode(Self.self, from: bytes, name: name)
        } catch {
            // Of a later version these fields are all that is sure to be there.
            let stated = try? DocumentCoding.decode(StatedRules.self, from: bytes, name: name)
            for rules in [stated, stated?.archive].compactMap(\.self) {
                try FormatRules(rules.formatVersion, rules.requires).check(quoted(name))
            }
            throw error
        }
        for rules in [FormatRules(document.formatVersion, document.requires), document.archive.rules] {
            try rules.check(quoted(name))
        }
        return document
    }
}

/// The rules that a document states, of itself and of its archive.
private final class StatedRules: Decodable {
    let formatVersion: Int?
    let requires: [String]?
    let archive: StatedRules?
}

extension FormatRules {
    /// Rules as documents have them, where both fields may be missing.
    init(_ version: Int?, _ requires: [String]?) {
        self.init(version: version ?? 1, requiredFeatures: requires ?? [])
    }
}

extension ArchiveHeader {
    var rules: FormatRules { FormatRules(formatVersion, requires) }
}
