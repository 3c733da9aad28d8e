extension RandomAccessCollection {
    /// The first index from which on `isBefore` does not hold, in a collection that is in that order.
    @inlinable
    public func partitionPoint(_ isBefore: (Element) throws -> Bool) rethrows -> Index {
        // What is sought is often the place behind all.
        if let last, try isBefore(last) { return endIndex }
        var low = startIndex
        var count = count
        while count > 0 {
            let half = count / 2
            let middle = index(low, offsetBy: half)
            if try isBefore(self[middle]) {
                low = index(after: middle)
                count -= half + 1
            } else {
                count = half
            }
        }
        return low
    }
}
