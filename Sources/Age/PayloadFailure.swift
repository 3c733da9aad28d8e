internal import HostIO

/// The failures of a payload, told in the same words by all readers.
enum PayloadFailure {
    private static let getAgain = "get the file again from where it came"

    static func noNonce(_ name: String) -> AgeError {
        AgeError(
            .header, "\(quoted(name)) ends before the \(PayloadFormat.nonceByteCount)-byte nonce after its age header",
            hint: "the file was cut short: \(getAgain)")
    }

    static func noChunk(_ name: String) -> AgeError {
        AgeError(
            .payload, "\(quoted(name)) ends before the first chunk of its payload", at: .chunk(0),
            hint: "the file was cut short: \(getAgain)")
    }

    static func shortLastChunk(_ name: String, chunk: Int, byteCount: Int) -> AgeError {
        AgeError(
            .payload, "the last chunk of \(quoted(name)), chunk \(chunk), can't have \(byteCount) bytes",
            at: .chunk(chunk), hint: "the file was cut short, or other bytes follow it: \(getAgain)")
    }

    static func notAuthentic(_ name: String, chunk: Int, of chunkCount: Int? = nil) -> AgeError {
        let total = chunkCount.map { " of \($0)" } ?? ""
        return AgeError(
            .payload, "chunk \(chunk)\(total) of \(quoted(name)) is not authentic (counted from 0)", at: .chunk(chunk),
            hint: "the file is damaged, cut short, or followed by other bytes: \(getAgain)")
    }

    static func cutBetweenChunks(_ name: String, chunkCount: Int) -> AgeError {
        AgeError(
            .payload, "\(quoted(name)) was cut short after \(counted(chunkCount, "chunk")): the last one is missing",
            at: .chunk(chunkCount), hint: getAgain)
    }

    static func trailingBytes(_ name: String, chunk: Int) -> AgeError {
        AgeError(
            .payload, "other bytes follow the last chunk of \(quoted(name)), chunk \(chunk)", at: .chunk(chunk),
            hint: getAgain)
    }
}
