import Testing

@testable import Gateway

struct AvailabilityPlanTests {
    private static func table(_ endpoints: [(String, String)]) -> RouteTable {
        RouteTable(
            backends: [
                RouteTable.Backend(
                    name: "a",
                    endpoints: endpoints.map { RouteTable.Endpoint(address: $0.0, port: 80, uid: $0.1) }
                )
            ]
        )
    }

    private static func addresses(_ plan: inout AvailabilityPlan, _ now: UInt64) -> [String] {
        plan.outcome(now: now).table.backends[0].endpoints.map(\.address)
    }

    @Test func takesWithdrawnEndpointsOutAtOnce() {
        var plan = AvailabilityPlan(grace: 2000)
        plan.change(to: Self.table([("1", "x"), ("2", "y")]), now: 0)
        #expect(Self.addresses(&plan, 0) == ["1", "2"])
        plan.withdraw("1", now: 10)
        #expect(Self.addresses(&plan, 10) == ["2"])
    }

    @Test func keepsTheLastEndpointUntilAnotherAppears() {
        var plan = AvailabilityPlan(grace: 2000)
        plan.change(to: Self.table([("1", "x")]), now: 0)
        _ = plan.outcome(now: 0)
        plan.withdraw("1", now: 100)
        #expect(Self.addresses(&plan, 100) == ["1"])
        #expect(plan.outcome(now: 100).nextChange == 2100)
        plan.change(to: Self.table([("2", "y")]), now: 200)
        #expect(Self.addresses(&plan, 200) == ["2"])
        #expect(plan.outcome(now: 200).nextChange == nil)
    }

    @Test func givesTheLastEndpointUpAfterTheGraceTime() {
        var plan = AvailabilityPlan(grace: 2000)
        plan.change(to: Self.table([("1", "x")]), now: 0)
        _ = plan.outcome(now: 0)
        plan.change(to: Self.table([]), now: 100)
        #expect(Self.addresses(&plan, 100) == ["1"])
        #expect(Self.addresses(&plan, 2099) == ["1"])
        #expect(Self.addresses(&plan, 2100) == [])
        #expect(Self.addresses(&plan, 9000) == [])
        plan.change(to: Self.table([("1", "z")]), now: 9100)
        #expect(Self.addresses(&plan, 9100) == ["1"])
    }

    @Test func keepsTheLastEndpointWhileTheClusterCannotBeHeard() {
        var plan = AvailabilityPlan(grace: 2000)
        plan.change(to: Self.table([("1", "x")]), now: 0)
        _ = plan.outcome(now: 0)
        plan.withdraw("1", now: 100)
        _ = plan.outcome(now: 100)
        plan.hear(cluster: false, now: 200)
        #expect(Self.addresses(&plan, 9000) == ["1"])
        #expect(plan.outcome(now: 9000).nextChange == nil)
        plan.hear(cluster: true, now: 10_000)
        #expect(Self.addresses(&plan, 11_999) == ["1"])
        #expect(plan.outcome(now: 11_999).nextChange == 12_000)
        #expect(Self.addresses(&plan, 12_000) == [])
    }

    @Test func letsAnotherPodUseAWithdrawnAddress() {
        var plan = AvailabilityPlan()
        plan.change(to: Self.table([("1", "x"), ("2", "y")]), now: 0)
        _ = plan.outcome(now: 0)
        plan.withdraw("1", now: 0)
        plan.change(to: Self.table([("1", "new"), ("2", "y")]), now: 1)
        #expect(Self.addresses(&plan, 1) == ["1", "2"])
    }

    @Test func forgetsAWithdrawalWhenItsEndpointIsGone() {
        var plan = AvailabilityPlan()
        plan.change(to: Self.table([("1", ""), ("2", "")]), now: 0)
        _ = plan.outcome(now: 0)
        plan.withdraw("1", now: 0)
        plan.change(to: Self.table([("2", "")]), now: 5)
        #expect(Self.addresses(&plan, 5) == ["2"])
        plan.change(to: Self.table([("1", ""), ("2", "")]), now: 6)
        #expect(Self.addresses(&plan, 6) == ["1", "2"])
    }

    @Test func remembersAWithdrawalThatComesBeforeItsEndpoint() {
        var plan = AvailabilityPlan()
        plan.change(to: Self.table([("2", "y")]), now: 0)
        plan.withdraw("1", now: 0)
        plan.change(to: Self.table([("1", "x"), ("2", "y")]), now: 50)
        #expect(Self.addresses(&plan, 50) == ["2"])
        plan.change(to: Self.table([("2", "y")]), now: 60)
        plan.change(to: Self.table([("1", "other"), ("2", "y")]), now: 70)
        #expect(Self.addresses(&plan, 70) == ["1", "2"])
    }
}
