import KubernetesModel
import Testing

@Suite struct ServerSideApplyTests {
    static let time = "2026-01-02T03:04:05Z"

    private func apply(
        _ configuration: JSON,
        to live: JSON?,
        as manager: String,
        force: Bool = false,
        subresource: String? = nil,
        time: String = time
    ) throws -> JSON {
        let schema = try #require(ResourceCatalog.builtin.definition(.deployments)?.schema)
        return try ServerSideApply.apply(
            configuration,
            to: live,
            manager: manager,
            force: force,
            schema: schema,
            apiVersion: "apps/v1",
            time: time,
            subresource: subresource
        )
    }

    private func update(_ old: JSON?, _ new: JSON, as manager: String, subresource: String? = nil) throws -> JSON {
        let schema = try #require(ResourceCatalog.builtin.definition(.deployments)?.schema)
        return ServerSideApply.recordUpdate(
            old: old,
            new: new,
            manager: manager,
            schema: schema,
            apiVersion: "apps/v1",
            time: Self.time,
            subresource: subresource
        )
    }

    private func web(_ spec: JSON, labels: JSON? = nil) -> JSON {
        var object: JSON = [
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": ["name": "web", "namespace": "shop"],
        ]
        object["metadata", "labels"] = labels
        object["spec"] = spec
        return object
    }

    private func pod(_ containers: JSON...) -> JSON { ["template": ["spec": ["containers": .array(containers)]]] }

    private func containers(_ object: JSON) -> [JSON] { object["spec", "template", "spec", "containers"]?.array ?? [] }

    private func fields(_ object: JSON, of manager: String) -> JSON? {
        object["metadata", "managedFields"]?.array?.first { $0["manager"]?.string == manager }?["fieldsV1"]
    }

    @Test func createsAndRecordsTheOwner() throws {
        let object = try apply(web(["replicas": 2], labels: ["a": "1"]), to: nil, as: "ci")
        #expect(object["spec"] == ["replicas": 2])
        #expect(object["metadata", "name"] == "web")
        let entry = object["metadata", "managedFields"]?[0]
        #expect(
            entry?["operation"] == "Apply" && entry?["apiVersion"] == "apps/v1" && entry?["fieldsType"] == "FieldsV1"
        )
        #expect(entry?["time"]?.string == Self.time)
        #expect(
            entry?["fieldsV1"]?.encodedString
                == #"{"f:metadata":{"f:labels":{"f:a":{}}},"f:spec":{"f:replicas":{}}}"#
        )
    }

    @Test func recordsElementsByKeyAndAtomsAsAWhole() throws {
        let container: JSON = [
            "name": "web", "image": "web:1", "args": ["a"], "ports": [["containerPort": 80, "name": "http"]],
        ]
        var spec = pod(container)
        spec["selector"] = ["matchLabels": ["app": "web"]]
        let object = try apply(web(spec), to: nil, as: "ci")
        let owned = try #require(fields(object, of: "ci"))
        #expect(owned["f:spec", "f:selector"] == [:])
        let element = owned[path: ["f:spec", "f:template", "f:spec", "f:containers", #"k:{"name":"web"}"#]]
        #expect(element?["."] == [:] && element?["f:args"] == [:] && element?["f:image"] == [:])
        #expect(element?["f:ports"]?.object?.keys.first == #"k:{"containerPort":80,"protocol":"TCP"}"#)
    }

    @Test func removesWhatIsNoLongerStated() throws {
        let first = try apply(
            web(
                pod(["name": "web", "image": "1", "args": ["x"]], ["name": "side", "image": "s"]),
                labels: ["a": "1", "b": "2"]
            ),
            to: nil,
            as: "ci"
        )
        let second = try apply(web(pod(["name": "web", "image": "2"]), labels: ["a": "1"]), to: first, as: "ci")
        #expect(containers(second) == [["name": "web", "image": "2"]])
        #expect(second["metadata", "labels"] == ["a": "1"])
        #expect(second["metadata", "managedFields"]?.array?.count == 1)
    }

    @Test func keepsWhatOthersAdded() throws {
        let first = try apply(web(["replicas": 1], labels: ["a": "1"]), to: nil, as: "ci")
        var changed = first
        changed["metadata", "labels", "team"] = "blue"
        let updated = try update(first, changed, as: "kubectl")
        let again = try apply(web(["replicas": 2], labels: ["a": "2"]), to: updated, as: "ci")
        #expect(again["metadata", "labels"] == ["a": "2", "team": "blue"])
        #expect(fields(again, of: "kubectl")?["f:metadata", "f:labels"] == ["f:team": [:]])
    }

    @Test func refusesToChangeWhatOthersOwn() throws {
        let first = try apply(web(["replicas": 1], labels: ["a": "1"]), to: nil, as: "ci")
        let error = #expect(throws: StatusError.self) {
            try apply(web(["replicas": 5], labels: ["a": "2"]), to: first, as: "other")
        }
        #expect(error?.code == 409 && error?.reason == "Conflict")
        #expect(
            error?.message
                == "Apply failed with 2 conflicts: conflict with \"ci\" using apps/v1: .metadata.labels.a\n"
                + "conflict with \"ci\" using apps/v1: .spec.replicas"
        )
        let causes = error?.details?["causes"]?.array ?? []
        #expect(causes.map { $0["field"]?.string } == [".metadata.labels.a", ".spec.replicas"])
        #expect(causes.allSatisfy { $0["reason"] == "FieldManagerConflict" })
    }

    @Test func takesOverByForce() throws {
        let first = try apply(web(["replicas": 1, "paused": true]), to: nil, as: "ci")
        let forced = try apply(web(["replicas": 5]), to: first, as: "other", force: true)
        #expect(forced["spec"] == ["replicas": 5, "paused": true])
        #expect(fields(forced, of: "ci")?["f:spec"] == ["f:paused": [:]])
        #expect(fields(forced, of: "other")?["f:spec"] == ["f:replicas": [:]])
    }

    @Test func sharesFieldsThatAgree() throws {
        let first = try apply(web(["replicas": 3]), to: nil, as: "ci")
        let shared = try apply(web(["replicas": 3]), to: first, as: "other")
        #expect(fields(shared, of: "ci") == fields(shared, of: "other"))
        let left = try apply(web(["paused": true]), to: shared, as: "ci")
        #expect(left["spec", "replicas"] == 3, "the other owner still states it")
        let gone = try apply(web(["paused": false]), to: left, as: "other", force: true)
        #expect(gone["spec", "replicas"] == nil, "its last owner let it go")
    }

    @Test func keepsAnElementWhileAnotherOwnsAPartOfIt() throws {
        let first = try apply(web(pod(["name": "web", "image": "1"])), to: nil, as: "ci")
        let second = try apply(web(pod(["name": "web", "args": ["x"]])), to: first, as: "other")
        #expect(containers(second) == [["name": "web", "image": "1", "args": ["x"]]])
        let third = try apply(web(["replicas": 1]), to: second, as: "ci")
        #expect(containers(third) == [["name": "web", "args": ["x"]]])
    }

    @Test func mergesListsByKeyInTheOrderStated() throws {
        let first = try apply(web(pod(["name": "a"], ["name": "b"])), to: nil, as: "ci")
        let second = try apply(web(pod(["name": "c"], ["name": "b", "image": "x"])), to: first, as: "other")
        #expect(containers(second).compactMap { $0["name"]?.string } == ["c", "a", "b"])
    }

    @Test func ownsSetsByElement() throws {
        var configuration = web(["replicas": 1])
        configuration["metadata", "finalizers"] = ["a/x"]
        let first = try apply(configuration, to: nil, as: "ci")
        configuration["metadata", "finalizers"] = ["a/y"]
        let second = try apply(configuration, to: first, as: "other")
        #expect(Set(second["metadata", "finalizers"]?.array ?? []) == ["a/x", "a/y"])
        #expect(fields(second, of: "ci")?["f:metadata", "f:finalizers"] == [#"v:"a/x""#: [:]])
        configuration["metadata", "finalizers"] = nil
        #expect(try apply(configuration, to: second, as: "ci")["metadata", "finalizers"] == ["a/y"])
    }

    @Test func replacesAtomsAsAWhole() throws {
        let first = try apply(web(["selector": ["matchLabels": ["a": "1", "b": "2"]]]), to: nil, as: "ci")
        let second = try apply(web(["selector": ["matchLabels": ["a": "1"]]]), to: first, as: "ci")
        #expect(second["spec", "selector"] == ["matchLabels": ["a": "1"]])
        #expect(throws: StatusError.self) {
            try apply(web(["selector": ["matchLabels": ["c": "1"]]]), to: second, as: "other")
        }
    }

    @Test func keepsManagersOfSubresourcesApart() throws {
        let first = try apply(web(["replicas": 1]), to: nil, as: "ci")
        var status: JSON = web(["replicas": 1])
        status["spec"] = nil
        status["status"] = ["conditions": [["type": "Available", "status": "True"]]]
        let second = try apply(status, to: first, as: "ci", subresource: "status")
        #expect(second["spec", "replicas"] == 1)
        let entries = second["metadata", "managedFields"]?.array ?? []
        #expect(entries.map { $0["subresource"]?.string } == [nil, "status"])
        #expect(entries[1]["fieldsV1"]?.encodedString.contains(#"k:{\"type\":\"Available\"}"#) == true)
    }

    @Test func keepsTheTimeOfAnUnchangedOwner() throws {
        let first = try apply(web(["replicas": 1]), to: nil, as: "ci")
        let second = try apply(web(["replicas": 2]), to: first, as: "ci", time: "2027-01-01T00:00:00Z")
        #expect(second["metadata", "managedFields"]?[0]?["time"]?.string == Self.time)
        let third = try apply(web(["paused": true]), to: second, as: "ci", time: "2027-01-01T00:00:00Z")
        #expect(third["metadata", "managedFields"]?[0]?["time"] == "2027-01-01T00:00:00Z")
    }

    @Test func recordsWhatUpdatesChange() throws {
        let created = try update(nil, web(["replicas": 1, "paused": true], labels: ["a": "1"]), as: "kubectl-create")
        #expect(created["metadata", "managedFields"]?[0]?["operation"] == "Update")
        var changed = created
        changed["spec", "replicas"] = 4
        changed["spec", "paused"] = nil
        let updated = try update(created, changed, as: "scaler")
        #expect(fields(updated, of: "scaler") == ["f:spec": ["f:replicas": [:]]])
        let left = try #require(fields(updated, of: "kubectl-create"))
        #expect(left["f:spec"]?["f:replicas"] == nil && left["f:spec"]?["f:paused"] == nil)
        #expect(left["f:metadata", "f:labels"]?["f:a"] == [:])
        let error = #expect(throws: StatusError.self) { try apply(web(["replicas": 9]), to: updated, as: "ci") }
        #expect(error?.message.hasPrefix("Apply failed with 1 conflict: conflict with \"scaler\"") == true)
    }

    @Test func acceptsOwnersThatAClientEdited() throws {
        let created = try update(nil, web(["replicas": 1]), as: "kubectl-client-side-apply")
        var migrated = created
        migrated["metadata", "managedFields"] = .array(
            (created["metadata", "managedFields"]?.array ?? []).map { entry in
                var entry = entry
                entry["manager"] = "kubectl"
                entry["operation"] = "Apply"
                return entry
            }
        )
        let stored = try update(created, migrated, as: "kubectl")
        #expect(stored["metadata", "managedFields"]?.array?.compactMap { $0["manager"]?.string } == ["kubectl"])
        #expect(try apply(web(["replicas": 2]), to: stored, as: "kubectl")["spec", "replicas"] == 2)
    }

    @Test func refusesBadRequests() {
        #expect(throws: StatusError.self) { try apply(web([:]), to: nil, as: "") }
        var configuration = web([:])
        configuration["metadata", "managedFields"] = [["manager": "x"]]
        #expect(throws: StatusError.self) { try apply(configuration, to: nil, as: "ci") }
    }

    @Test func appliesToKindsWithoutSchemaOfTheirOwn() throws {
        let schema = try #require(ResourceCatalog.builtin.definition(.releases)?.schema)
        func apply(_ bundle: JSON, to live: JSON?) throws -> JSON {
            try ServerSideApply.apply(
                [
                    "apiVersion": "sampan.dev/v1", "kind": "Release", "metadata": ["name": "r-1"],
                    "spec": ["bundle": bundle],
                ],
                to: live,
                manager: "sampan",
                force: false,
                schema: schema,
                apiVersion: "sampan.dev/v1",
                time: Self.time
            )
        }
        let first = try apply(["items": [1, 2]], to: nil)
        #expect(try apply(["items": [3]], to: first)["spec", "bundle"] == ["items": [3]])
    }
}
