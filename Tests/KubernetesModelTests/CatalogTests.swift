import KubernetesModel
import Testing

@Suite struct ResourceCatalogTests {
    static let catalog = ResourceCatalog.builtin

    static let kinds: [(String, String, String, String, Bool)] = [
        ("", "pods", "Pod", "po", true), ("", "namespaces", "Namespace", "ns", false),
        ("apps", "deployments", "Deployment", "deploy", true),
        ("batch", "cronjobs", "CronJob", "cj", true), ("networking.k8s.io", "ingresses", "Ingress", "ing", true),
        ("gateway.networking.k8s.io", "gateways", "Gateway", "gtw", true),
        ("gateway.networking.k8s.io", "gatewayclasses", "GatewayClass", "gc", false),
        ("sampan.dev", "releases", "Release", "rel", true),
        ("apiextensions.k8s.io", "customresourcedefinitions", "CustomResourceDefinition", "crd", false),
    ]

    @Test(arguments: kinds)
    func servesKinds(
        _ group: String,
        _ plural: String,
        _ kind: String,
        _ shortName: String,
        _ isNamespaced: Bool
    ) throws {
        let definition = try #require(Self.catalog.definition(group: group, version: "v1", plural: plural))
        #expect(definition.resource.kind == kind)
        #expect(definition.shortNames.first == shortName)
        #expect(definition.resource.isNamespaced == isNamespaced)
        #expect(definition.isStored && definition.singular == kind.lowercased())
        #expect(
            Self.catalog.definition(apiVersion: definition.resource.apiVersion, kind: kind)?.resource
                == definition.resource
        )
    }

    @Test func knowsSubresources() throws {
        let deployment = try #require(Self.catalog.definition(.deployments))
        #expect(deployment.hasStatus)
        #expect(deployment.scale?.specReplicas == ["spec", "replicas"])
        #expect(try #require(Self.catalog.definition(.configMaps)).hasStatus == false)
        #expect(try #require(Self.catalog.definition(.releases)).hasStatus)
    }

    @Test func answersReviewsWithoutKeepingThem() throws {
        let review = try #require(
            Self.catalog.definition(apiVersion: "authorization.k8s.io/v1", kind: "SelfSubjectAccessReview")
        )
        #expect(!review.isStored && review.verbs == ["create"])
    }

    @Test func servesEveryResourceThatTheProgramNames() {
        let named: [Resource] = [
            .namespaces, .nodes, .pods, .configMaps, .secrets, .serviceAccounts, .services, .events, .endpointSlices,
            .leases,
            .deployments, .replicaSets, .jobs, .customResourceDefinitions, .gateways, .gatewayClasses, .httpRoutes,
            .releases,
        ]
        for resource in named { #expect(Self.catalog.definition(resource)?.resource == resource) }
    }

    @Test func describesFields() throws {
        let pod = try #require(Self.catalog.definition(.pods)?.schema)
        let spec = try #require(pod.property("spec"))
        let containers = try #require(spec.property("containers"))
        #expect(spec.definitionName == "core.v1.PodSpec" && spec.required == ["containers"])
        #expect(containers.listType == .map && containers.listMapKeys == ["name"])
        #expect(containers.patchMergeKey == "name" && containers.mergesStrategically)
        let port = try #require(containers.items?.property("ports")?.items?.property("containerPort"))
        #expect(port.type == .integer && port.minimum == 1 && port.maximum == 65_535)
        #expect(spec.property("restartPolicy")?.allowedValues == ["Always", "OnFailure", "Never"])
        #expect(spec.property("nodeSelector")?.isAtomicMap == true)
        #expect(spec.property("volumes")?.retainsKeys == true)
        let limits = containers.items?.property("resources")?.property("limits")
        #expect(limits?.additionalProperties?.type == .quantity)
        let selector = Self.catalog.definition(.deployments)?.schema.property("spec")?.property("selector")
        #expect(selector?.isAtomicMap == true)
    }

    @Test func followsDefinitionsThatReferToThemselves() throws {
        let definition = try #require(Self.catalog.definition(.customResourceDefinitions)?.schema)
        let versions = definition.property("spec")?.property("versions")?.items
        let schema = try #require(versions?.property("schema")?.property("openAPIV3Schema"))
        #expect(schema.property("allOf")?.items?.definitionName == schema.definitionName)
    }
}

@Suite struct CustomResourceTests {
    static let definition: JSON = [
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": ["name": "boats.sea.example"],
        "spec": [
            "group": "sea.example", "scope": "Namespaced",
            "names": ["kind": "Boat", "plural": "boats", "shortNames": ["bt"]],
            "versions": [
                [
                    "name": "v1", "served": true, "storage": true,
                    "subresources": [
                        "status": [:],
                        "scale": ["specReplicasPath": ".spec.crew", "statusReplicasPath": ".status.crew"],
                    ],
                    "additionalPrinterColumns": [["name": "Crew", "type": "integer", "jsonPath": ".spec.crew"]],
                    "schema": [
                        "openAPIV3Schema": [
                            "type": "object", "required": ["spec"],
                            "properties": [
                                "spec": [
                                    "type": "object", "required": ["name"],
                                    "properties": [
                                        "name": ["type": "string", "pattern": "^[a-z]+$", "maxLength": 5],
                                        "crew": ["type": "integer", "default": 2, "minimum": 1],
                                        "port": ["x-kubernetes-int-or-string": true],
                                        "sail": ["type": "object", "x-kubernetes-preserve-unknown-fields": true],
                                        "flag": ["type": "string", "nullable": true],
                                    ],
                                ]
                            ],
                        ]
                    ],
                ],
                ["name": "v2", "served": false, "storage": false],
            ],
        ],
    ]

    private func registered() throws -> (ResourceCatalog, ResourceDefinition) {
        var catalog = ResourceCatalog.builtin
        try catalog.register(customResourceDefinition: Self.definition)
        return (catalog, try #require(catalog.definition(apiVersion: "sea.example/v1", kind: "Boat")))
    }

    private func boat(_ spec: JSON) -> JSON {
        ["apiVersion": "sea.example/v1", "kind": "Boat", "metadata": ["name": "b", "namespace": "n"], "spec": spec]
    }

    @Test func isServedAfterRegistration() throws {
        let (catalog, boats) = try registered()
        #expect(boats.isCustom && boats.hasStatus && boats.shortNames == ["bt"] && boats.singular == "boat")
        #expect(boats.scale?.specReplicas == ["spec", "crew"])
        #expect(catalog.definition(group: "sea.example", version: "v2", plural: "boats") == nil)
        #expect(catalog.definitions.count == ResourceCatalog.builtin.definitions.count + 1)
    }

    @Test func isReplacedAndForgotten() throws {
        var (catalog, _) = try registered()
        try catalog.register(customResourceDefinition: Self.definition)
        #expect(catalog.definitions.count == ResourceCatalog.builtin.definitions.count + 1)
        catalog.unregister(customResourceDefinition: Self.definition)
        #expect(catalog.definition(apiVersion: "sea.example/v1", kind: "Boat") == nil)
        #expect(catalog.definition(.pods) != nil)
    }

    @Test func cannotTakeBuiltInNames() {
        var taken = Self.definition
        taken["metadata", "name"] = "gateways.gateway.networking.k8s.io"
        taken["spec", "group"] = "gateway.networking.k8s.io"
        taken["spec", "names", "plural"] = "gateways"
        var catalog = ResourceCatalog.builtin
        let error = #expect(throws: StatusError.self) { try catalog.register(customResourceDefinition: taken) }
        #expect(error?.code == 409)
        #expect(catalog.definition(.gateways)?.resource.kind == "Gateway")
    }

    @Test func mustBeComplete() {
        var incomplete = Self.definition
        incomplete["spec", "group"] = nil
        var catalog = ResourceCatalog.builtin
        let error = #expect(throws: StatusError.self) { try catalog.register(customResourceDefinition: incomplete) }
        #expect(error?.code == 422 && error?.message.contains("spec.group: Required value") == true)
    }

    @Test func checksObjectsBySchema() throws {
        let (_, boats) = try registered()
        let object = boats.withDefaults(boat(["name": "ahoy", "port": "http", "sail": ["x": [1]], "flag": .null]))
        #expect(object["spec", "crew"] == 2)
        #expect(boats.validate(object).isEmpty)
        #expect(boats.unknownFields(in: boat(["name": "a", "oars": 2, "sail": ["any": 1]])) == ["spec.oars"])
        #expect(
            boats.pruned(boat(["name": "a", "oars": 2, "sail": ["any": 1], "flag": .null]))["spec"] == [
                "name": "a", "sail": ["any": 1], "flag": .null,
            ]
        )
        let errors = boats.validate(boat(["name": "Ahoy!x", "crew": 0, "port": true, "sail": "big"]))
        #expect(errors.map(\.path) == ["spec.name", "spec.name", "spec.crew", "spec.port", "spec.sail"])
        #expect(boats.validate(boat([:])).map(\.description) == ["spec.name: Required value"])
    }

    @Test func printsItsColumns() throws {
        let (_, boats) = try registered()
        let table = boats.table(of: [boat(["crew": 3])], now: 0)
        #expect(table["columnDefinitions"]?.array?.map { $0["name"] } == ["Name", "Crew"])
        #expect(table["rows"]?[0]?["cells"] == ["b", 3])
    }
}

@Suite struct FieldTests {
    @Test func namesUnknownFields() throws {
        let deployments = try #require(ResourceCatalog.builtin.definition(.deployments))
        let object: JSON = [
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": ["name": "a", "labels": ["free": "x"], "nmae": 1],
            "spec": [
                "replcias": 2,
                "template": [
                    "spec": ["containers": [["name": "a", "imagee": "x", "resources": ["limits": ["cpu": "1"]]]]]
                ],
            ],
        ]
        #expect(
            deployments.unknownFields(in: object) == [
                "metadata.nmae", "spec.replcias", "spec.template.spec.containers[0].imagee",
            ]
        )
        let error = try #require(deployments.strictDecodingError(in: object))
        #expect(error.code == 400)
        #expect(
            error.message
                == "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: "
                + "unknown field \"metadata.nmae\", unknown field \"spec.replcias\", "
                + "unknown field \"spec.template.spec.containers[0].imagee\""
        )
        let pruned = deployments.pruned(object)
        #expect(deployments.strictDecodingError(in: pruned) == nil)
        #expect(pruned["metadata"] == ["name": "a", "labels": ["free": "x"]])
    }

    @Test func dropsNullsAndKeepsOpenFields() throws {
        let pods = try #require(ResourceCatalog.builtin.definition(.pods))
        let pruned = pods.pruned(["metadata": ["creationTimestamp": .null, "name": "a"], "spec": ["nodeName": .null]])
        #expect(pruned == ["metadata": ["name": "a"], "spec": [:]])
        let fields: JSON = ["f:spec": ["f:replicas": [:]]]
        let object: JSON = ["metadata": ["managedFields": [["manager": "a", "fieldsV1": fields]]]]
        #expect(pods.pruned(object) == object)
        #expect(pods.unknownFields(in: object).isEmpty)
        let releases = try #require(ResourceCatalog.builtin.definition(.releases))
        let release: JSON = ["spec": ["bundle": [["kind": "X", "any": [1, .null]]], "extra": 1]]
        #expect(releases.pruned(release) == release && releases.unknownFields(in: release).isEmpty)
    }
}

@Suite struct OpenAPITests {
    @Test func rendersEveryGroupVersionWithoutLooseReferences() throws {
        let catalog = ResourceCatalog.builtin
        for (group, version) in catalog.groupVersions {
            let document = try #require(catalog.openAPIDocument(group: group, version: version))
            let schemas = try #require(document["components", "schemas"]?.object)
            for reference in references(in: document) {
                #expect(schemas[String(reference.dropFirst("#/components/schemas/".count))] != nil, "\(reference)")
            }
        }
        #expect(catalog.openAPIDocument(group: "none", version: "v1") == nil)
    }

    @Test func saysWhatClientsLookUp() throws {
        let document = try #require(ResourceCatalog.builtin.openAPIDocument(group: "apps", version: "v1"))
        let path = "/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
        let patch = try #require(document["paths"]?[path]?["patch"])
        #expect(patch["x-kubernetes-group-version-kind"] == ["group": "apps", "version": "v1", "kind": "Deployment"])
        #expect(patch["parameters"]?.array?.contains { $0["name"] == "fieldValidation" } == true)
        #expect(patch["requestBody", "content"]?["application/strategic-merge-patch+json"] != nil)
        let schema = document["components", "schemas", "apps.v1.Deployment"]
        #expect(schema?["x-kubernetes-group-version-kind"]?[0]?["kind"] == "Deployment")
        let containers = document["components", "schemas", "core.v1.PodSpec", "properties", "containers"]
        #expect(containers?["x-kubernetes-patch-merge-key"] == "name")
        #expect(containers?["items"] == ["$ref": "#/components/schemas/core.v1.Container"])
        let gateway = try #require(
            ResourceCatalog.builtin.openAPIDocument(group: "gateway.networking.k8s.io", version: "v1")
        )
        let route = gateway["paths"]?["/apis/gateway.networking.k8s.io/v1/namespaces/{namespace}/httproutes/{name}"]
        #expect(route?["patch", "requestBody", "content"]?["application/strategic-merge-patch+json"] == nil)
    }

    private func references(in value: JSON) -> Set<String> {
        switch value {
        case .object(let fields):
            fields.reduce(into: []) { found, field in
                if field.key == "$ref", let text = field.value.string { found.insert(text) }
                found.formUnion(references(in: field.value))
            }
        case .array(let elements): elements.reduce(into: []) { $0.formUnion(references(in: $1)) }
        default: []
        }
    }
}
