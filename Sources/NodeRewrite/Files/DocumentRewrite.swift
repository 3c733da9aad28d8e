internal import HostIO
internal import YAML

/// Changes one YAML file.
struct DocumentRewrite {
    let path: String
    let change: NodeChange
    private let bytes: [UInt8]
    private(set) var edit: YAMLEdit
    private var edits: [(offset: Int, edit: FileChange.Edit)] = []
    var remarks: [String] = []

    init(path: String, bytes: [UInt8], change: NodeChange) throws(Failure) {
        self.path = path
        self.bytes = bytes
        self.change = change
        edit = try YAMLEdit(bytes, name: path)
    }

    var isEmpty: Bool { edits.isEmpty }

    /// Gives one value, or each of a list, its new one.
    mutating func update(_ place: YAMLPlace?, _ kind: SettingKind?) throws(Failure) {
        guard let place, let kind else { return }
        for item in place.items { try update(item, kind) }
        guard let old = place.text, let new = change.newValue(kind, old) else { return }
        try set(place, kind, old, new)
    }

    mutating func set(_ place: YAMLPlace, _ kind: SettingKind, _ old: String, _ new: String) throws(Failure) {
        let isNumber = kind == .port && place.node.scalar?.style == .plain && place.node.tag == nil
        try edit.set(place, to: isNumber ? Int(new).map(YAMLEdit.Value.integer) ?? .string(new) : .string(new))
        note(place, name: nil, kind, old, new)
    }

    private mutating func note(_ place: YAMLPlace, name: String?, _ kind: SettingKind, _ old: String, _ new: String) {
        let path = place.path + (name.map { " \($0)" } ?? "")
        edits.append(
            (
                place.node.mark.bytes.lowerBound,
                FileChange.Edit(
                    path: path, line: place.node.mark.line, oldValue: old, newValue: new, reason: kind.reason)
            ))
    }

    /// Gives every flag of a command its new value, where it stands.
    mutating func updateCommand(_ places: [YAMLPlace]) throws(Failure) {
        let places = places.filter { $0.text != nil }
        let words = places.map { MappedText(Array(($0.text ?? "").utf8)) }
        var replacements: [Int: [(range: Range<Int>, new: [UInt8])]] = [:]
        for setting in SettingWords.settings(in: words) {
            guard let new = change.newValue(setting.kind, setting.value) else { continue }
            let place = places[setting.word]
            guard let source = setting.source else { throw notInOnePiece(setting, line: place.node.mark.line, path) }
            replacements[setting.word, default: []].append((source, Array(new.utf8)))
            note(place, name: setting.name, setting.kind, setting.value, new)
        }
        for (index, replacements) in replacements {
            let text = replacing(replacements, in: words[index].bytes).bytes
            try edit.set(places[index], to: .string(String(decoding: text, as: UTF8.self)))
        }
    }

    /// Keys of k3s and RKE2: flags without dashes, and arguments of the programs in them.
    mutating func updateRancher(_ root: YAMLPlace) throws(Failure) {
        for key in root.keys {
            // `KEY+` adds to what other files say.
            let name = key.hasSuffix("+") ? String(key.dropLast()) : key
            guard name.hasSuffix("-arg"), let place = root[key] else {
                try update(root[key], SettingTable.rancher[name])
                continue
            }
            for item in place.items.isEmpty ? [place] : place.items { try updateArgument(item) }
        }
        try addServerName(root)
    }

    /// Adds the new endpoint to the names that k3s and RKE2 give their serving certificates; of several files that have the
    /// list the last one counts, so that each has to have it, and config.yaml where none of them does.
    private mutating func addServerName(_ root: YAMLPlace) throws(Failure) {
        guard let host = change.addedHost else { return }
        let places = ["tls-san", "tls-san+"].compactMap { root[$0] }
        guard let place = places.first else {
            if lastName(path) == "config.yaml" { addKey("tls-san", "[\(Self.source(host))]", to: root, host) }
            return
        }
        let names = places.flatMap { $0.items.isEmpty ? [$0] : $0.items }.compactMap(\.text)
        guard !names.contains(where: { change.lists($0, host) }) else { return }
        guard let text = place.text else { return addItem(host, to: place) }
        guard let new = change.adding(host, to: text) else { return }
        try edit.set(place, to: .string(new))
        note(place, name: nil, .hosts, text, new)
    }

    /// Adds a host to a list, or says that a person has to.
    mutating func addItem(_ host: String, to place: YAMLPlace) {
        guard edit.add(Self.source(host), to: place) else {
            remarks.append("\(quoted(path)) can't be changed safely: add \(quoted(host)) to \(place.path)")
            return
        }
        note(place, name: nil, .hosts, "", host)
    }

    /// Adds a key, or says that a person has to.
    mutating func addKey(_ key: String, _ value: String, to place: YAMLPlace?, _ host: String) {
        guard let place, edit.add(value, key: key, to: place) else {
            remarks.append("\(quoted(path)) can't be changed safely: add \(key) with \(quoted(host))")
            return
        }
        edits.append(
            (
                place.node.mark.bytes.lowerBound,
                FileChange.Edit(
                    path: place.path(of: key), line: place.node.mark.line, oldValue: "", newValue: host,
                    reason: SettingKind.hosts.reason)
            ))
    }

    /// A name or an address, which may have colons, as an item.
    static func source(_ host: String) -> String {
        Node.isPlainText(host, isInFlow: true) && !host.contains(":") ? host : "'\(host)'"
    }

    /// `flag=value`, without dashes.
    private mutating func updateArgument(_ place: YAMLPlace) throws(Failure) {
        guard let text = place.text, let equals = text.firstIndex(of: "=") else { return }
        let name = text[..<equals].drop { $0 == "-" }
        let old = String(text[text.index(after: equals)...])
        guard let kind = SettingTable.flags[String(name)], let new = change.newValue(kind, old) else { return }
        try edit.set(place, to: .string(text[...equals] + new))
        note(place, name: String(name), kind, old, new)
    }

    // MARK: The end

    /// Which of several documents such a file's reader takes is not known.
    func checkOnlyDocument() throws(Failure) {
        guard !isEmpty, edit.places.count > 1 else { return }
        throw Failure(
            .failed, "\(quoted(path)) has \(edit.places.count) documents, of which only one is read",
            hint: "leave the one that counts, and try again")
    }

    /// Nil if nothing is to be changed or said.
    func fileChange() throws(Failure) -> FileChange? {
        guard !edits.isEmpty || !remarks.isEmpty else { return nil }
        let result = try edit.resultWithRanges()
        return FileChange(
            path: path, oldBytes: bytes, newBytes: result.bytes,
            edits: edits.sorted { $0.offset < $1.offset }.map(\.edit), remarks: remarks, newRanges: result.ranges,
            addedLines: result.addedLines)
    }
}

/// That a value is written in pieces, with quotes or escapes between them.
func notInOnePiece(_ setting: FoundSetting, line: Int, _ path: String) -> Failure {
    Failure(
        .failed, "\(setting.name) on line \(line) of \(quoted(path)) is written in pieces, and can't be changed safely",
        hint: "write its value in one piece, or change it by hand")
}
