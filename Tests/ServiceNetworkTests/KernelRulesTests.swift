import Foundation
import KubernetesModel
import Testing

@testable import ServiceNetwork

/// The rules in a real kernel, between namespaces of their own.
@Suite(.serialized) struct KernelRulesTests {
    private func ruleset(_ network: NetworkNamespaces, _ endpoints: [String], sticky: Bool = false) -> NftablesRuleset {
        var object = service(nodePort: 30_080)
        if sticky { object["spec", "sessionAffinity"] = "ClientIP" }
        let table = ServiceTable(services: [object], slices: [slice(endpoints.map { ($0, true, true) })])
        return NftablesRuleset(table, configuration: network.configuration)
    }

    @Test func servicesLeadToEveryEndpointFromPodsAndFromTheMachine() async throws {
        try await NetworkNamespaces.with { network in
            try await network.serve(pod: 0, port: 8080, text: "first")
            try await network.serve(pod: 1, port: 8080, text: "second")
            try await network.apply(ruleset(network, network.podAddresses))
            for origin in [network.pods[0], network.host] {
                var answers: Set<String> = []
                for _ in 0..<40 where answers.count < 2 {
                    answers.insert(try await network.connect(from: origin, "10.43.0.7", 80))
                }
                #expect(answers == ["first", "second"])
            }
        }
    }

    @Test func aPodReachesItselfAndNodePortsAnswerOnEveryAddress() async throws {
        try await NetworkNamespaces.with { network in
            try await network.serve(pod: 0, port: 8080, text: "first")
            try await network.apply(ruleset(network, [network.podAddresses[0]]))
            #expect(try await network.connect(from: network.pods[0], "10.43.0.7", 80) == "first")
            #expect(try await network.connect(from: network.pods[1], "10.42.0.1", 30_080) == "first")
            #expect(try await network.connect(from: network.host, "127.0.0.1", 30_080) == "first")
        }
    }

    @Test func aServiceWithoutEndpointsRefusesAtOnce() async throws {
        try await NetworkNamespaces.with { network in
            try await network.apply(ruleset(network, []))
            for origin in [network.pods[0], network.host] {
                let clock = ContinuousClock()
                let start = clock.now
                #expect(try await network.connect(from: origin, "10.43.0.7", 80).contains("failed"))
                #expect(clock.now - start < .seconds(15), "refused, not timed out")
            }
        }
    }

    @Test func stickyServicesKeepTheirClientsEndpoint() async throws {
        try await NetworkNamespaces.with { network in
            try await network.serve(pod: 0, port: 8080, text: "first")
            try await network.serve(pod: 1, port: 8080, text: "second")
            try await network.apply(ruleset(network, network.podAddresses, sticky: true))
            var answers: Set<String> = []
            for _ in 0..<12 { answers.insert(try await network.connect(from: network.pods[0], "10.43.0.7", 80)) }
            #expect(answers.count == 1)
            #expect(answers.isSubset(of: ["first", "second"]))
        }
    }

    @Test func rulesAreReplacedAsAWholeAndRemovedWithoutTrace() async throws {
        try await NetworkNamespaces.with { network in
            try await network.serve(pod: 1, port: 8080, text: "second")
            try await network.apply(ruleset(network, [network.podAddresses[0]]))
            try await network.apply(ruleset(network, [network.podAddresses[1]]))
            #expect(try await network.connect(from: network.pods[0], "10.43.0.7", 80) == "second")
            let removal = NftablesRuleset.removal(of: network.configuration)
            try await NetworkCommand.run("ip", ["netns", "exec", network.host, "nft", "-f", "-"], input: removal)
            let tables = try await network.shell(network.host, "nft list tables")
            #expect(!tables.contains(network.configuration.table))
        }
    }
}
