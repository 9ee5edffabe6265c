/// How a search for the knee went.
package struct KneeReport: Codable, Sendable {
    package struct Step: Codable, Sendable, Hashable {
        package var rate: Double
        package var goodput: Double
        package var p50: Double
        package var p99: Double
        package var errorShare: Double
        package var holds: Bool
        /// Why it does not hold.
        package var reason: String?
    }

    /// The highest rate, requests per second, that held; zero where none did.
    package var rate: Double
    /// The lowest rate that did not hold; absent where the highest that was tried held.
    package var failingRate: Double?
    package var steps: [Step]
}
