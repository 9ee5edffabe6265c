import Pipelines
import Synchronization
import Testing

@testable import Releases

struct DeploymentReporterTests {
    private final class Recorder: DeploymentRecorder {
        private let recorded = Mutex<[RecordedDeployment]>([])
        var all: [RecordedDeployment] { recorded.withLock { $0 } }
        func recordDeployment(_ deployment: RecordedDeployment) async throws {
            recorded.withLock { $0.append(deployment) }
        }
    }

    private func progress(_ step: ReleaseProgress.Step, isRollback: Bool = false) -> ReleaseProgress {
        ReleaseProgress(
            project: OpenAccess.project,
            environment: "daily",
            origin: OpenAccess.origin,
            number: 5,
            isRollback: isRollback,
            step: step,
            url: "http://shop",
            reason: ""
        )
    }

    @Test func tellsTheDeploymentOfTheJob() async throws {
        let recorder = Recorder()
        for step in [ReleaseProgress.Step.running, .success] {
            try await DeploymentReporter(recorder: recorder).releaseChanged(progress(step))
        }
        #expect(recorder.all.map(\.status) == [.running, .success])
        #expect(recorder.all.map(\.jobID) == [4, 4])
        #expect(
            recorder.all.last?.sha == "c0ffee" && recorder.all.last?.release == 5
                && recorder.all.last?.url == "http://shop"
        )
    }

    @Test func tellsARollbackOnceAndWithoutTheJobThatItReturnsTo() async throws {
        let recorder = Recorder()
        for step in [ReleaseProgress.Step.running, .failed] {
            try await DeploymentReporter(recorder: recorder).releaseChanged(progress(step, isRollback: true))
        }
        #expect(recorder.all.map(\.status) == [.failed])
        #expect(recorder.all.map(\.jobID) == [nil])
    }
}
