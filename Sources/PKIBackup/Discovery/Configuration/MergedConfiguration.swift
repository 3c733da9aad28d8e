import YAML

/// What a program runs with, out of every place that it reads settings from: each setting's values, and where each was set.
///
/// Settings have the names of the program's command-line flags without dashes; what a file or the environment calls
/// otherwise is brought under these names. Places are merged by the program's own rules of precedence.
public struct MergedConfiguration: Sendable, Equatable {
    /// One value of a setting.
    public struct Value: Sendable, Equatable {
        /// The value.
        public var text: String
        /// Where it was set: a file's path, `process 1234`.
        public var origin: String
    }

    private var settings: [String: [Value]] = [:]
    /// Settings whose values only a run would tell, by their names, with what of the values is known; one without a name for
    /// arguments that may set anything.
    private(set) var unresolved: [String: Value] = [:]

    /// A configuration without settings.
    public init() {}

    /// Settings that one place sets.
    public init(_ values: [String: [String]], unresolved: [String: String] = [:], from origin: String) {
        settings = values.mapValues { $0.map { Value(text: $0, origin: origin) } }
        self.unresolved = unresolved.mapValues { Value(text: $0, origin: origin) }
    }

    /// The values of every setting, in their order.
    public var values: [String: [String]] { settings.mapValues { $0.map(\.text) } }

    /// The values of a setting with their origins; empty if it is not set.
    public subscript(name: String) -> [Value] {
        get { settings[name] ?? [] }
        set { settings[name] = newValue.isEmpty ? nil : newValue }
    }

    /// Of several values the last counts, as in Go's `pflag`; nil if there is none.
    public func last(_ name: String) -> String? { settings[name]?.last?.text }

    /// The places that settings come from, each once.
    public var origins: [String] { Set(settings.values.joined().map(\.origin)).sorted() }

    /// Takes what a place of higher precedence sets in place of what is here.
    mutating func override(with stronger: MergedConfiguration) {
        settings.merge(stronger.settings) { _, value in value }
        unresolved.merge(stronger.unresolved) { _, value in value }
    }

    /// Takes what a place of lower precedence sets, as far as it is not set here.
    mutating func fill(from weaker: MergedConfiguration) {
        let isKnown = settings
        settings.merge(weaker.settings) { value, _ in value }
        unresolved.merge(weaker.unresolved.filter { isKnown[$0.key] == nil }) { value, _ in value }
    }

    /// Takes what a place of higher precedence sets; of settings that may have several values all are kept.
    ///
    /// - Parameter isList: whether a setting may have several.
    mutating func append(_ stronger: MergedConfiguration, isList: (String) -> Bool) {
        for (name, values) in stronger.settings {
            settings[name] = isList(name) ? (settings[name] ?? []) + values : values
        }
        unresolved.merge(stronger.unresolved) { _, value in value }
    }

    /// Calls settings by their full names where short ones are used.
    mutating func expandAliases(_ aliases: [String: String]) {
        for (alias, name) in aliases {
            guard let values = settings.removeValue(forKey: alias) else { continue }
            settings[name] = (settings[name] ?? []) + values
        }
        for (alias, name) in aliases {
            if let value = unresolved.removeValue(forKey: alias) { unresolved[name] = value }
        }
    }

    /// Changes or removes each value.
    mutating func transform(_ body: (_ name: String, _ text: String) -> String?) {
        for (name, values) in settings {
            self[name] = values.compactMap { value in
                body(name, value.text).map { Value(text: $0, origin: value.origin) }
            }
        }
    }
}

extension Node {
    /// The values of a setting that may be a list: the text of a scalar, or those of a sequence's scalars.
    var texts: [String] { presentText.map { [$0] } ?? sequence?.compactMap(\.presentText) ?? [] }
}
