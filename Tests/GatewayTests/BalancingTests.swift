import Testing

@testable import Gateway

/// How one worker chooses among endpoints, with time and chance as arguments.
struct BalancingTests {
    /// A topology with one backend and what the control side knows of its endpoints.
    private final class World {
        var topology = Topology()
        let registry = BackendRegistry()
        var random = UInt64(88_172_645_463_325_252)
        var now: UInt64 = 1_000_000

        init(_ weights: [Int], _ policy: BackendPolicy) { change(to: Array(weights.enumerated()), policy) }

        /// Endpoints are known by number, so that some may stay while others go.
        func change(to endpoints: [(offset: Int, element: Int)], _ policy: BackendPolicy) {
            let backend = RouteTable.Backend(
                name: "b",
                endpoints: endpoints.map { .init(address: "10.0.0.\($0 + 1)", port: 80, weight: $1) },
                policy: policy
            )
            let table = RouteTable(backends: [backend])
            let compiled = registry.compile(table.backends, now: now)
            topology.adopt(CompiledTable(table, generation: 1, backends: compiled))
        }

        func record(_ number: Int) -> EndpointRecord {
            registry.backends[0].endpoints.first { $0.key.address == "10.0.0.\(number + 1)" }!
        }

        func choose(hash: UInt64 = 0, avoided: UInt32 = Connection.none) -> EndpointChoice {
            random ^= random << 13
            random ^= random >> 7
            random ^= random << 17
            return topology.choose(backend: 0, now: now, .init(random: random, hash: hash, avoided: avoided))
        }

        func shares(_ count: Int, hash: (Int) -> UInt64 = { _ in 0 }) -> [UInt32: Int] {
            var shares: [UInt32: Int] = [:]
            for index in 0..<count {
                guard case .endpoint(let number) = choose(hash: hash(index)) else { continue }
                shares[number, default: 0] += 1
            }
            return shares
        }
    }

    // MARK: - Policies

    @Test func goesRoundEqualEndpoints() {
        let world = World([1, 1, 1], BackendPolicy(loadBalancing: .roundRobin))
        #expect(world.shares(300) == [0: 100, 1: 100, 2: 100])
        #expect((0..<6).map { _ in world.choose() } == [0, 1, 2, 0, 1, 2].map { .endpoint($0) })
    }

    @Test func goesRoundSmoothlyByWeight() {
        let world = World([5, 1, 1], BackendPolicy(loadBalancing: .roundRobin))
        #expect((0..<7).map { _ in world.choose() } == [0, 0, 1, 0, 2, 0, 0].map { .endpoint($0) })
        #expect(world.shares(7000) == [0: 5000, 1: 1000, 2: 1000])
    }

    @Test func drawsByWeight() {
        let world = World([6, 3, 1], BackendPolicy())
        let shares = world.shares(100_000)
        #expect(abs(shares[0, default: 0] - 60_000) < 1000)
        #expect(abs(shares[1, default: 0] - 30_000) < 1000)
        #expect(abs(shares[2, default: 0] - 10_000) < 1000)
    }

    @Test func prefersTheOneWithLessToDo() {
        let world = World([1, 1, 1], BackendPolicy())
        world.topology.endpoints[1].pointee.inFlight = 10
        // Only when both draws fall on it.
        let shares = world.shares(90_000)
        #expect(abs(shares[1, default: 0] - 10_000) < 1000)
    }

    @Test func keepsKeysTogether() {
        let policy = BackendPolicy(loadBalancing: .consistentHash(.clientAddress))
        let world = World(Array(repeating: 1, count: 10), policy)
        func key(_ index: Int) -> UInt64 { UInt64(index + 1).mixed | 1 }
        let before = (0..<10_000).map { world.choose(hash: key($0)) }
        #expect(before == (0..<10_000).map { world.choose(hash: key($0)) })
        for share in world.shares(10_000, hash: key).values { #expect(abs(share - 1000) < 150) }
        world.change(to: (0..<9).map { ($0, 1) }, policy)
        let after = (0..<10_000).map { world.choose(hash: key($0)) }
        let moved = zip(before, after).filter { $0 != $1 }.count
        let gone = before.filter { $0 == .endpoint(9) }.count
        #expect(moved >= gone)
        #expect(moved < gone + 500)
    }

    @Test func spreadsRequestsWithoutKey() {
        let world = World([1, 1], BackendPolicy(loadBalancing: .consistentHash(.header("x"))))
        let shares = world.shares(10_000)
        #expect(abs(shares[0, default: 0] - 5000) < 500)
    }

    @Test(arguments: [[1, 1, 1], [5, 1], [10, 3, 1]]) func givesPlacesByWeight(_ weights: [Int]) {
        let endpoints = weights.enumerated().map {
            RouteTable.Endpoint(address: "10.1.0.\($0)", port: 80, weight: $1)
        }
        let table = MaglevTable.make(endpoints)
        for (index, weight) in weights.enumerated() {
            let share = Double(table.filter { $0 == index }.count) / Double(table.count)
            #expect(abs(share - Double(weight) / Double(weights.reduce(0, +))) < 0.01)
        }
    }

    // MARK: - Who may be chosen

    @Test func leavesTheUnhealthyAndTheEjectedOut() {
        let world = World([1, 1, 1, 1], BackendPolicy())
        world.registry.backends[0].setHealth(of: world.record(2), isHealthy: false, now: 0)
        #expect(Set(world.shares(1000).keys) == [0, 1, 3])
        world.registry.backends[0].setHealth(of: world.record(2), isHealthy: true, now: 0)
        #expect(Set(world.shares(1000).keys) == [0, 1, 2, 3])
    }

    @Test(arguments: [1, 2, 3]) func usesAllInAPanic(_ unhealthy: Int) {
        let world = World([1, 1, 1], BackendPolicy(panicThreshold: 0))
        for number in 0..<unhealthy {
            world.registry.backends[0].setHealth(of: world.record(number), isHealthy: false, now: 0)
        }
        #expect(world.shares(1000).count == (unhealthy == 3 ? 3 : 3 - unhealthy))
        world.change(to: (0..<3).map { ($0, 1) }, BackendPolicy(healthCheck: .init(), panicThreshold: 50))
        for number in 0..<unhealthy {
            world.registry.backends[0].setHealth(of: world.record(number), isHealthy: false, now: 0)
        }
        // Two of three are more than half, one is less.
        #expect(world.shares(1000).count == (unhealthy == 1 ? 2 : 3))
    }

    @Test func takesAnotherThanTheOneThatFailed() {
        let world = World([1, 1, 1], BackendPolicy())
        for _ in 0..<200 { #expect(world.choose(avoided: 1) != .endpoint(1)) }
        let alone = World([1], BackendPolicy())
        #expect(alone.choose(avoided: 0) == .endpoint(0))
    }

    @Test func saysWhenAllAreFull() {
        let world = World([1, 1], BackendPolicy(connections: .init(maximumPerEndpoint: 2)))
        world.topology.endpoints[0].pointee.connections = 2
        #expect(world.shares(100) == [1: 100])
        world.topology.endpoints[1].pointee.connections = 2
        #expect(world.choose() == .full)
        world.topology.endpoints[0].pointee.idleCount = 1
        #expect(world.choose() == .endpoint(0))
        world.topology.endpoints[0].pointee.ejectedUntil = .max
        world.topology.endpoints[1].pointee.ejectedUntil = .max
        #expect(world.choose() == .none)
    }

    @Test func sharesLimitsAmongWorkers() {
        let policy = BackendPolicy(connections: .init(maximumPerEndpoint: 5, maximumPending: 1))
        let backend = RouteTable.Backend(name: "b", endpoints: [.init(address: "10.0.0.1", port: 80)], policy: policy)
        let table = RouteTable(backends: [backend])
        var limits: [UInt32] = []
        for worker in 0..<2 {
            var topology = Topology(worker: worker, workers: 2)
            topology.adopt(CompiledTable(table, generation: 1))
            limits.append(topology.backends[0].pointee.row.maximumConnections)
            #expect(topology.backends[0].pointee.row.maximumPending == 1)
        }
        #expect(limits == [3, 2])
    }

    // MARK: - Slow start

    @Test func growsLinearlyFromTheMinimum() {
        let ramp = SlowStartRamp(window: 1000, minimum: 10)
        #expect(
            [0, 50, 100, 500, 999, 1000, 5000].map { ramp.factor(since: 100, now: 100 + $0) }
                == [100, 100, 100, 500, 999, 1000, 1000]
        )
        #expect(SlowStartRamp(window: 0, minimum: 10).factor(since: 100, now: 100) == 1000)
    }

    @Test(arguments: [BackendPolicy.LoadBalancing.roundRobin, .leastRequests])
    func givesTheNewLittleAtFirst(_ balancing: BackendPolicy.LoadBalancing) {
        let policy = BackendPolicy(
            loadBalancing: balancing,
            slowStart: .init(window: 10_000, minimumWeightPercent: 10)
        )
        let world = World([1], policy)
        world.now += 20_000
        world.change(to: [(0, 1), (1, 1)], policy)
        // At the age: the newcomer's share of the requests, in percent.
        for (age, percent) in [(0, 9.1), (5000, 33.3), (9000, 47.4), (10_000, 50)] as [(UInt64, Double)] {
            world.now = 1_020_000 + age
            let shares = world.shares(20_000)
            #expect(abs(Double(shares[1, default: 0]) / 200 - percent) < 3, "at \(age) ms")
        }
    }
}

struct EndpointHealthTests {
    @Test func decidesAtOnceAndThenByThresholds() {
        let policy = BackendPolicy.HealthCheck(healthyThreshold: 2, unhealthyThreshold: 3)
        var health = EndpointHealth()
        let steps: [(Bool, Bool)] = [
            (false, false), (true, false), (false, false), (true, false), (true, true), (false, true), (false, true),
            (true, true), (false, true), (false, true), (false, false),
        ]
        for (index, step) in steps.enumerated() {
            let before = health.isHealthy
            let isChanged = health.checkEnded(succeeded: step.0, policy)
            #expect(health.isHealthy == step.1, "after check \(index)")
            #expect(isChanged == (before != step.1))
        }
        var good = EndpointHealth()
        for succeeded in [true, false] {
            let isChanged = good.checkEnded(succeeded: succeeded, policy)
            #expect(!isChanged)
        }
        #expect(good.isHealthy)
    }
}
