/// A kind of object and the place where the API serves it: group, version, plural name, kind and scope.
package struct Resource: Hashable, Sendable {
    /// The API group; empty for the core group.
    package let group: String
    package let version: String
    /// The plural in URLs, such as `deployments`.
    package let plural: String
    package let kind: String
    package let isNamespaced: Bool

    package init(group: String = "", version: String = "v1", plural: String, kind: String, isNamespaced: Bool = true) {
        self.group = group
        self.version = version
        self.plural = plural
        self.kind = kind
        self.isNamespaced = isNamespaced
    }

    /// The `apiVersion` field of objects of this kind: `v1`, `apps/v1`.
    package var apiVersion: String { group.isEmpty ? version : "\(group)/\(version)" }

    /// `deployments.apps`, or `pods` in the core group, as error messages name it.
    package var qualifiedName: String { group.isEmpty ? plural : "\(plural).\(group)" }

    /// The path of one object, or of the collection when `name` is `nil`; of all namespaces when `namespace` is `nil`.
    package func path(namespace: String?, name: String? = nil, subresource: String? = nil) -> String {
        var path = group.isEmpty ? "/api/\(version)" : "/apis/\(group)/\(version)"
        if isNamespaced, let namespace { path += "/namespaces/\(namespace)" }
        path += "/\(plural)"
        if let name { path += "/\(name)" }
        if let subresource { path += "/\(subresource)" }
        return path
    }
}

// MARK: - The kinds that this program itself works with

extension Resource {
    package static let namespaces = Resource(plural: "namespaces", kind: "Namespace", isNamespaced: false)
    package static let nodes = Resource(plural: "nodes", kind: "Node", isNamespaced: false)
    package static let pods = Resource(plural: "pods", kind: "Pod")
    package static let configMaps = Resource(plural: "configmaps", kind: "ConfigMap")
    package static let secrets = Resource(plural: "secrets", kind: "Secret")
    package static let serviceAccounts = Resource(plural: "serviceaccounts", kind: "ServiceAccount")
    package static let services = Resource(plural: "services", kind: "Service")
    package static let events = Resource(plural: "events", kind: "Event")
    package static let endpointSlices = Resource(
        group: "discovery.k8s.io",
        plural: "endpointslices",
        kind: "EndpointSlice"
    )
    package static let leases = Resource(group: "coordination.k8s.io", plural: "leases", kind: "Lease")
    package static let deployments = Resource(group: "apps", plural: "deployments", kind: "Deployment")
    package static let replicaSets = Resource(group: "apps", plural: "replicasets", kind: "ReplicaSet")
    package static let jobs = Resource(group: "batch", plural: "jobs", kind: "Job")
    package static let customResourceDefinitions = Resource(
        group: "apiextensions.k8s.io",
        plural: "customresourcedefinitions",
        kind: "CustomResourceDefinition",
        isNamespaced: false
    )
    package static let gateways = Resource(group: "gateway.networking.k8s.io", plural: "gateways", kind: "Gateway")
    package static let gatewayClasses = Resource(
        group: "gateway.networking.k8s.io",
        plural: "gatewayclasses",
        kind: "GatewayClass",
        isNamespaced: false
    )
    package static let httpRoutes = Resource(
        group: "gateway.networking.k8s.io",
        plural: "httproutes",
        kind: "HTTPRoute"
    )
    package static let referenceGrants = Resource(
        group: "gateway.networking.k8s.io",
        plural: "referencegrants",
        kind: "ReferenceGrant"
    )
    /// A deployed bundle of one environment; see the Releases target.
    package static let releases = Resource(group: "sampan.dev", plural: "releases", kind: "Release")
}
