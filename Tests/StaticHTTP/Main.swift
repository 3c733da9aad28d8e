import FoundationEssentials
import HTTP
import HostIO

#if canImport(Glibc)
    import Glibc
#endif

/// Fetches a URL, or with `PUT` sends so many bytes to it: `http-get [--environment] CA-FILE URL [BYTE-COUNT]`.
@main
struct Main {
    static func main() {
        var arguments = CommandLine.arguments.dropFirst()
        do {
            var configuration = HTTPConfiguration()
            if arguments.first == "--environment" {
                arguments.removeFirst()
                configuration.proxies = try HTTPProxySettings(environment: ProcessInfo.processInfo.environment)
            }
            let words = Array(arguments)
            guard words.count >= 2 else {
                throw Failure(.usage, "usage: http-get [--environment] CA-FILE URL [BYTE-COUNT]")
            }
            configuration.authorities = words[0] == "system" ? .system : .file(words[0])
            let client = try HTTPClient(configuration)
            let body = words.count > 2 ? [UInt8](repeating: 0x61, count: Int(words[2]) ?? 0) : nil
            for _ in 0..<2 {
                let response = try client.perform(
                    HTTPRequest(body == nil ? "GET" : "PUT", words[1], body: body.map { .bytes($0) }))
                print(response.status, String(decoding: response.body, as: UTF8.self))
            }
        } catch {
            let failure = Failure(wrapping: error)
            print("error: \(failure.message)\nhint: \(failure.hint ?? "none")")
            exit(failure.code.rawValue)
        }
    }
}
