#if canImport(Glibc)
    import Glibc
#endif

/// That the process was told to end while it asked a question.
struct StoppedQuestion: Error {
    /// What has not been done, such as `nothing was removed`.
    var consequence: String
}

/// Asks a question on the terminal and waits for a line; ends when the process is told to.
///
/// - Parameter consequence: what is true then, such as `nothing was removed`.
/// - Returns: nil at the end of the input.
/// - Throws: ``StoppedQuestion``.
func ask(_ question: String, ifStopped consequence: String) throws -> String? {
    Console.shared.write(question)
    var input = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
    // A read can't be cancelled, so it is begun only when it will end at once.
    while poll(&input, 1, 100) <= 0 {
        if Task.isCancelled { throw StoppedQuestion(consequence: consequence) }
    }
    return readLine()
}
