import Foundation
import KubernetesModel
import SystemPackage
import Testing

@testable import ServiceNetwork

struct ServiceTableTests {
    @Test func readyEndpointsTakeTraffic() throws {
        let table = ServiceTable(
            services: [service()],
            slices: [slice([("10.42.0.2", true, true), ("10.42.0.3", false, true)])]
        )
        #expect(try #require(table.ports.first).endpoints.map(\.address.description) == ["10.42.0.2"])
    }

    @Test func endingEndpointsServeWhileNoneIsReady() throws {
        let table = ServiceTable(
            services: [service()],
            slices: [slice([("10.42.0.3", false, true), ("10.42.0.4", false, false)])]
        )
        #expect(try #require(table.ports.first).endpoints.map(\.address.description) == ["10.42.0.3"])
    }

    @Test func withdrawnEndpointStandsInOnlyWhileItIsTheLast() throws {
        let last = try #require(IPv4Address("10.42.0.2"))
        let both = slice([("10.42.0.2", true, true), ("10.42.0.3", true, true)])
        let alone = slice([("10.42.0.2", true, true)])
        func endpoints(_ slice: JSON, _ withdrawal: ServiceTable.Withdrawal) -> [String] {
            ServiceTable(services: [service()], slices: [slice], withdrawn: [last: withdrawal])
                .ports.flatMap { $0.endpoints.map(\.address.description) }
        }
        #expect(endpoints(both, .unlessLast) == ["10.42.0.3"])
        #expect(endpoints(alone, .unlessLast) == ["10.42.0.2"])
        #expect(endpoints(alone, .always) == [])
    }

    @Test func headlessServicesNeedNoRules() {
        #expect(ServiceTable(services: [service(clusterIP: "None")], slices: []).ports.isEmpty)
    }

    @Test func rulesetNamesEveryEndpointOnceAndSpreadsEvenly() {
        let endpoints = [("10.42.0.2", true, true), ("10.42.0.3", true, true), ("10.42.0.4", true, true)]
        let table = ServiceTable(
            services: [service(), service(name: "other", clusterIP: "10.43.0.8")],
            slices: [slice(endpoints)]
        )
        let text = NftablesRuleset(table, configuration: .example).text
        #expect(text.contains("numgen random mod 3 vmap"))
        #expect(text.components(separatedBy: "chain endpoint-tcp-10.42.0.2-8080 {").count == 2)
        #expect(!text.contains("10.43.0.8"), "a service without endpoints is refused by the rule for the whole network")
        #expect(text.hasPrefix("table ip sampan-test\ndelete table ip sampan-test\n"))
    }

    @Test func stickyServicesChooseByClientAddress() {
        var sticky = service()
        sticky["spec", "sessionAffinity"] = "ClientIP"
        let table = ServiceTable(services: [sticky], slices: [slice([("10.42.0.2", true, true)])])
        #expect(NftablesRuleset(table, configuration: .example).text.contains("jhash ip saddr mod 1 vmap"))
    }
}

extension NetworkConfiguration {
    static var example: NetworkConfiguration {
        NetworkConfiguration(
            id: "test",
            podNetwork: IPv4Network("10.42.0.0/16")!,
            serviceNetwork: IPv4Network("10.43.0.0/16")!,
            directory: "/nowhere",
            apiPort: 6443
        )
    }
}

func service(name: String = "web", clusterIP: String = "10.43.0.7", nodePort: Int? = nil) -> JSON {
    var port: JSON = ["name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080]
    if let nodePort { port["nodePort"] = JSON(nodePort) }
    return [
        "metadata": ["name": .string(name), "namespace": "shop"],
        "spec": ["clusterIP": .string(clusterIP), "type": nodePort == nil ? "ClusterIP" : "NodePort", "ports": [port]],
    ]
}

func slice(_ endpoints: [(String, Bool, Bool)], service: String = "web", port: Int = 8080) -> JSON {
    [
        "metadata": [
            "name": .string("\(service)-1"), "namespace": "shop",
            "labels": ["kubernetes.io/service-name": .string(service)],
        ],
        "endpoints": .array(
            endpoints.map { address, ready, serving in
                [
                    "addresses": [.string(address)],
                    "conditions": ["ready": .bool(ready), "serving": .bool(serving)],
                ]
            }
        ),
        "ports": [["name": "http", "port": JSON(port), "protocol": "TCP"]],
    ]
}
