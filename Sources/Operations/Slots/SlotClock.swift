import FoundationEssentials

/// Time cut into slots of one length.
///
/// Times are those of archives' beginnings. A slot begins a quarter of its length before a multiple of it since 1970, so that
/// timers at a full hour, and up to three quarters of one later, are far from where slots meet.
struct SlotClock: Sendable, Equatable {
    /// How long slots are, in minutes.
    let lengthMinutes: Int

    /// By how much the clocks of two nodes may differ, in seconds: each by a minute.
    static let toleranceSeconds = 120.0

    /// How long slots are, in seconds.
    var lengthSeconds: Double { Double(lengthMinutes) * 60 }

    /// The number of the slot that a time is in.
    func slot(at time: Date) -> Int {
        Int((time.timeIntervalSince1970 / lengthSeconds + 0.25).rounded(.down))
    }
}
