import Testing

@testable import KubernetesModel

struct VersionConversionTests {
    private static let resource = Resource(
        group: "autoscaling",
        plural: "horizontalpodautoscalers",
        kind: "HorizontalPodAutoscaler"
    )

    private static func cpu(_ field: String, _ value: JSON) -> JSON {
        ["type": "Resource", "resource": .object(["name": "cpu", field: value])]
    }

    private static let utilization = cpu("target", ["type": "Utilization", "averageUtilization": 55])
    private static let absolute = cpu("target", ["type": "AverageValue", "averageValue": "200m"])
    private static let memory: JSON = [
        "type": "Resource",
        "resource": ["name": "memory", "target": ["type": "Utilization", "averageUtilization": 70]],
    ]

    private static func autoscaler(_ metrics: [JSON], _ further: JSON = [:]) -> JSON {
        var object: JSON = [
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": ["name": "web"],
            "spec": [
                "scaleTargetRef": ["apiVersion": "apps/v1", "kind": "Deployment", "name": "web"], "maxReplicas": 5,
                "metrics": .array(metrics),
            ],
        ]
        for (key, value) in further.object ?? [:] { object[key] = value }
        return object
    }

    @Test func servesTheTargetForCPUInTheFirstVersion() {
        let first = VersionConversion.autoscalerV1.served(Self.autoscaler([Self.utilization]), as: Self.resource)
        #expect(first["apiVersion"] == "autoscaling/v1")
        #expect(first["spec", "targetCPUUtilizationPercentage"] == 55)
        #expect(first["spec", "metrics"] == nil)
        #expect(first["metadata"] == ["name": "web"])
    }

    @Test(arguments: [
        autoscaler([utilization]), autoscaler([absolute]), autoscaler([utilization, memory]), autoscaler([memory]),
        autoscaler(
            [utilization, absolute],
            [
                "status": [
                    "currentReplicas": 2, "desiredReplicas": 3,
                    "currentMetrics": [
                        cpu("current", ["averageUtilization": 40]),
                        cpu("current", ["averageValue": "120m", "averageUtilization": 40]),
                    ],
                    "conditions": [["type": "AbleToScale", "status": "True"]],
                ]
            ]
        ),
    ])
    func losesNothingOnTheWayThroughTheFirstVersion(_ object: JSON) {
        let conversion = VersionConversion.autoscalerV1
        var object = object
        object["spec", "behavior"] = ["scaleDown": ["stabilizationWindowSeconds": 60]]
        object["metadata", "annotations", "note"] = "kept"
        let again = conversion.stored(conversion.served(object, as: Self.resource))
        #expect(again.isEquivalent(object), "\(again.prettyString)")
    }

    @Test func keepsAnAutoscalerWithoutATargetWithTheDefaultOne() {
        var first = Self.autoscaler([])
        first["apiVersion"] = "autoscaling/v1"
        first["spec", "metrics"] = nil
        let stored = VersionConversion.autoscalerV1.stored(first)
        #expect(stored["spec", "metrics"]?.array?.first?["resource", "target", "averageUtilization"] == 80)
    }

    @Test func renamesTheVersionOfCustomKinds() {
        let resource = Resource(group: "example.org", version: "v2", plural: "things", kind: "Thing")
        let object: JSON = ["apiVersion": "example.org/v1", "kind": "Thing", "spec": ["a": 1]]
        let served = VersionConversion.renamed.served(object, as: resource)
        #expect(served == ["apiVersion": "example.org/v2", "kind": "Thing", "spec": ["a": 1]])
    }
}

extension JSON {
    /// Equal but for the order of fields.
    fileprivate func isEquivalent(_ other: JSON) -> Bool {
        switch (self, other) {
        case (.object(let left), .object(let right)):
            left.count == right.count && left.allSatisfy { right[$0.key].map($0.value.isEquivalent) ?? false }
        case (.array(let left), .array(let right)):
            left.count == right.count && zip(left, right).allSatisfy { $0.isEquivalent($1) }
        default: self == other
        }
    }
}
