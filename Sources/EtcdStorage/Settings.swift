import HostIO

extension Failure.Setting {
    /// Whether a snapshot may lack its trailer.
    public static let skipHashCheck = Self("skipHashCheck")
}
