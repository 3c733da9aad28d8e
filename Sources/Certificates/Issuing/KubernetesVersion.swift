/// A version of Kubernetes, as far as what kubeadm writes depends on it.
public struct KubernetesVersion: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The first number.
    public var major: Int
    /// The second number.
    public var minor: Int
    /// The third number.
    public var patch: Int

    /// A version from its numbers.
    public init(_ major: Int, _ minor: Int, _ patch: Int = 0) {
        self.major = major
        self.minor = minor
        self.patch = patch
    }

    /// A version from text such as `v1.36.3` or `1.35.0-rc.1+k3s1`, nil for anything else.
    public init?(_ text: String) {
        let bare = text.hasPrefix("v") ? text.dropFirst() : text[...]
        let numbers = bare.prefix { $0 != "-" && $0 != "+" }.split(separator: ".", omittingEmptySubsequences: false)
        let values = numbers.compactMap { UInt16($0).map(Int.init) }
        guard (2...3).contains(numbers.count), values.count == numbers.count else { return nil }
        self.init(values[0], values[1], values.count == 3 ? values[2] : 0)
    }

    /// The order of releases.
    public static func < (left: KubernetesVersion, right: KubernetesVersion) -> Bool {
        (left.major, left.minor, left.patch) < (right.major, right.minor, right.patch)
    }

    /// The version as Kubernetes writes it.
    public var description: String { "v\(major).\(minor).\(patch)" }
}
