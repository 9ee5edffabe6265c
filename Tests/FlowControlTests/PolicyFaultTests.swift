import Testing

@testable import FlowControl

struct PolicyFaultTests {
    private static let good: [TrafficPolicy.Kind] = [
        .rateLimit(RateLimit(requests: 100, key: .header("X-Tenant"))),
        .rateLimit(RateLimit(requests: 60, per: 60_000, burst: 0, maximumWait: 500, warmUp: WarmUp())),
        .concurrency(ConcurrencyLimit(maximum: 10, key: .clientAddress)),
        .related(RelatedLimit(route: "shop/write", requests: 10)),
        .circuitBreaker(CircuitBreaker()),
        .loadShedding(
            LoadShedding(
                classes: [PriorityClass(name: "paid", reservedShare: 0.4), PriorityClass(name: "free")],
                defaultClass: "free"
            )
        ),
    ]

    @Test(arguments: good) func findsNothingWrongWithGoodPolicies(_ kind: TrafficPolicy.Kind) {
        #expect(TrafficPolicy(name: "p", kind).faults == [])
    }

    private static let bad: [(TrafficPolicy.Kind, String)] = [
        (.rateLimit(RateLimit(requests: 0)), "requests"),
        (.rateLimit(RateLimit(requests: 2_000_000)), "requests"),
        (.rateLimit(RateLimit(requests: 1, burst: -1)), "burst"),
        (.rateLimit(RateLimit(requests: 1, key: .cookie(""))), "key"),
        (.rateLimit(RateLimit(requests: 1, key: .host, warmUp: WarmUp())), "warmUp"),
        (.rateLimit(RateLimit(requests: 1, warmUp: WarmUp(coldFactor: 1))), "warmUp.coldFactor"),
        (.concurrency(ConcurrencyLimit(maximum: 0)), "maximum"),
        (.related(RelatedLimit(route: "", requests: 1)), "route"),
        (.circuitBreaker(CircuitBreaker(errorRatio: nil)), "errorRatio"),
        (.circuitBreaker(CircuitBreaker(errorRatio: .nan)), "errorRatio"),
        (.circuitBreaker(CircuitBreaker(probes: 0)), "probes"),
        (.loadShedding(LoadShedding(initialCap: 2)), "initialCap"),
        (.loadShedding(LoadShedding(defaultClass: "gold")), "defaultClass"),
        (
            .loadShedding(
                LoadShedding(classes: ["a", "b"].map { PriorityClass(name: $0, reservedShare: 0.6) })
            ), "classes.reservedShare"
        ),
        (.loadShedding(LoadShedding(classes: "abcde".map { PriorityClass(name: String($0)) })), "classes"),
    ]

    @Test(arguments: bad) func namesTheFieldThatIsWrong(_ kind: TrafficPolicy.Kind, _ field: String) {
        #expect(TrafficPolicy(name: "p", kind).faults.map(\.field) == [field])
    }

    @Test func looksAtNameAndFallback() {
        let fallback = FallbackResponse(status: 42, contentType: "a\r\nb", body: "")
        let policy = TrafficPolicy(name: "", .concurrency(ConcurrencyLimit(maximum: 1)), fallback: fallback)
        #expect(policy.faults.map(\.field) == ["name", "fallback.status", "fallback.contentType"])
    }
}
