/// A step in the life of a release.
package struct ReleaseProgress: Hashable, Sendable {
    package enum Step: String, Sendable {
        case running, success, failed
    }

    package var projectPath: String
    package var environment: String
    package var origin: ReleaseOrigin
    package var number: Int
    package var step: Step
    /// Where the application answers; empty where no route says.
    package var url: String
    /// Why it failed; empty otherwise.
    package var reason: String
}

/// Hears what becomes of releases: the environments and deployments of the API, notifications.
package protocol ReleaseObserver: Sendable {
    /// Called in order for one environment. What it throws is logged and changes nothing.
    func releaseChanged(_ progress: ReleaseProgress) async throws
}
