import FoundationEssentials
import HostIO
import SealedArchive

#if canImport(Glibc)
    import Glibc
#endif

/// A finding that the configuration accepts: it is still recorded, and no longer sets the exit code.
public struct AcceptedFinding: Codable, Sendable, Equatable, StrictlyKeyed {
    /// The finding's code, such as `algorithm-weak`.
    public var code: String
    /// What it is about, a pattern as of `fnmatch(3)`; nil for every subject.
    public var subject: String?
    /// Why it is accepted, for whoever reads the manifest.
    public var reason: String
    /// The last day on which it is accepted, in UTC, such as `2027-01-31`; nil for no end.
    public var until: String?

    /// An acceptance from its parts.
    public init(code: String, subject: String? = nil, reason: String, until: String? = nil) {
        self.code = code
        self.subject = subject
        self.reason = reason
        self.until = until
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case code, subject, reason, until
    }

    /// Sees that the code is one, the reason too, and the day can be read.
    ///
    /// - Throws: ``Failure`` with the code `usage`.
    func check() throws {
        guard FindingCodes.known.contains(code) else {
            let words = Set(code.split(separator: "-"))
            let similar = FindingCodes.known.filter { !words.isDisjoint(with: $0.split(separator: "-")) }.sorted()
            throw Failure(
                .usage, "the configuration accepts \(quoted(code)), and no finding has that code",
                hint: similar.isEmpty
                    ? "docs/findings.md has all of them" : "similar are: \(similar.prefix(8).joined(separator: ", "))")
        }
        guard !reason.allSatisfy(\.isWhitespace) else {
            throw Failure(
                .usage, "the configuration accepts \(quoted(code)) without a reason",
                hint: "say why under reason: it is what an auditor will read")
        }
        guard until == nil || end != nil else {
            throw Failure(
                .usage, "the configuration accepts \(quoted(code)) until \(quoted(until ?? "")), which is no day",
                hint: "write it as 2027-01-31")
        }
    }

    /// When the last day is over.
    private var end: Date? {
        guard let until, let day = try? Date(until + "T00:00:00Z", strategy: .iso8601) else { return nil }
        // What reads it takes the 31st of February for the 3rd of March.
        guard day.formatted(.iso8601).hasPrefix(until) else { return nil }
        return day.addingTimeInterval(86_400)
    }

    /// Whether it is about a finding, at a time.
    func covers(_ finding: Finding, at now: Date) -> Bool {
        guard finding.code == code, end.map({ now < $0 }) ?? true else { return false }
        return subject.map { fnmatch($0, finding.subject, 0) == 0 } ?? true
    }
}

extension [AcceptedFinding] {
    /// The findings, those that are accepted marked so.
    func applied(to findings: [Finding], at now: Date = Date()) -> [Finding] {
        findings.map { finding in
            var finding = finding
            if finding.severity != .note, let match = first(where: { $0.covers(finding, at: now) }) {
                finding.accepted = Finding.Acceptance(reason: match.reason, until: match.until)
            }
            return finding
        }
    }
}
