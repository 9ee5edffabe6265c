import KubernetesModel
import Testing

@testable import Releases

struct LogSelectionTests {
    private static func pod(
        _ name: String,
        owner: (kind: String, name: String)? = nil,
        labels: JSON = [:],
        states: [(id: String, state: String)] = [("c1", "running")]
    ) -> JSON {
        var pod: JSON = ["metadata": ["name": .string(name), "labels": labels]]
        if let owner {
            pod["metadata", "ownerReferences"] = [
                ["kind": .string(owner.kind), "name": .string(owner.name), "uid": "u", "controller": true]
            ]
        }
        pod["status", "containerStatuses"] = .array(
            states.map { ["name": "main", "containerID": .string($0.id), "state": [$0.state: [:]]] }
        )
        return pod
    }

    private static let web = pod(
        "web-5d7-abcde",
        owner: ("ReplicaSet", "web-5d7"),
        labels: ["pod-template-hash": "5d7"]
    )
    private static let admin = pod(
        "web-admin-5d7-abcde",
        owner: ("ReplicaSet", "web-admin-5d7"),
        labels: ["pod-template-hash": "5d7"]
    )

    @Test(arguments: [
        (web, true), (admin, false), (pod("web"), true), (pod("web-1"), false),
        (pod("x-1", owner: ("Job", "web")), true), (pod("web-1", owner: ("Job", "x")), false),
        (pod("x", labels: ["app": "web"]), true), (pod("x", labels: ["app.kubernetes.io/name": "web"]), true),
        (pod("web-z", owner: ("ReplicaSet", "web-z")), false),
    ])
    func findsPodsByTheirWorkload(_ pod: JSON, _ isIncluded: Bool) {
        #expect(LogSelection(application: "web").includes(pod) == isIncluded)
        #expect(LogSelection().includes(pod))
    }

    @Test func tellsEachRunOnceItHasBegun() {
        var selection = LogSelection()
        #expect(selection.news(of: Self.pod("a", states: [("", "waiting")])).isEmpty)
        #expect(selection.news(of: Self.pod("a")).map(\.id) == ["c1"])
        #expect(selection.news(of: Self.pod("a")).isEmpty)
        #expect(selection.news(of: Self.pod("a", states: [("c1", "waiting")])).isEmpty, "it waits for its restart")
        #expect(selection.news(of: Self.pod("a", states: [("c2", "terminated")])).map(\.id) == ["c2"])
        #expect(selection.news(of: Self.pod("b")).map(\.pod) == ["b"])
    }

    @Test func tellsNothingOfOthers() {
        var selection = LogSelection(application: "web")
        #expect(selection.news(of: Self.admin).isEmpty)
        #expect(selection.news(of: Self.web).count == 1)
    }
}
