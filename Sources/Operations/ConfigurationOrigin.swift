import Age
import EtcdSnap
import HostIO
import YAML

/// A public key to seal for, in YAML a string or a mapping with `key` and `label`.
public struct ConfiguredRecipient: Codable, Sendable, Equatable, StrictlyKeyed, ExpressibleByStringLiteral {
    /// The recipient: `age1…` or `age1pq1…`.
    public var key: String
    /// What people call it, such as `offline key in the safe`.
    public var label: String?

    /// A recipient with a label.
    public init(key: String, label: String? = nil) {
        self.key = key
        self.label = label
    }

    /// A recipient without a label.
    public init(stringLiteral key: String) { self.init(key: key) }

    /// Reads either form.
    public init(from decoder: any Decoder) throws {
        if let key = try? decoder.singleValueContainer().decode(String.self) {
            self.init(key: key)
        } else {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            self.init(
                key: try container.decode(String.self, forKey: .key),
                label: try container.decodeIfPresent(String.self, forKey: .label))
        }
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case key, label
    }
}

/// Where the values of a configuration were read, for errors that show only when they are used.
///
/// It makes no difference between configurations.
struct ConfigurationOrigin: Sendable, Equatable {
    var name = ""
    /// The lines by path: `recipients.0`, `etcd.endpoints.1`.
    var lines: [String: Int] = [:]

    init() {}

    init(_ node: Node, name: String) {
        self.name = name
        lines = Self.lines(of: node, at: "")
    }

    static func == (left: Self, right: Self) -> Bool { true }

    private static func lines(of node: Node, at path: String) -> [String: Int] {
        let prefix = path.isEmpty ? "" : path + "."
        var lines = [path: node.mark.line]
        for pair in node.mapping ?? [] {
            lines.merge(Self.lines(of: pair.value, at: prefix + (pair.key.text ?? "?"))) { first, _ in first }
        }
        for (index, element) in (node.sequence ?? []).enumerated() {
            lines.merge(Self.lines(of: element, at: "\(prefix)\(index)")) { first, _ in first }
        }
        return lines
    }
}

extension Configuration {
    /// Runs what uses a value of the configuration; an error names file, line and key.
    ///
    /// - Parameter path: the key, such as `verify`, `recipients.0` or `etcd.endpoints.1`.
    public func locating<Result>(_ path: String, _ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch {
            guard !origin.name.isEmpty else { throw error }
            var failure = Failure(wrapping: error)
            let line = origin.lines[path].map { ", line \($0)" } ?? ""
            failure.message = "\(quoted(origin.name))\(line): \(path): \(failure.message)"
            // It is set there, and not by a flag.
            failure.settings = []
            throw failure
        }
    }

    /// The recipients, in order, those in files behind the others.
    ///
    /// - Throws: ``Failure`` that names the place of one that can't be used, or says that there is none.
    public func loadRecipients() throws -> [any Recipient] {
        var loaded: [any Recipient] = []
        for (index, recipient) in (recipients ?? []).enumerated() {
            try locating("recipients.\(index)") {
                let parsed = try Recipients.parse(recipient.key)
                if let first = loaded.firstIndex(where: { $0.string == parsed.string }) {
                    throw Failure(
                        .usage, "it is the same key as recipients.\(first)",
                        hint: "put the other key there, or leave one out: who loses this one key loses every backup")
                }
                loaded.append(parsed)
            }
        }
        for (index, path) in (recipientsFiles ?? []).enumerated() {
            loaded += try locating("recipientsFiles.\(index)") { try Keys.recipients([], files: [path]) }
        }
        guard !loaded.isEmpty else { return try Keys.recipients([], files: []) }
        let recipients = Keys.withoutRepetitions(loaded)
        try locating("recipients") { try Recipients.requireCompatible(recipients) }
        return recipients
    }

    /// The labels of recipients by their fingerprints.
    public var recipientLabels: [String: String] {
        (recipients ?? []).reduce(into: [:]) { labels, recipient in
            guard let label = recipient.label, let parsed = try? Recipients.parse(recipient.key),
                let fingerprint = parsed.fingerprint
            else { return }
            labels[fingerprint] = label
        }
    }

    /// Checks what the configuration says of etcds, for the errors to name the place.
    public func checkEtcds() throws {
        try checkEndpoints(etcd, at: "etcd")
        for (index, section) in (otherEtcds ?? []).enumerated() {
            try checkEndpoints(section, at: "otherEtcds.\(index)")
            guard section.name == nil else { continue }
            try locating("otherEtcds.\(index)") {
                throw Failure(.usage, "this etcd has no name", hint: "give it one: the snapshot is named after it")
            }
        }
    }

    /// Checks a number; an error names the place.
    func check(_ number: Int?, isIn range: ClosedRange<Int>, at path: String) throws {
        guard let number, !range.contains(number) else { return }
        try locating(path) {
            throw Failure(
                .usage, "\(number) is out of range",
                hint: "write a number from \(range.lowerBound) to \(range.upperBound)")
        }
    }

    private func checkEndpoints(_ section: Etcd?, at path: String) throws {
        let timeouts = [
            ("dialTimeoutSeconds", section?.dialTimeoutSeconds), ("stallTimeoutSeconds", section?.stallTimeoutSeconds),
            ("timeoutSeconds", section?.timeoutSeconds),
        ]
        for (key, seconds) in timeouts { try check(seconds, isIn: 1...1_000_000, at: "\(path).\(key)") }
        for (index, text) in (section?.endpoints ?? []).enumerated() {
            _ = try locating("\(path).endpoints.\(index)") { try Endpoint(parsing: text) }
        }
    }
}
