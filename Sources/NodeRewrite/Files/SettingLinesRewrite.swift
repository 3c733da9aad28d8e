internal import HostIO

/// Changes files of lines: variables, and units of systemd.
enum SettingLinesRewrite {
    static func environment(path: String, bytes: [UInt8], change: NodeChange) throws(Failure) -> FileChange? {
        try rewrite(path: path, bytes: bytes, change: change, read: EnvironmentLines.lines) { line in
            SettingWords.variableSettings(line.name, line.value, 0).map { (line.name, $0) }
        }
    }

    static func unit(path: String, bytes: [UInt8], change: NodeChange) throws(Failure) -> FileChange? {
        try rewrite(path: path, bytes: bytes, change: change, read: UnitLines.lines) { line in
            guard line.name.hasPrefix("Exec") || line.name == "Environment" else { return [] }
            let words = line.value.words()
            let isRancher = words.prefix(2).contains { ["k3s", "rke2"].contains(lastName($0.text)) }
            return SettingWords.settings(in: words, isRancher ? SettingTable.rancher : SettingTable.flags)
                .map { (line.name, $0) }
        }
    }

    private static func rewrite(
        path: String, bytes: [UInt8], change: NodeChange, read: ([UInt8]) -> [SettingLine],
        settings: (SettingLine) -> [(name: String, setting: FoundSetting)]
    ) throws(Failure) -> FileChange? {
        let lines = read(bytes)
        let names = lines.flatMap(settings).map(\.setting).filter { $0.name.hasSuffix("tls-san") }
        // Flags count before a configuration file's: where there are some, one of them gets the new endpoint.
        var added = change.addedHost
        if let host = added, names.contains(where: { change.lists($0.value, host) }) { added = nil }
        let lineEnds = bytes.indices.filter { bytes[$0] == 0x0A }
        var replacements: [(range: Range<Int>, new: [UInt8])] = []
        var edits: [(offset: Int, edit: FileChange.Edit)] = []
        for line in lines {
            for (name, setting) in settings(line) {
                var new = change.newValue(setting.kind, setting.value)
                if let host = added, setting.name.hasSuffix("tls-san") {
                    (new, added) = (change.adding(host, to: setting.value) ?? new, nil)
                }
                guard let new else { continue }
                let offset = setting.source?.lowerBound ?? line.value.offsets.first ?? 0
                let lineNumber = lineEnds.partitionPoint { $0 < offset } + 1
                guard let source = setting.source else { throw notInOnePiece(setting, line: lineNumber, path) }
                replacements.append((source, Array(new.utf8)))
                let place = name == setting.name ? name : "\(name) \(setting.name)"
                edits.append(
                    (
                        offset,
                        FileChange.Edit(
                            path: place, line: lineNumber, oldValue: setting.value, newValue: new,
                            reason: setting.kind.reason)
                    ))
            }
        }
        guard !edits.isEmpty else { return nil }
        let result = replacing(replacements, in: bytes)
        try check(read(result.bytes), against: lines, replacements, path)
        return FileChange(
            path: path, oldBytes: bytes, newBytes: result.bytes,
            edits: edits.sorted { $0.offset < $1.offset }.map(\.edit), newRanges: result.ranges)
    }

    /// That the new text reads as the old one with only the replaced values.
    private static func check(
        _ new: [SettingLine], against old: [SettingLine], _ replacements: [(range: Range<Int>, new: [UInt8])],
        _ path: String
    ) throws(Failure) {
        let byStart = Dictionary(replacements.map { ($0.range.lowerBound, $0) }) { first, _ in first }
        let isSame =
            new.count == old.count
            && zip(old, new).allSatisfy { old, new in
                var expected: [UInt8] = []
                var skipped = 0
                for (byte, offset) in zip(old.value.bytes, old.value.offsets) {
                    if let (range, new) = byStart[offset] {
                        expected += new
                        skipped = range.count
                    }
                    if skipped > 0 { skipped -= 1 } else { expected.append(byte) }
                }
                return old.name == new.name && expected == new.value.bytes
            }
        guard isSame else {
            throw Failure(
                .failed, "\(quoted(path)) can't be changed safely: it would read as more than the intended change",
                hint: "change it by hand")
        }
    }
}
