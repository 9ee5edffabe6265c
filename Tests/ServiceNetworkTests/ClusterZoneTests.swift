import KubernetesModel
import Testing

@testable import ServiceNetwork

struct ClusterZoneTests {
    private let zone = ClusterZone(
        services: [
            service(), service(name: "db", clusterIP: "None"), external, alias("near", "web.shop.svc.cluster.local"),
            alias("far", "out.shop.svc.cluster.local"), alias("lost", "none.shop.svc.cluster.local"),
            alias("ring", "ring.shop.svc.cluster.local"),
        ],
        slices: [slice([("10.42.0.9", true, true), ("10.42.0.8", false, true)], service: "db", port: 5432)],
        configuration: .example
    )

    private static var external: JSON { alias("out", "example.com") }

    private static func alias(_ name: String, _ target: String) -> JSON {
        [
            "metadata": ["name": .string(name), "namespace": "shop"],
            "spec": ["type": "ExternalName", "externalName": .string(target)],
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
        ("10-42-0-200.shop.pod.cluster.local", ["10.42.0.200"]),
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
        #expect(addresses("9.0.42.10.in-addr.arpa", .ptr) == ["10-42-0-9.db.shop.svc.cluster.local"])
        #expect(zone.answer(.init(name: DNSName("8.0.42.10.in-addr.arpa"), type: .ptr)) == .notOurs, "it is not ready")
        #expect(zone.answer(.init(name: DNSName("1.1.1.1.in-addr.arpa"), type: .ptr)) == .notOurs)
    }

    @Test(arguments: [
        ("none.shop.svc.cluster.local", ClusterZone.Answer.nameError),
        ("web.none.svc.cluster.local", .nameError),
        ("shop.svc.cluster.local", .noData),
        ("cluster.local", .noData),
        ("shop.pod.cluster.local", .noData),
        ("10-42-0-9.none.pod.cluster.local", .nameError),
        ("93-184-216-34.shop.pod.cluster.local", .nameError),
        ("10-42-0.shop.pod.cluster.local", .nameError),
        ("x.10-42-0-9.shop.pod.cluster.local", .nameError),
        ("www.example.com", .notOurs),
        ("out.shop.svc.cluster.local", .alias(DNSName("example.com"))),
    ])
    func otherNames(_ name: String, _ expected: ClusterZone.Answer) {
        #expect(zone.answer(.init(name: DNSName(name), type: .a)) == expected)
    }

    private static let webAddress = ClusterZone.Answer.records([
        .init(name: DNSName("web.shop.svc.cluster.local"), timeToLive: 5, payload: .a(IPv4Address("10.43.0.7")!))
    ])

    @Test(arguments: [
        (["near", "web"], webAddress), (["far", "out", "example.com"], .notOurs), (["lost", "none"], .nameError),
    ])
    func followsNamesThatStandForOthers(_ steps: [String], _ answer: ClusterZone.Answer) {
        let names = steps.map { DNSName($0.contains(".") ? $0 : "\($0).shop.svc.cluster.local") }
        let resolution = zone.resolve(.init(name: names[0], type: .a))
        #expect(resolution.answer == answer)
        #expect(resolution.question.name == names.last)
        #expect(resolution.aliases.map(\.name) == names.dropLast())
        #expect(resolution.aliases.map(\.payload) == names.dropFirst().map { .cname($0) })
    }

    @Test func givesUpOnARingOfNames() {
        let resolution = zone.resolve(.init(name: DNSName("ring.shop.svc.cluster.local"), type: .a))
        #expect(resolution.answer == .alias(DNSName("ring.shop.svc.cluster.local")))
        #expect(resolution.aliases.count == 8)
    }

    @Test func existingNamesHaveNoOtherTypes() {
        #expect(zone.answer(.init(name: DNSName("web.shop.svc.cluster.local"), type: .aaaa)) == .noData)
    }
}
