import TestKit
import Testing

/// One platform for all tests of a suite: up before the first, down after the last, nothing of it left on the machine.
struct JourneyPlatform: SuiteTrait, TestScoping {
    @TaskLocal private static var running: TestPlatform?

    /// The size of a disk of its own; `nil` leaves the home on the machine's disk.
    var diskMebibytes: Int?

    /// The platform of the suite that runs.
    static var current: TestPlatform {
        get throws { try #require(running, "the suite needs the trait .journeyPlatform") }
    }

    @concurrent
    func provideScope(
        for test: Test,
        testCase: Test.Case?,
        performing function: @Sendable @concurrent () async throws -> Void
    ) async throws {
        try await TestPlatform.with(diskMebibytes: diskMebibytes) { platform in
            try await platform.addBaseImages("busybox:1.36")
            try await Self.$running.withValue(platform) { try await function() }
        }
    }
}

extension Trait where Self == JourneyPlatform {
    static var journeyPlatform: JourneyPlatform { JourneyPlatform() }

    static func journeyPlatform(diskMebibytes: Int) -> JourneyPlatform {
        JourneyPlatform(diskMebibytes: diskMebibytes)
    }
}
