import KubernetesModel
import Testing

@testable import Releases

struct ReadinessTests {
    private static func deployment(_ status: JSON) -> JSON {
        ["kind": "Deployment", "metadata": ["generation": 2], "spec": ["replicas": 2], "status": status]
    }

    @Test(
        arguments: [
            (["observedGeneration": 1], .waiting("not seen by its controller yet")),
            (["observedGeneration": 2, "updatedReplicas": 1], .waiting("1 of 2 new replicas made")),
            (["observedGeneration": 2, "updatedReplicas": 2, "replicas": 3], .waiting("1 old replicas still run")),
            (
                ["observedGeneration": 2, "updatedReplicas": 2, "replicas": 2, "availableReplicas": 1],
                .waiting("1 of 2 new replicas available")
            ),
            (["observedGeneration": 2, "updatedReplicas": 2, "replicas": 2, "availableReplicas": 2], .ready),
            (
                [
                    "observedGeneration": 2,
                    "conditions": [
                        [
                            "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
                            "message": "late",
                        ]
                    ],
                ],
                .failed("late")
            ),
        ] as [(JSON, Readiness)]
    )
    func judgesDeployments(status: JSON, readiness: Readiness) {
        #expect(Readiness(of: Self.deployment(status)) == readiness)
    }

    @Test(
        arguments: [
            (["kind": "Job", "status": ["conditions": [["type": "Complete", "status": "True"]]]], .ready),
            (
                [
                    "kind": "Job",
                    "status": ["conditions": [["type": "Failed", "status": "True", "message": "gave up"]]],
                ], .failed("gave up")
            ),
            (["kind": "Job", "status": ["active": 1]], .waiting("running")), (["kind": "Service"], .ready),
            (
                ["kind": "Pod", "status": ["phase": "Running", "conditions": [["type": "Ready", "status": "True"]]]],
                .ready
            ),
            (["kind": "Pod", "status": ["phase": "Pending"]], .waiting("not ready")),
            (
                [
                    "kind": "DaemonSet",
                    "status": ["desiredNumberScheduled": 1, "updatedNumberScheduled": 1, "numberAvailable": 0],
                ], .waiting("0 of 1 pods available")
            ),
            (
                [
                    "kind": "StatefulSet", "spec": ["replicas": 1],
                    "status": ["updatedReplicas": 1, "readyReplicas": 1],
                ], .ready
            ),
        ] as [(JSON, Readiness)]
    )
    func judgesOtherKinds(object: JSON, readiness: Readiness) { #expect(Readiness(of: object) == readiness) }
}

struct PodTroubleTests {
    private static func pod(_ container: JSON) -> JSON { ["status": ["containerStatuses": [container]]] }

    @Test(
        arguments: [
            (
                ["name": "a", "state": ["waiting": ["reason": "ImagePullBackOff", "message": "no"]]],
                "ImagePullBackOff", .final
            ),
            (
                ["name": "a", "state": ["waiting": ["reason": "CreateContainerConfigError", "message": "no"]]],
                "CreateContainerConfigError", .final
            ),
            (
                ["name": "a", "state": ["waiting": ["reason": "ErrImagePull", "message": "no"]]], "ErrImagePull",
                .passing
            ),
            (
                [
                    "name": "a", "restartCount": 1, "state": ["waiting": ["reason": "CrashLoopBackOff"]],
                    "lastState": ["terminated": ["exitCode": 3]],
                ], "CrashLoopBackOff", .passing
            ),
            (
                [
                    "name": "a", "restartCount": 2, "state": ["waiting": ["reason": "CrashLoopBackOff"]],
                    "lastState": ["terminated": ["exitCode": 3]],
                ], "CrashLoopBackOff", .final
            ),
            (
                [
                    "name": "a", "restartCount": 2, "state": ["running": [:]],
                    "lastState": ["terminated": ["exitCode": 0, "reason": "Completed"]],
                ], "Completed", .final
            ),
        ] as [(JSON, String, PodTrouble.Severity)]
    )
    func findsTheReason(container: JSON, reason: String, severity: PodTrouble.Severity) {
        let trouble = PodTrouble.of(Self.pod(container))
        #expect(trouble?.reason == reason && trouble?.severity == severity)
    }

    @Test(
        arguments: [
            [
                "name": "a", "ready": true, "restartCount": 9, "state": ["running": [:]],
                "lastState": ["terminated": ["exitCode": 1]],
            ],
            ["name": "a", "state": ["waiting": ["reason": "ContainerCreating"]]],
            ["name": "a", "state": ["running": [:]]],
            ["name": "a", "state": ["terminated": ["exitCode": 0, "reason": "Completed"]]],
        ] as [JSON]
    )
    func leavesHealthyPodsAlone(container: JSON) { #expect(PodTrouble.of(Self.pod(container)) == nil) }

    @Test func knowsPodsThatFitNowhere() {
        let pod: JSON = [
            "status": [
                "conditions": [["type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"]]
            ]
        ]
        #expect(
            PodTrouble.of(pod)
                == PodTrouble(severity: .lasting, reason: "FailedScheduling", message: "0/1 nodes are available")
        )
    }
}

struct ReleaseHistoryTests {
    private func release(_ number: Int, _ phase: Release.Phase, rollbackOf: Int? = nil) -> Release {
        var release = Release(
            number: number,
            environment: ReleaseEnvironment(project: OpenAccess.project, name: "daily"),
            origin: OpenAccess.origin,
            images: [],
            bundle: ReleaseBundle(objects: []),
            rollbackOf: rollbackOf
        )
        release.json["status"] = ["phase": .string(phase.rawValue)]
        return release
    }

    @Test func returnsToWhatRanBefore() throws {
        let history = ReleaseHistory([
            release(1, .superseded), release(3, .failed), release(2, .superseded), release(4, .deployed),
        ])
        #expect(try history.rollbackTarget(nil).number == 2)
        #expect(try history.rollbackTarget(1).number == 1)
        #expect(throws: ReleaseError.self) { try history.rollbackTarget(9) }
        let returned = ReleaseHistory([
            release(1, .superseded), release(2, .superseded), release(4, .superseded),
            release(5, .deployed, rollbackOf: 2),
        ])
        #expect(try returned.rollbackTarget(nil).number == 1)
        #expect(throws: ReleaseError.self) { try ReleaseHistory([release(1, .deployed)]).rollbackTarget(nil) }
    }

    @Test func keepsTheNewestAndWhatRuns() {
        let history = ReleaseHistory([release(1, .deployed)] + (2...14).map { release($0, .failed) })
        #expect(history.retained.map(\.number) == [1] + Array(5...14))
        #expect(history.outdated.map(\.number) == [2, 3, 4])
    }
}
