import SealedArchive

/// The backups of one node in one store by their numbers: which are there, which are not and why, and how much of their order
/// the digests in the sidecars prove.
public struct NodeChain: Sendable {
    /// The numbers that are there.
    public fileprivate(set) var present: [ClosedRange<Int>] = []
    /// The numbers that the record of removals names, and that are not there.
    public fileprivate(set) var removed: [ClosedRange<Int>] = []
    /// The numbers that are not there, and that no record names.
    public fileprivate(set) var missing: [ClosedRange<Int>] = []
    /// The highest number that is there, or was; 0 for none.
    public fileprivate(set) var highest = 0
    /// How many backups there are that come after another one.
    public fileprivate(set) var linkCount = 0
    /// For how many of these a digest says which one that was: of the sidecar that is there, or of a record of its removal.
    public fileprivate(set) var provenLinkCount = 0
    /// What does not hold, as a list of the store says it.
    public let problems: [ChainProblem]
}

extension StoreListing {
    /// The nodes that something is known of, though they have no backups any more.
    public var knownScopes: [StoreScope] {
        let listed = backups.map(\.scope) + (unreadable + unpublished.map(\.backup)).compactMap(\.scope)
        let remembered = records.filter { $0.value.last != nil || !$0.value.removed.isEmpty }.map(\.key)
        return Set(listed + remembered).sorted()
    }

    /// The chain of one node.
    public func chain(of scope: StoreScope) -> NodeChain {
        // The names of a scope have no blanks.
        let problems = self.chain.filter { $0.subject == "\(scope)" || $0.subject.hasPrefix("\(scope) ") }
        var result = NodeChain(problems: problems)
        let own = inOrderOfNumbers(in: scope)
        let record = records[scope] ?? ChainRecord()
        result.count(Set(own.map(\.sidecar.sequence)).sorted(), record)
        result.prove(own, record)
        return result
    }
}

extension NodeChain {
    /// - Parameter numbers: those that are there, ascending.
    fileprivate mutating func count(_ numbers: [Int], _ record: ChainRecord) {
        highest = max(numbers.last ?? 0, record.last?.sequence ?? 0, record.removed.last?.lastSequence ?? 0)
        var next = 1
        for number in numbers {
            if number > next { lack(next...number - 1, record) }
            if let last = present.last, last.upperBound + 1 == number {
                present[present.count - 1] = last.lowerBound...number
            } else {
                present.append(number...number)
            }
            next = number + 1
        }
        if next <= highest { lack(next...highest, record) }
    }

    private mutating func lack(_ range: ClosedRange<Int>, _ record: ChainRecord) {
        missing += record.kept(of: range)
        removed += record.removed.map { $0.firstSequence...$0.lastSequence }.filter { $0.overlaps(range) }
            .map { $0.clamped(to: range) }
    }

    /// - Parameter own: the backups by their numbers.
    fileprivate mutating func prove(_ own: [StoredBackup], _ record: ChainRecord) {
        var digests: [Int: Set<String>] = [:]
        for backup in own { digests[backup.sidecar.sequence, default: []].insert(backup.sidecarSHA256) }
        let runs = Dictionary(record.removed.map { ($0.lastSequence, $0) }) { first, _ in first }
        for backup in own {
            let before = backup.sidecar.sequence - 1
            guard let stated = backup.sidecar.previousSidecarSHA256 else {
                // The first of all comes after none.
                if before > 0 { linkCount += 1 }
                continue
            }
            linkCount += 1
            if digests[before]?.contains(stated) == true {
                provenLinkCount += 1
            } else if let run = runs[before], run.sidecarSHA256 == stated {
                let isBegin = run.firstSequence == 1 && run.previousSidecarSHA256 == nil
                let named = run.previousSidecarSHA256.map { digests[run.firstSequence - 1]?.contains($0) == true }
                if isBegin || named == true { provenLinkCount += 1 }
            }
        }
    }
}
