import HostIO

/// One operation of S3's: it makes a request and reads what is answered.
///
/// Nothing is sent here: sign ``request``, send it, and give the response to ``output(of:)``.
public protocol S3Operation: Sendable {
    /// What a successful answer says.
    associatedtype Output: Sendable

    /// The request.
    var request: S3Request { get }

    /// What the answer says.
    ///
    /// - Throws: ``S3Error`` for a refusal, and for an answer that can't be read.
    func output(of response: S3Response) throws(S3Error) -> Output
}

extension S3Operation {
    /// Throws the error that a response tells of unless its status is one of those.
    func requireStatus(_ statuses: Int..., of response: S3Response) throws(S3Error) {
        guard statuses.contains(response.status) else { throw S3Error(response, to: request) }
    }

    /// Reads a document whose root has one of the names.
    func read<Result>(
        _ roots: String..., in response: S3Response, _ body: (XMLElement) throws(XMLProblem) -> Result
    ) throws(S3Error) -> Result {
        do {
            let document = try XMLTree.read(response.body)
            if document.name == "Error" { throw S3Error(response, to: request) }
            guard roots.contains(document.name) else {
                throw XMLProblem.missing("its root is \(quoted(document.name)) and not \(roots[0])")
            }
            return try body(document)
        } catch let error as S3Error {
            throw error
        } catch let problem as XMLProblem {
            throw S3Error(problem, in: response, to: request)
        } catch {
            throw S3Error(.malformed(String(describing: error)), in: response, to: request)
        }
    }

    /// A field of the header that an answer must have.
    func field(_ name: String, of response: S3Response) throws(S3Error) -> String {
        guard let value = response.headers[name]?.nonEmpty else {
            throw S3Error(.missing("it has no \(name)"), in: response, to: request)
        }
        return value
    }
}
