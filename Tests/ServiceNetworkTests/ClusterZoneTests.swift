import KubernetesModel
import Testing

@testable import ServiceNetwork

struct ClusterZoneTests {
    private let zone = ClusterZone(
        services: [service(), service(name: "db", clusterIP: "None"), external],
        slices: [slice([("10.42.0.9", true, true), ("10.42.0.8", false, true)], service: "db", port: 5432)],
        configuration: .example
    )

    private static var external: JSON {
        [
            "metadata": ["name": "out", "namespace": "shop"],
            "spec": ["type": "ExternalName", "externalName": "example.com"],
        ]
    }

    private func addresses(_ name: String, _ type: DNSMessage.RecordType = .a) -> [String]? {
        guard case .records(let records) = zone.answer(.init(name: DNSName(name), type: type)) else { return nil }
        return records.map { record in
            switch record.payload {
            case .a(let address): address.description
            case .srv(_, _, let port, let target): "\(target):\(port)"
            case .ptr(let name), .cname(let name): name.description
            case .soa: "soa"
            }
        }
    }

    @Test(arguments: [
        ("web.shop.svc.cluster.local", ["10.43.0.7"]),
        ("WEB.Shop.svc.cluster.LOCAL", ["10.43.0.7"]),
        ("db.shop.svc.cluster.local", ["10.42.0.9"]),
        ("10-42-0-9.db.shop.svc.cluster.local", ["10.42.0.9"]),
        ("kubernetes.default.svc.cluster.local", ["10.43.0.1"]),
        ("kube-dns.kube-system.svc.cluster.local", ["10.43.0.10"]),
    ])
    func addressesOfServices(_ name: String, _ expected: [String]) {
        #expect(addresses(name) == expected)
    }

    @Test func portsOfServices() {
        #expect(addresses("_http._tcp.web.shop.svc.cluster.local", .srv) == ["web.shop.svc.cluster.local:80"])
        #expect(addresses("_http._tcp.db.shop.svc.cluster.local", .srv) == ["10-42-0-9.db.shop.svc.cluster.local:5432"])
        #expect(zone.answer(.init(name: DNSName("_x._tcp.web.shop.svc.cluster.local"), type: .srv)) == .nameError)
    }

    @Test func namesOfAddresses() {
        #expect(addresses("7.0.43.10.in-addr.arpa", .ptr) == ["web.shop.svc.cluster.local"])
        #expect(zone.answer(.init(name: DNSName("1.1.1.1.in-addr.arpa"), type: .ptr)) == .notOurs)
    }

    @Test(arguments: [
        ("none.shop.svc.cluster.local", ClusterZone.Answer.nameError),
        ("web.none.svc.cluster.local", .nameError),
        ("shop.svc.cluster.local", .noData),
        ("cluster.local", .noData),
        ("www.example.com", .notOurs),
        ("out.shop.svc.cluster.local", .alias(DNSName("example.com"))),
    ])
    func otherNames(_ name: String, _ expected: ClusterZone.Answer) {
        #expect(zone.answer(.init(name: DNSName(name), type: .a)) == expected)
    }

    @Test func existingNamesHaveNoOtherTypes() {
        #expect(zone.answer(.init(name: DNSName("web.shop.svc.cluster.local"), type: .aaaa)) == .noData)
    }
}
