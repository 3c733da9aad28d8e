import HostIO

/// Asks whether a bucket is there and may be used.
public struct HeadBucket: S3Operation {
    /// A question for the bucket.
    public init() {}

    /// The request.
    public var request: S3Request { S3Request(.head, .bucket, action: "look at") }

    /// The region that the bucket is in; nil if the server does not say.
    public func output(of response: S3Response) throws(S3Error) -> String? {
        try requireStatus(200, of: response)
        return response.headers["x-amz-bucket-region"].flatMap { S3Endpoint.isRegion($0) ? $0 : nil }
    }
}

/// Asks whether a bucket keeps versions.
public struct GetBucketVersioning: S3Operation {
    /// What a bucket does when a name is written again.
    public enum Output: Sendable, Equatable {
        /// It never kept versions.
        case off
        /// Each write makes a version.
        case enabled
        /// It keeps those that it has, and makes no others.
        case suspended
    }

    /// A question for the bucket.
    public init() {}

    /// The request.
    public var request: S3Request {
        S3Request(.get, .bucket, action: "read the versioning of", query: [.init("versioning")])
    }

    /// What the bucket does.
    public func output(of response: S3Response) throws(S3Error) -> Output {
        try requireStatus(200, of: response)
        // The second name is moto's.
        return try read("VersioningConfiguration", "GetBucketVersioningResponse", in: response) {
            document throws(XMLProblem) in
            switch document["Status"]?.trimmed {
            case nil: return .off
            case "Enabled"?: return .enabled
            case "Suspended"?: return .suspended
            case let status?: throw .missing("its Status is \(quoted(beginning(of: status)))")
            }
        }
    }
}

/// Asks whether objects of a bucket can be locked, and whether they are without being asked for it.
public struct GetObjectLockConfiguration: S3Operation {
    /// How long new objects are locked where a request says nothing.
    public struct DefaultRetention: Sendable, Equatable {
        /// Whom it binds.
        public var mode: S3WriteAttributes.Lock.Mode
        /// How long; a year is one of the calendar.
        public var period: Period
    }

    /// A time in the unit that the bucket was given.
    public enum Period: Sendable, Equatable {
        case days(Int)
        case years(Int)
    }

    /// What the bucket does.
    public struct Output: Sendable, Equatable {
        /// Whether objects can be locked.
        public var isEnabled: Bool
        /// What is done unasked.
        public var defaultRetention: DefaultRetention?
    }

    /// A question for the bucket.
    public init() {}

    /// The request.
    public var request: S3Request {
        S3Request(.get, .bucket, action: "read the object lock of", query: [.init("object-lock")])
    }

    /// What the bucket does; one without a lock answers with an error, which is no error here.
    public func output(of response: S3Response) throws(S3Error) -> Output {
        guard response.status == 200 else {
            let error = S3Error(response, to: request)
            guard error.code == "ObjectLockConfigurationNotFoundError" else { throw error }
            return Output(isEnabled: false)
        }
        return try read("ObjectLockConfiguration", in: response) { document throws(XMLProblem) in
            let isEnabled = document["ObjectLockEnabled"]?.trimmed == "Enabled"
            guard let element = document.first("Rule")?.first("DefaultRetention") else {
                return Output(isEnabled: isEnabled)
            }
            let text = try element.required("Mode").trimmed
            guard let mode = S3WriteAttributes.Lock.Mode(rawValue: text) else {
                throw .missing("its Mode is \(quoted(beginning(of: text)))")
            }
            let period: Period =
                element.first("Years") == nil
                ? .days(try element.requiredNumber("Days")) : .years(try element.requiredNumber("Years"))
            return Output(isEnabled: isEnabled, defaultRetention: DefaultRetention(mode: mode, period: period))
        }
    }
}
