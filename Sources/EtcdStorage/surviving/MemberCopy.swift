import HostIO

extension MemberDirectory {
    private static let pieceByteCount = 1 << 20

    /// The files that ``copy(of:into:)`` copies, with their sizes.
    private func copiedFiles(
        _ member: SurvivingMember
    ) throws -> (snapshots: [RandomAccessFile], log: [RandomAccessFile]) {
        let names = try snapshots.utf8Names().filter { $0 == "db" || $0.hasSuffix(".snap") || $0.hasSuffix(".snap.db") }
        return (
            try names.map { try RandomAccessFile(path: snapshots.path(of: $0)) },
            try member.log.files.map { try RandomAccessFile(path: $0) }
        )
    }

    /// The bytes that a copy takes.
    public func copyByteCount(of member: SurvivingMember) throws -> Int {
        let files = try copiedFiles(member)
        return (files.snapshots + files.log).reduce(0) { $0 + $1.byteCount }
    }

    /// Copies the member into a directory, which an etcd can be booted on: with a log by which every entry that is there is
    /// committed, see ``SurvivingLog/completion()``.
    public func copy(of member: SurvivingMember, into directory: OpenDirectory) throws {
        let target = try directory.makeDirectory("member")
        let files = try copiedFiles(member)
        let snapshotTarget = try target.makeDirectory("snap")
        for file in files.snapshots { try copy(file, file.byteCount, [], into: snapshotTarget) }
        let logTarget = try target.makeDirectory("wal")
        let completion = member.log.completion()
        for (index, file) in files.log.enumerated() {
            let isLast = index == files.log.count - 1
            try copy(
                file, isLast ? completion.byteCount : file.byteCount, isLast ? completion.appended : [], into: logTarget
            )
        }
    }

    private func copy(
        _ file: RandomAccessFile, _ byteCount: Int, _ appended: [UInt8], into directory: OpenDirectory
    ) throws {
        let copy = try PendingFile(in: directory, name: lastName(file.name))
        var offset = 0
        while offset < byteCount {
            try Task.checkCancellation()
            let bytes = try file.bytes(at: offset, count: min(Self.pieceByteCount, byteCount - offset))
            guard !bytes.isEmpty else { break }
            try bytes.withUnsafeBytes { try copy.write($0) }
            offset += bytes.count
        }
        try appended.withUnsafeBytes { try copy.write($0) }
        try copy.publish(isDurable: false)
    }
}
