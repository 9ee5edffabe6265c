/// Something that sends traffic to pods and can stop doing so before a pod is stopped: a gateway, the service rules of the node.
package protocol TrafficDrain: Sendable {
    /// Sends nothing more to `podIP`, and returns when nothing that was sent before is still being answered.
    ///
    /// Called once for every pod that is deleted, for all drains at the same time; the pod is told to stop only after all have
    /// returned. Returning late is safe: at `deadline` the pod is stopped all the same and the call is cancelled.
    /// A failure is logged and counts as returned.
    func withdraw(podIP: String, deadline: ContinuousClock.Instant) async throws
}
