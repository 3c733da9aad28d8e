#if canImport(Glibc)
    import Glibc
#endif

/// Asks a question on the terminal and waits for a line; ends when the process is told to.
///
/// - Returns: nil at the end of the input.
/// - Throws: `CancellationError`.
func ask(_ question: String) throws -> String? {
    Console.shared.write(question)
    var input = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
    // A read can't be cancelled, so it is begun only when it will end at once.
    while poll(&input, 1, 100) <= 0 { try Task.checkCancellation() }
    return readLine()
}
