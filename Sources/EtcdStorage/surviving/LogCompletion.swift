import HostIO
import Protobuf

extension SurvivingLog {
    /// What the last file of a copy of this log has to be, for etcd to take up every entry that is there: the records up to a
    /// torn one, and behind them a state of raft by which all of them are committed.
    ///
    /// etcd with `--force-new-cluster` drops what its log does not know to be committed, and a member learns that only after
    /// others: the entries of clients that got their answer may be among these.
    public func completion() -> (byteCount: Int, appended: [UInt8]) {
        var state = ProtobufWriter()
        state.field(1, max(term, last.term))
        state.field(2, vote)
        state.field(3, max(commit, last.index))
        var sum = crc
        state.bytes.withUnsafeBytes { sum.update($0) }
        return (endOffset, WriteAheadLog.frame(.state, crc: sum.value, data: state.bytes))
    }
}
