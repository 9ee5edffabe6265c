/// Why a build, a deploy or a rollback cannot be done: one or more sentences that the person who pushed reads in the job's log.
package struct ReleaseError: Error, Equatable, CustomStringConvertible {
    package var description: String

    package init(_ description: String) {
        self.description = description
    }
}
