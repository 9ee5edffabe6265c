/// What active checks say of one endpoint. Pure. The first check decides at once; afterwards a verdict takes as many checks in a row as the
/// policy says, so that one lost packet takes nothing out of use.
struct EndpointHealth {
    private(set) var isHealthy = true
    private var isKnown = false
    /// Checks in a row that spoke against ``isHealthy``.
    private var contradictions = 0

    /// - Returns: whether the verdict has changed.
    mutating func checkEnded(succeeded: Bool, _ policy: BackendPolicy.HealthCheck) -> Bool {
        defer { isKnown = true }
        guard succeeded != isHealthy else {
            contradictions = 0
            return false
        }
        contradictions += 1
        let threshold = succeeded ? policy.healthyThreshold : policy.unhealthyThreshold
        guard !isKnown || contradictions >= max(1, threshold) else { return false }
        isHealthy = succeeded
        contradictions = 0
        return true
    }
}
