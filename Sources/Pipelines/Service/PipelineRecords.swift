package import Foundation
import GRDB
import Review

/// A pipeline as it is stored.
package struct PipelineRecord: SnakeCaseRow, Hashable, Sendable {
    package var id: Int
    package var iid: Int
    package var projectID: Int
    package var name: String?
    package var ref: String
    package var isTag: Bool
    package var sha: String
    package var beforeSHA: String?
    package var source: PipelineEvent.Source
    package var status: PipelineStatus
    package var userID: Int
    package var yamlErrors: String?
    /// A ``CommitFacts``, as JSON.
    package var commit: CommitFacts
    package var createdAt: Date
    package var updatedAt: Date
    package var startedAt: Date?
    package var finishedAt: Date?

    private enum CodingKeys: String, CodingKey {
        case id, iid, name, ref, isTag, sha, source, status, yamlErrors, commit, createdAt, updatedAt, startedAt,
            finishedAt
        case projectID = "projectId"
        case beforeSHA = "beforeSha"
        case userID = "userId"
    }
}

/// A job as it is stored.
package struct JobRecord: SnakeCaseRow, Hashable, Sendable {
    package var id: Int
    package var pipelineID: Int
    package var projectID: Int
    package var name: String
    package var stage: String
    package var stageIndex: Int
    package var status: JobStatus
    package var definition: CompiledJob
    package var allowsFailure: Bool
    package var isRetried: Bool
    /// How often a job of this name ran in its pipeline, this one included.
    package var attempt: Int
    package var failureReason: FailureReason?
    package var exitCode: Int?
    package var message: String?
    package var userID: Int
    package var createdAt: Date
    package var queuedAt: Date?
    package var startedAt: Date?
    package var finishedAt: Date?
    package var erasedAt: Date?

    private enum CodingKeys: String, CodingKey {
        case id, name, stage, stageIndex, status, definition, allowsFailure, isRetried, attempt, failureReason
        case exitCode, message, createdAt, queuedAt, startedAt, finishedAt, erasedAt
        case pipelineID = "pipelineId"
        case projectID = "projectId"
        case userID = "userId"
    }

    var progress: PipelineProgress.Job {
        PipelineProgress.Job(
            id: id,
            name: name,
            stageIndex: stageIndex,
            status: status,
            when: definition.when,
            allowsFailure: allowsFailure,
            needs: definition.needs?.map(\.job),
            isInterruptible: definition.isInterruptible
        )
    }
}

package struct ArtifactRecord: SnakeCaseRow, Hashable, Sendable {
    package var jobID: Int
    package var size: Int
    package var entries: [ArchiveEntry]
    package var createdAt: Date
    package var expireAt: Date?

    private enum CodingKeys: String, CodingKey {
        case size, entries, createdAt, expireAt
        case jobID = "jobId"
    }
}

/// A variable of the instance, a group or a project; its value is encrypted at rest.
package struct VariableRecord: SnakeCaseRow, Hashable, Sendable {
    package var id: Int
    package var scope: VariableScope.Kind
    package var scopeID: Int
    package var key: String
    package var sealedValue: Data
    package var variableType: String
    package var isProtected: Bool
    package var isMasked: Bool
    package var isRaw: Bool
    package var environmentScope: String
    package var description: String?

    private enum CodingKeys: String, CodingKey {
        case id, scope, key, sealedValue, variableType, isProtected, isMasked, isRaw, environmentScope, description
        case scopeID = "scopeId"
    }
}

package struct VariableScope: Hashable, Sendable {
    package enum Kind: String, Hashable, Sendable, Codable {
        case instance, group, project
    }

    package var kind: Kind
    /// Zero for the instance.
    package var id: Int

    package static let instance = VariableScope(kind: .instance, id: 0)
    package static func group(_ id: Int) -> VariableScope { VariableScope(kind: .group, id: id) }
    package static func project(_ id: Int) -> VariableScope { VariableScope(kind: .project, id: id) }
}

package struct EnvironmentRecord: SnakeCaseRow, Hashable, Sendable {
    package var id: Int
    package var projectID: Int
    package var name: String
    package var slug: String
    package var externalURL: String?
    package var state: String
    package var tier: String
    package var createdAt: Date
    package var updatedAt: Date

    private enum CodingKeys: String, CodingKey {
        case id, name, slug, state, tier, createdAt, updatedAt
        case projectID = "projectId"
        case externalURL = "externalUrl"
    }
}

package struct DeploymentRecord: SnakeCaseRow, Hashable, Sendable {
    package var id: Int
    package var iid: Int
    package var projectID: Int
    package var environmentID: Int
    package var jobID: Int?
    package var ref: String
    package var sha: String
    package var userID: Int
    package var status: DeploymentStatus
    package var release: Int?
    package var createdAt: Date
    package var updatedAt: Date

    private enum CodingKeys: String, CodingKey {
        case id, iid, ref, sha, status, release, createdAt, updatedAt
        case projectID = "projectId"
        case environmentID = "environmentId"
        case jobID = "jobId"
        case userID = "userId"
    }
}

package enum DeploymentStatus: String, Hashable, Sendable, Codable, CaseIterable {
    case created, running, success, failed, canceled, blocked
}
