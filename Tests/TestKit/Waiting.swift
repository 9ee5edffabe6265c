/// Thrown when what a test waits for does not come.
package struct WaitTimeout: Error, CustomStringConvertible {
    package let description: String
}

/// Returns as soon as `condition` holds; throws ``WaitTimeout`` after `deadline`.
package func waitUntil(
    _ what: String = "the condition",
    within deadline: Duration = .seconds(60),
    _ condition: () async throws -> Bool
) async throws {
    let end = ContinuousClock.now + deadline
    while try await !condition() {
        guard ContinuousClock.now < end else {
            throw WaitTimeout(description: "\(what) did not come true within \(deadline)")
        }
        try await Task.sleep(for: .milliseconds(5))
    }
}
