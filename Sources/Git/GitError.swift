/// What went wrong in a repository, in words that can be shown to the user who asked.
package struct GitError: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        /// The repository, reference, commit or path does not exist.
        case notFound
        /// The reference moved, or the thing to create exists already.
        case conflict
        /// The request itself cannot be right (a bad name, a bad path, an action that does not fit).
        case invalid
        /// The answer would be larger than its stated bound.
        case tooLarge
        /// git did not finish in time.
        case timedOut
        /// git failed in a way that the caller cannot have caused.
        case failed
    }

    package let code: Code
    package let message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { message }
}
