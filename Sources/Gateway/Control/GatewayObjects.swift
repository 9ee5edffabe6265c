import KubernetesModel

/// The objects that a route table is compiled from, as they stand in the cluster or in the snapshot file.
struct GatewayObjects: Hashable, Sendable {
    var classes: [JSON] = []
    var gateways: [JSON] = []
    var routes: [JSON] = []
    var namespaces: [JSON] = []
    var services: [JSON] = []
    var endpointSlices: [JSON] = []
    var referenceGrants: [JSON] = []
    /// Of type `kubernetes.io/tls`.
    var secrets: [JSON] = []

    static let resources: [Resource] = [
        .gatewayClasses, .gateways, .httpRoutes, .namespaces, .services, .endpointSlices, .referenceGrants,
    ]

    private static var fields: [(String, WritableKeyPath<GatewayObjects, [JSON]>)] {
        [
            ("gatewayClasses", \.classes), ("gateways", \.gateways), ("httpRoutes", \.routes),
            ("namespaces", \.namespaces), ("services", \.services), ("endpointSlices", \.endpointSlices),
            ("referenceGrants", \.referenceGrants),
            ("secrets", \.secrets),
        ]
    }

    var json: JSON {
        var json: JSON = [:]
        for (name, path) in Self.fields { json[name] = .array(self[keyPath: path]) }
        return json
    }

    init() {}

    init(_ json: JSON) {
        for (name, path) in Self.fields { self[keyPath: path] = json[name]?.array ?? [] }
    }
}
