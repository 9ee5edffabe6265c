/// The jobs of one pipeline and how they wait for one another.
///
/// Names are unique, needs name jobs of the graph and run in no circle.
package struct JobGraph: Hashable, Sendable, Codable {
    package var name: String?
    /// The stages that have jobs, in order.
    package var stages: [String]
    /// In order of their stages, within a stage in the order of the file.
    package var jobs: [CompiledJob]
    package var warnings: [String]

    package func job(_ name: String) -> CompiledJob? { jobs.first { $0.name == name } }
}

package struct CompiledJob: Hashable, Sendable, Codable {
    package var name: String
    package var stage: String
    /// The place of the stage in ``JobGraph/stages``.
    package var stageIndex: Int
    package var image: ImageDefinition?
    package var services: [ServiceDefinition]
    package var beforeScript: [String]
    package var script: [String]
    package var afterScript: [String]
    /// What the configuration sets for this job, global variables first; references are not yet replaced.
    package var variables: [JobVariable]
    package var when: When
    package var allowFailure: AllowFailure
    /// `nil` when the job waits for all earlier stages.
    package var needs: [CompiledNeed]?
    /// The jobs whose artifacts are downloaded; `nil` for those of all needs or earlier stages.
    package var dependencies: [String]?
    package var artifacts: ArtifactsDefinition?
    package var caches: [CacheDefinition]
    package var environment: EnvironmentDefinition?
    package var retry: RetryDefinition
    /// Seconds
    package var timeout: Int?
    package var isInterruptible: Bool
    package var tags: [String]
    package var resourceGroup: String?
    package var coverage: String?
}

package struct CompiledNeed: Hashable, Sendable, Codable {
    package var job: String
    package var wantsArtifacts: Bool
}

package enum Compilation: Hashable, Sendable {
    case pipeline(JobGraph)
    /// Nothing to run, and why.
    case none(String)
}
