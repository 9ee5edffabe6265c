import KubernetesModel
import Testing

@Suite struct ValidationTests {
    static let deployment: JSON = [
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": ["name": "web", "namespace": "shop"],
        "spec": [
            "selector": ["matchLabels": ["app": "web"]],
            "template": [
                "metadata": ["labels": ["app": "web"]],
                "spec": [
                    "containers": [
                        ["name": "web", "image": "web:1", "ports": [["containerPort": 80, "name": "http"]]]
                    ]
                ],
            ],
        ],
    ]

    private func errors(_ resource: Resource, _ object: JSON) throws -> [String] {
        let definition = try #require(ResourceCatalog.builtin.definition(resource))
        return definition.validate(definition.withDefaults(object)).map(\.description)
    }

    private func changed(_ change: (inout JSON) -> Void) -> JSON {
        var object = Self.deployment
        change(&object)
        return object
    }

    private func pod(_ spec: JSON) -> JSON { ["metadata": ["name": "p", "namespace": "n"], "spec": spec] }

    private func container(_ fields: JSONObject) -> JSON {
        let base: JSONObject = ["name": "a", "image": "a:1"]
        return pod(["containers": [.object(base.merging(fields) { _, new in new })]])
    }

    @Test func acceptsAStockDeployment() throws {
        #expect(try errors(.deployments, Self.deployment).isEmpty)
    }

    @Test func namesWhatIsMissing() throws {
        let empty: JSON = ["metadata": ["name": "web", "namespace": "shop"]]
        #expect(try errors(.deployments, empty) == ["spec.selector: Required value", "spec.template: Required value"])
        #expect(
            try errors(.pods, ["metadata": ["name": "p", "namespace": "n"]]) == ["spec.containers: Required value"]
        )
        #expect(
            try errors(.configMaps, ["metadata": ["namespace": "n"]])
                == ["metadata.name: Required value: name or generateName is required"]
        )
        #expect(try errors(.pods, pod(["containers": []])) == ["spec.containers: Required value"])
    }

    @Test func namesWrongTypesAndBounds() throws {
        #expect(
            try errors(.deployments, changed { $0["spec", "replicas"] = "two" })
                == [#"spec.replicas: Invalid value: "string": must be of type integer"#]
        )
        #expect(
            try errors(.deployments, changed { $0["spec", "replicas"] = -1 })
                == ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]
        )
        #expect(
            try errors(.pods, container(["ports": [["containerPort": 70_000]]]))
                == [
                    "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be less than or equal to 65535"
                ]
        )
        #expect(
            try errors(.pods, container(["resources": ["limits": ["memory": "64MB"]]])).first?
                .hasPrefix(#"spec.containers[0].resources.limits[memory]: Invalid value: "64MB""#) == true
        )
    }

    @Test func namesUnsupportedValues() throws {
        #expect(
            try errors(.pods, pod(["restartPolicy": "Sometimes", "containers": [["name": "a", "image": "a"]]]))
                == [
                    #"spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "Never", "OnFailure""#
                ]
        )
        #expect(
            try errors(.deployments, changed { $0["spec", "template", "spec", "restartPolicy"] = "Never" })
                == [#"spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always""#]
        )
        let job: JSON = [
            "metadata": ["name": "j", "namespace": "n"],
            "spec": ["template": ["spec": ["containers": [["name": "a", "image": "a"]]]]],
        ]
        #expect(
            try errors(.jobs, job)
                == [
                    #"spec.template.spec.restartPolicy: Unsupported value: "Always": supported values: "OnFailure", "Never""#
                ]
        )
    }

    @Test func comparesSelectorAndLabels() throws {
        let other = changed { $0["spec", "template", "metadata", "labels"] = ["app": "api"] }
        #expect(
            try errors(.deployments, other)
                == [
                    #"spec.template.metadata.labels: Invalid value: {"app":"api"}: `selector` does not match template `labels`"#
                ]
        )
        let empty = try errors(.deployments, changed { $0["spec", "selector"] = [:] })
        #expect(empty.count == 1 && empty[0].hasPrefix("spec.selector: Invalid value"))
    }

    @Test(arguments: [
        ("Web", "a lowercase RFC 1123 subdomain"), ("web_1", "a lowercase RFC 1123 subdomain"), ("", "Required value"),
    ])
    func checksNames(_ name: String, _ message: String) throws {
        let found = try errors(.deployments, changed { $0["metadata", "name"] = .string(name) })
        #expect(found.count == 1 && found[0].hasPrefix("metadata.name: ") && found[0].contains(message))
    }

    @Test func checksMetadata() throws {
        let object = changed {
            $0["metadata", "labels"] = ["-bad": "x", "a": "not ok"]
            $0["metadata", "ownerReferences"] = [["kind": "X", "name": "x", "uid": "", "apiVersion": "v1"]]
            $0["metadata", "finalizers"] = ["not ok"]
        }
        let paths = try #require(ResourceCatalog.builtin.definition(.deployments)).validate(object).map(\.path)
        #expect(
            paths == ["metadata.labels", "metadata.labels", "metadata.ownerReferences[0].uid", "metadata.finalizers"]
        )
        let cluster = try errors(.namespaces, ["metadata": ["name": "a", "namespace": "b"]])
        #expect(cluster == ["metadata.namespace: Forbidden: not allowed on this type"])
        let large = changed { $0["metadata", "annotations"] = ["a": .string(String(repeating: "x", count: 262_144))] }
        #expect(try errors(.deployments, large).first?.contains("Too long") == true)
    }

    @Test func checksContainers() throws {
        let twins: JSON = ["containers": [["name": "a", "image": "a"], ["name": "a", "image": "b"]]]
        #expect(try errors(.pods, pod(twins)).contains { $0.contains("Duplicate value") })
        let initTwin: JSON = [
            "initContainers": [["name": "a", "image": "a"]], "containers": [["name": "a", "image": "b"]],
        ]
        #expect(try errors(.pods, pod(initTwin)) == [#"spec.containers[0].name: Duplicate value: "a""#])
        #expect(try errors(.pods, pod(["containers": [["name": "a"]]])) == ["spec.containers[0].image: Required value"])
        #expect(
            try errors(.pods, container(["name": "A"])).first?.hasPrefix("spec.containers[0].name: Invalid value")
                == true
        )
        #expect(
            try errors(.pods, container(["volumeMounts": [["name": "v", "mountPath": "/v"]]]))
                == [#"spec.containers[0].volumeMounts[0].name: Not found: "v""#]
        )
        #expect(
            try errors(
                .pods,
                container(["ports": [["containerPort": 80, "name": "http"], ["containerPort": 81, "name": "http"]]])
            )
                == [#"spec.containers[0].ports[1].name: Duplicate value: "http""#]
        )
    }

    @Test func checksProbes() throws {
        #expect(
            try errors(.pods, container(["readinessProbe": [:]]))
                == [
                    "spec.containers[0].readinessProbe: Required value: must specify one of: `exec`, `grpc`, `httpGet`, `tcpSocket`"
                ]
        )
        let two: JSON = ["exec": ["command": ["x"]], "tcpSocket": ["port": 1]]
        #expect(
            try errors(.pods, container(["livenessProbe": two]))
                == ["spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type"]
        )
        #expect(
            try errors(.pods, container(["livenessProbe": ["tcpSocket": ["port": 0]]]))
                == [
                    "spec.containers[0].livenessProbe.tcpSocket.port: Invalid value: 0: must be between 1 and 65535, inclusive"
                ]
        )
        let stubborn: JSON = ["successThreshold": 2, "tcpSocket": ["port": 1]]
        #expect(
            try errors(.pods, container(["livenessProbe": stubborn]))
                == ["spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"]
        )
    }

    @Test func checksResourcesAndVariables() throws {
        let greedy: JSON = ["limits": ["cpu": "1"], "requests": ["cpu": "2"]]
        #expect(
            try errors(.pods, container(["resources": greedy]))
                == [
                    #"spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1"#
                ]
        )
        let found = try errors(
            .pods,
            container(["env": [["name": "A=B"], ["name": "C", "value": "x", "valueFrom": [:]]]])
        )
        #expect(found.count == 3)
        #expect(found[0].hasPrefix("spec.containers[0].env[0].name: Invalid value"))
    }

    @Test func checksServices() throws {
        func service(_ spec: JSON) -> JSON { ["metadata": ["name": "s", "namespace": "n"], "spec": spec] }
        #expect(try errors(.services, service([:])) == ["spec.ports: Required value"])
        #expect(try errors(.services, service(["clusterIP": "None"])).isEmpty)
        #expect(
            try errors(.services, service(["ports": [["port": 80], ["port": 81, "name": "b"]]]))
                == ["spec.ports[0].name: Required value"]
        )
        #expect(
            try errors(.services, service(["ports": [["port": 80, "nodePort": 30_000]]]))
                == ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"]
        )
        #expect(try errors(.services, service(["type": "ExternalName"])) == ["spec.externalName: Required value"])
        #expect(
            try errors(.services, service(["ports": [["port": 80], ["port": 80]]])).contains {
                $0.contains("Duplicate")
            }
        )
        let name = try errors(
            .services,
            ["metadata": ["name": "1a", "namespace": "n"], "spec": ["clusterIP": "None"]]
        )
        #expect(name.first?.contains("DNS-1035") == true)
    }

    @Test func checksStrategies() throws {
        let still = changed { $0["spec", "strategy", "rollingUpdate"] = ["maxSurge": 0, "maxUnavailable": "0%"] }
        #expect(
            try errors(.deployments, still)
                == ["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"]
        )
        let mixed = changed { $0["spec", "strategy"] = ["type": "Recreate", "rollingUpdate": ["maxSurge": 1]] }
        #expect(
            try errors(.deployments, mixed).first?.contains("may not be specified when strategy `type` is 'Recreate'")
                == true
        )
    }

    @Test func checksConfiguration() throws {
        let map: JSON = ["metadata": ["name": "m", "namespace": "n"], "data": ["a/b": "x"]]
        #expect(try errors(.configMaps, map).first?.hasPrefix("data[a/b]: Invalid value") == true)
        let secret: JSON = [
            "metadata": ["name": "s", "namespace": "n"], "type": "kubernetes.io/dockerconfigjson",
            "data": ["x": "not base64"],
        ]
        #expect(try errors(.secrets, secret) == [#"data[x]: Invalid value: "<bytes>": must be base64 (RFC 4648)"#])
        var fixed = secret
        fixed["data"] = [:]
        #expect(try errors(.secrets, fixed) == ["data[.dockerconfigjson]: Required value"])
    }

    @Test func bindsOnlyToRoles() throws {
        let binding: JSON = [
            "metadata": ["name": "b", "namespace": "n"],
            "roleRef": ["apiGroup": "rbac.authorization.k8s.io", "kind": "Pod", "name": "x"],
            "subjects": [["kind": "Robot", "name": "r"]],
        ]
        let resource = Resource(group: "rbac.authorization.k8s.io", plural: "rolebindings", kind: "RoleBinding")
        #expect(
            try errors(resource, binding) == [
                #"roleRef.kind: Unsupported value: "Pod": supported values: "ClusterRole", "Role""#,
                #"subjects[0].kind: Unsupported value: "Robot": supported values: "Group", "ServiceAccount", "User""#,
            ]
        )
    }

    @Test func acceptsAnIncompleteStatus() throws {
        let set = Resource(group: "apps", plural: "replicasets", kind: "ReplicaSet")
        var object = Self.deployment
        object["kind"] = "ReplicaSet"
        object["status"] = ["readyReplicas": 1]
        #expect(try errors(set, object).isEmpty)
        object["status"] = ["readyReplicas": "one"]
        #expect(try errors(set, object).count == 1)
    }

    @Test func checksRoutesBySchema() throws {
        func route(_ rule: JSON) -> JSON {
            ["metadata": ["name": "r", "namespace": "n"], "spec": ["hostnames": ["a.example"], "rules": [rule]]]
        }
        #expect(try errors(.httpRoutes, route(["backendRefs": [["name": "web", "port": 80]]])).isEmpty)
        let found = try errors(
            .httpRoutes,
            route(["matches": [["path": ["type": "Glob"]]], "backendRefs": [["port": 0]]])
        )
        #expect(found.count == 3)
        var bad = route([:])
        bad["spec", "hostnames"] = ["UPPER.example"]
        #expect(try errors(.httpRoutes, bad).first?.hasPrefix("spec.hostnames[0]: Invalid value") == true)
    }

    @Test func speaksAsKubernetes() {
        let error = StatusError.invalid(.deployments, "x", [.required("spec.selector")])
        #expect(error.code == 422 && error.reason == "Invalid")
        #expect(error.message == #"Deployment.apps "x" is invalid: spec.selector: Required value"#)
        #expect(
            error.details?["causes"] == [
                ["reason": "FieldValueRequired", "message": "Required value", "field": "spec.selector"]
            ]
        )
        let both = StatusError.invalid(.pods, "p", [.required("a"), .duplicate("b", "c")])
        #expect(both.message == #"Pod "p" is invalid: [a: Required value, b: Duplicate value: "c"]"#)
    }
}

@Suite struct UpdateValidationTests {
    private func errors(_ resource: Resource, _ old: JSON, _ change: (inout JSON) -> Void) throws -> [String] {
        var new = old
        change(&new)
        return try #require(ResourceCatalog.builtin.definition(resource)).validateUpdate(new, from: old).map(
            \.description
        )
    }

    static let pod: JSON = [
        "metadata": ["name": "p", "namespace": "n", "uid": "1"],
        "spec": ["containers": [["name": "a", "image": "a:1", "env": []]], "tolerations": [["key": "a"]]],
    ]

    @Test func keepsIdentity() throws {
        #expect(
            try errors(.pods, Self.pod) { $0["metadata", "uid"] = "2" } == [
                #"metadata.uid: Invalid value: "2": field is immutable"#
            ]
        )
        #expect(try errors(.pods, Self.pod) { $0["metadata", "labels"] = ["a": "b"] }.isEmpty)
    }

    @Test func letsPodsChangeLittle() throws {
        #expect(
            try errors(.pods, Self.pod) { $0["spec", "containers"] = [["name": "a", "image": "a:2", "env": []]] }
                .isEmpty
        )
        #expect(try errors(.pods, Self.pod) { $0["spec", "activeDeadlineSeconds"] = 5 }.isEmpty)
        #expect(try errors(.pods, Self.pod) { $0["spec", "tolerations"] = [["key": "a"], ["key": "b"]] }.isEmpty)
        #expect(
            try errors(.pods, Self.pod) { $0["spec", "tolerations"] = [] }.first?.hasPrefix(
                "spec.tolerations: Forbidden"
            ) == true
        )
        let command = try errors(.pods, Self.pod) {
            $0["spec", "containers"] = [["name": "a", "image": "a:1", "command": ["x"]]]
        }
        #expect(command.first?.hasPrefix("spec: Forbidden: pod updates may not change fields other than") == true)
    }

    @Test func keepsSelectors() throws {
        let old: JSON = [
            "metadata": ["name": "d"], "spec": ["selector": ["matchLabels": ["a": "1", "b": "2"]], "replicas": 1],
        ]
        #expect(try errors(.deployments, old) { $0["spec", "replicas"] = 2 }.isEmpty)
        #expect(try errors(.deployments, old) { $0["spec", "selector", "matchLabels"] = ["b": "2", "a": "1"] }.isEmpty)
        let changed = try errors(.deployments, old) { $0["spec", "selector", "matchLabels"] = ["a": "2"] }
        #expect(changed == [#"spec.selector: Invalid value: {"matchLabels":{"a":"2"}}: field is immutable"#])
    }

    @Test func keepsImmutableData() throws {
        let old: JSON = ["metadata": ["name": "c"], "immutable": true, "data": ["a": "1"]]
        #expect(
            try errors(.configMaps, old) { $0["data", "a"] = "2" } == [
                "data: Forbidden: field is immutable when `immutable` is set"
            ]
        )
        #expect(try errors(.configMaps, old) { $0["immutable"] = nil }.count == 1)
        let secret: JSON = ["metadata": ["name": "s"], "type": "Opaque", "data": ["a": "MQ=="]]
        #expect(try errors(.secrets, secret) { $0["data", "a"] = "Mg==" }.isEmpty)
        #expect(try errors(.secrets, secret) { $0["type"] = "x" } == [#"type: Invalid value: "x": field is immutable"#])
    }

    @Test func keepsTheAddressOfAService() throws {
        let old: JSON = ["metadata": ["name": "s"], "spec": ["type": "ClusterIP", "clusterIP": "10.43.0.9"]]
        #expect(
            try errors(.services, old) { $0["spec", "clusterIP"] = "10.43.0.10" }
                == [#"spec.clusterIPs[0]: Invalid value: "10.43.0.10": may not change once set"#]
        )
        #expect(try errors(.services, old) { $0["spec"] = ["type": "ExternalName", "externalName": "a"] }.isEmpty)
    }

    @Test func keepsTheTemplateOfAJobThatRuns() throws {
        let old: JSON = [
            "metadata": ["name": "j"], "spec": ["template": ["spec": [:]], "suspend": false, "parallelism": 1],
        ]
        #expect(try errors(.jobs, old) { $0["spec", "parallelism"] = 2 }.isEmpty)
        #expect(try errors(.jobs, old) { $0["spec", "template", "spec", "x"] = 1 }.count == 1)
        var waiting = old
        waiting["spec", "suspend"] = true
        #expect(try errors(.jobs, waiting) { $0["spec", "template", "spec", "x"] = 1 }.isEmpty)
    }

    @Test func takesNoFinalizersWhileDeleting() throws {
        let old: JSON = ["metadata": ["name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a/b"]]]
        #expect(try errors(.configMaps, old) { $0["metadata", "finalizers"] = [] }.isEmpty)
        #expect(
            try errors(.configMaps, old) { $0["metadata", "finalizers"] = ["a/b", "c/d"] }.first?
                .hasPrefix("metadata.finalizers: Forbidden") == true
        )
    }
}
