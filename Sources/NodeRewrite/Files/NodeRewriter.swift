public import HostIO

/// Changes configuration files of a control-plane node to new names and addresses, by what each value is: nothing is
/// replaced only because it looks alike.
///
/// A file is changed as a whole or not at all.
public enum NodeRewriter {
    /// What becomes of a file; nil if it stays as it is and there is nothing to say of it.
    ///
    /// - Parameter path: its absolute path on the node, which tells what it is.
    /// - Throws: ``Failure`` that names the file and the place for what can't be read, or can't be changed safely.
    public static func rewrite(path: String, bytes: [UInt8], change: NodeChange) throws(Failure) -> FileChange? {
        switch FileRole(path: path) {
        case .document: try DocumentRewrite.rewrite(path: path, bytes: bytes, change: change)
        case .rancherConfiguration:
            try configuration(path: path, bytes: bytes, change: change) { rewrite, place throws(Failure) in
                try rewrite.updateRancher(place)
            }
        case .etcdConfiguration:
            try configuration(path: path, bytes: bytes, change: change) { rewrite, place throws(Failure) in
                for key in place.keys { try rewrite.update(place[key], SettingTable.flags[key]) }
            }
        case .environment: try SettingLinesRewrite.environment(path: path, bytes: bytes, change: change)
        case .unit: try SettingLinesRewrite.unit(path: path, bytes: bytes, change: change)
        case .memberName: memberName(path: path, bytes: bytes, change: change)
        case .foreign(let what): foreign(what, path: path, bytes: bytes, change: change)
        case .other: nil
        }
    }

    /// What becomes of a value of a ConfigMap of the cluster, by what its documents say they are.
    ///
    /// - Parameter name: what messages and the difference call it, as a path.
    /// - Throws: ``Failure`` as for a file.
    public static func rewrite(
        documentsOf name: String, bytes: [UInt8], change: NodeChange
    ) throws(Failure) -> FileChange? {
        try DocumentRewrite.rewrite(path: name, bytes: bytes, change: change, ofCluster: true)
    }

    /// Where a file is to be: at another path where its name has the node's.
    public static func newPath(_ path: String, change: NodeChange) -> String { change.newPath(path) }

    /// A file of one document whose keys are settings.
    private static func configuration(
        path: String, bytes: [UInt8], change: NodeChange,
        _ update: (inout DocumentRewrite, YAMLPlace) throws(Failure) -> Void
    ) throws(Failure) -> FileChange? {
        var rewrite = try DocumentRewrite(path: path, bytes: bytes, change: change)
        for place in rewrite.edit.places { try update(&rewrite, place) }
        try rewrite.checkOnlyDocument()
        return try rewrite.fileChange()
    }

    private static func memberName(path: String, bytes: [UInt8], change: NodeChange) -> FileChange? {
        func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
        let start = bytes.firstIndex { !isBlank($0) } ?? bytes.count
        let end = (bytes.lastIndex { !isBlank($0) } ?? start - 1) + 1
        guard start < end else { return nil }
        let old = String(decoding: bytes[start..<end], as: UTF8.self)
        guard let new = change.newValue(.memberName, old) else { return nil }
        let result = replacing([(start..<end, Array(new.utf8))], in: bytes)
        let edit = FileChange.Edit(
            path: "name", line: bytes[..<start].count { $0 == 0x0A } + 1, oldValue: old, newValue: new,
            reason: SettingKind.memberName.reason)
        return FileChange(
            path: path, oldBytes: bytes, newBytes: result.bytes, edits: [edit], newRanges: result.ranges)
    }

    private static func foreign(_ what: String, path: String, bytes: [UInt8], change: NodeChange) -> FileChange? {
        let remarks = OldNameSearch(change).occurrences(path: path, bytes: bytes).map {
            "line \($0.line) of \(quoted(path)), \(what), has \(quoted($0.word)): change it by hand"
        }
        guard !remarks.isEmpty else { return nil }
        return FileChange(path: path, oldBytes: bytes, newBytes: bytes, edits: [], remarks: remarks)
    }
}
