extension Failure.Setting {
    /// Whom files are given to.
    public static let owner = Self("owner")
}
