import KubernetesModel
import Testing

@Suite struct DefaultsTests {
    private func defaulted(_ resource: Resource, _ object: JSON) throws -> JSON {
        let definition = try #require(ResourceCatalog.builtin.definition(resource))
        let result = definition.withDefaults(object)
        #expect(definition.withDefaults(result) == result, "applying defaults again changes nothing")
        #expect(definition.unknownFields(in: result).isEmpty)
        return result
    }

    @Test func fillsADeployment() throws {
        let deployment = try defaulted(
            .deployments,
            [
                "metadata": ["name": "web"],
                "spec": [
                    "selector": ["matchLabels": ["app": "web"]],
                    "template": [
                        "spec": ["containers": [["name": "web", "image": "web:1", "ports": [["containerPort": 80]]]]]
                    ],
                ],
            ]
        )
        let spec = try #require(deployment["spec"])
        #expect(spec["replicas"] == 1 && spec["revisionHistoryLimit"] == 10 && spec["progressDeadlineSeconds"] == 600)
        #expect(
            spec["strategy"]?.isSameValue(as: [
                "type": "RollingUpdate", "rollingUpdate": ["maxSurge": "25%", "maxUnavailable": "25%"],
            ]) == true
        )
        let pod = try #require(spec["template", "spec"])
        #expect(pod["restartPolicy"] == "Always" && pod["dnsPolicy"] == "ClusterFirst" && pod["securityContext"] == [:])
        #expect(pod["terminationGracePeriodSeconds"] == 30 && pod["schedulerName"] == "default-scheduler")
        let container = try #require(pod["containers"]?[0])
        #expect(container["imagePullPolicy"] == "IfNotPresent" && container["resources"] == [:])
        #expect(container["terminationMessagePath"] == "/dev/termination-log")
        #expect(container["terminationMessagePolicy"] == "File")
        #expect(container["ports"]?[0] == ["containerPort": 80, "protocol": "TCP"])
    }

    @Test func keepsWhatTheAuthorWrote() throws {
        let deployment = try defaulted(
            .deployments,
            [
                "spec": [
                    "replicas": 0, "strategy": ["type": "Recreate"], "template": ["spec": ["restartPolicy": "Never"]],
                ]
            ]
        )
        #expect(deployment["spec", "replicas"] == 0)
        #expect(deployment["spec", "strategy"] == ["type": "Recreate"])
        #expect(deployment["spec", "template", "spec", "restartPolicy"] == "Never")
        let partial = try defaulted(.deployments, ["spec": ["strategy": ["rollingUpdate": ["maxSurge": 1]]]])
        #expect(partial["spec", "strategy", "rollingUpdate"] == ["maxSurge": 1, "maxUnavailable": "25%"])
    }

    @Test(arguments: [
        ("web", "Always"), ("web:latest", "Always"), ("host:5000/web", "Always"), ("host:5000/web:1", "IfNotPresent"),
        ("web:1", "IfNotPresent"), ("web@sha256:00", "IfNotPresent"), ("web:latest@sha256:00", "IfNotPresent"),
    ])
    func choosesThePullPolicyByTheTag(_ image: String, _ policy: String) throws {
        let pod = try defaulted(.pods, ["spec": ["containers": [["name": "a", "image": .string(image)]]]])
        #expect(pod["spec", "containers"]?[0]?["imagePullPolicy"]?.string == policy)
    }

    @Test func fillsProbesAndHandlers() throws {
        let pod = try defaulted(
            .pods,
            [
                "spec": [
                    "containers": [
                        [
                            "name": "a", "readinessProbe": ["httpGet": ["port": 80]],
                            "env": [["name": "N", "valueFrom": ["fieldRef": ["fieldPath": "metadata.name"]]]],
                        ]
                    ]
                ]
            ]
        )
        let container = try #require(pod["spec", "containers"]?[0])
        #expect(
            container["readinessProbe"]?.isSameValue(as: [
                "httpGet": ["port": 80, "path": "/", "scheme": "HTTP"], "timeoutSeconds": 1, "periodSeconds": 10,
                "successThreshold": 1, "failureThreshold": 3,
            ]) == true
        )
        #expect(container["env"]?[0]?["valueFrom", "fieldRef", "apiVersion"] == "v1")
    }

    @Test func fillsVolumes() throws {
        let pod = try defaulted(
            .pods,
            [
                "spec": [
                    "volumes": [
                        ["name": "a"], ["name": "b", "secret": ["secretName": "s"]],
                        ["name": "c", "configMap": ["name": "m"]],
                        ["name": "d", "projected": ["sources": [["serviceAccountToken": ["path": "token"]]]]],
                        ["name": "e", "hostPath": ["path": "/"]],
                    ]
                ]
            ]
        )
        let volumes = try #require(pod["spec", "volumes"]?.array)
        #expect(volumes[0]["emptyDir"] == [:])
        #expect(volumes[1]["secret", "defaultMode"] == 420 && volumes[1]["emptyDir"] == nil)
        #expect(volumes[2]["configMap", "defaultMode"] == 420)
        #expect(volumes[3]["projected", "sources"]?[0]?["serviceAccountToken", "expirationSeconds"] == 3600)
        #expect(volumes[4]["hostPath", "type"] == "")
    }

    @Test func requestsWhatIsLimited() throws {
        let resources: JSON = ["limits": ["cpu": "1", "memory": "64Mi"], "requests": ["cpu": "500m"]]
        let pod = try defaulted(.pods, ["spec": ["containers": [["name": "a", "resources": resources]]]])
        #expect(pod["spec", "containers"]?[0]?["resources", "requests"] == ["cpu": "500m", "memory": "64Mi"])
    }

    @Test func publishesPortsOfTheHostNetwork() throws {
        let containers: JSON = [
            ["name": "a", "ports": [["containerPort": 80], ["containerPort": 81, "hostPort": 8081]]]
        ]
        let pod = try defaulted(.pods, ["spec": ["hostNetwork": true, "containers": containers]])
        let ports = pod["spec", "containers"]?[0]?["ports"]?.array ?? []
        #expect(ports.map { $0["hostPort"]?.int } == [80, 8081])
    }

    @Test func fillsAService() throws {
        let service = try defaulted(
            .services,
            ["spec": ["ports": [["port": 80], ["port": 81, "targetPort": "http"]]]]
        )
        let spec = try #require(service["spec"])
        #expect(spec["type"] == "ClusterIP" && spec["sessionAffinity"] == "None")
        #expect(spec["ipFamilies"] == ["IPv4"] && spec["ipFamilyPolicy"] == "SingleStack")
        #expect(spec["internalTrafficPolicy"] == "Cluster" && spec["externalTrafficPolicy"] == nil)
        #expect(spec["ports"]?[0]?.isSameValue(as: ["port": 80, "protocol": "TCP", "targetPort": 80]) == true)
        #expect(spec["ports"]?[1]?["targetPort"] == "http")
    }

    @Test func fillsServicesByTheirType() throws {
        let nodePort = try defaulted(.services, ["spec": ["type": "NodePort"]])
        #expect(nodePort["spec", "externalTrafficPolicy"] == "Cluster")
        let external = try defaulted(.services, ["spec": ["type": "ExternalName", "externalName": "a.b"]])
        #expect(external["spec", "ipFamilies"] == nil)
        let sticky = try defaulted(.services, ["spec": ["sessionAffinity": "ClientIP"]])
        #expect(sticky["spec", "sessionAffinityConfig", "clientIP"]?["timeoutSeconds"] == 10_800)
    }

    @Test func fillsAJob() throws {
        let job = try defaulted(.jobs, ["metadata": ["name": "j", "uid": "u1"], "spec": ["template": ["spec": [:]]]])
        let spec = try #require(job["spec"])
        #expect(spec["completions"] == 1 && spec["parallelism"] == 1 && spec["backoffLimit"] == 6)
        #expect(spec["completionMode"] == "NonIndexed" && spec["suspend"] == false)
        let parallel = try defaulted(.jobs, ["spec": ["parallelism": 3]])
        #expect(parallel["spec", "completions"] == nil && parallel["spec", "parallelism"] == 3)
        let generated = JobSelector.generated(for: job)
        #expect(generated["spec", "selector"] == ["matchLabels": ["batch.kubernetes.io/controller-uid": "u1"]])
        #expect(generated["spec", "template", "metadata", "labels"]?.stringMap["job-name"] == "j")
        var manual = job
        manual["spec", "manualSelector"] = true
        #expect(JobSelector.generated(for: manual) == manual)
    }

    @Test func fillsOtherKinds() throws {
        let namespace = try defaulted(.namespaces, ["metadata": ["name": "a"]])
        #expect(namespace["spec", "finalizers"] == ["kubernetes"])
        let secret = try defaulted(.secrets, ["stringData": ["a": "hello"], "data": ["b": "eA=="]])
        #expect(secret.isSameValue(as: ["type": "Opaque", "data": ["a": "aGVsbG8=", "b": "eA=="]]))
        let set = try defaulted(Resource(group: "apps", plural: "statefulsets", kind: "StatefulSet"), ["spec": [:]])
        #expect(set["spec", "updateStrategy"] == ["type": "RollingUpdate", "rollingUpdate": ["partition": 0]])
        #expect(set["spec", "podManagementPolicy"] == "OrderedReady")
        let daemon = try defaulted(Resource(group: "apps", plural: "daemonsets", kind: "DaemonSet"), ["spec": [:]])
        #expect(daemon["spec", "updateStrategy", "rollingUpdate"] == ["maxSurge": 0, "maxUnavailable": 1])
        let cron = try defaulted(
            Resource(group: "batch", plural: "cronjobs", kind: "CronJob"),
            ["spec": ["jobTemplate": ["spec": ["template": ["spec": ["containers": [["name": "a"]]]]]]]]
        )
        #expect(cron["spec", "concurrencyPolicy"] == "Allow" && cron["spec", "successfulJobsHistoryLimit"] == 3)
        let template = cron["spec", "jobTemplate", "spec"]
        #expect(template?["completions"] == nil)
        #expect(template?["template", "spec", "dnsPolicy"] == "ClusterFirst")
        let claim = try defaulted(
            Resource(plural: "persistentvolumeclaims", kind: "PersistentVolumeClaim"),
            ["spec": [:]]
        )
        #expect(claim["spec", "volumeMode"] == "Filesystem")
    }

    @Test func fillsRoutes() throws {
        let route = try defaulted(
            .httpRoutes,
            ["spec": ["parentRefs": [["name": "gw"]], "rules": [["backendRefs": [["name": "web", "port": 80]]]]]]
        )
        #expect(
            route["spec", "parentRefs"]?[0]?.isSameValue(as: [
                "name": "gw", "group": "gateway.networking.k8s.io", "kind": "Gateway",
            ]) == true
        )
        let rule = try #require(route["spec", "rules"]?[0])
        #expect(rule["matches"] == [["path": ["type": "PathPrefix", "value": "/"]]])
        #expect(rule["backendRefs"]?[0]?["weight"] == 1)
        #expect(rule["backendRefs"]?[0]?["kind"] == "Service")
    }
}
