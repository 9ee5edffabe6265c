package import KubernetesModel

/// What a `.gitlab-ci.yml` says, checked and with defaults applied: every job stands for itself.
package struct PipelineConfiguration: Sendable {
    /// In order, with `.pre` first and `.post` last.
    package var stages: [String]
    package var variables: OrderedDictionary<String, VariableDefinition>
    package var workflow: Workflow
    /// The jobs that can run (no hidden ones), in the order of the file.
    package var jobs: [JobDefinition]
    package var warnings: [String]
}

package struct Workflow: Sendable {
    package var name: String?
    /// `nil` when every pipeline is allowed.
    package var rules: [Rule]?
}

package struct VariableDefinition: Hashable, Sendable, Codable {
    package var value: String
    package var description: String?
    /// Whether `$NAME` inside the value stands for another variable.
    package var isExpanded = true

    package init(_ value: String, description: String? = nil, isExpanded: Bool = true) {
        self.value = value
        self.description = description
        self.isExpanded = isExpanded
    }
}

package struct JobDefinition: Sendable {
    package var name: String
    package var mark: SourceMark
    package var stage: String
    package var image: ImageDefinition?
    package var services: [ServiceDefinition] = []
    package var beforeScript: [String] = []
    package var script: [String] = []
    package var afterScript: [String] = []
    package var variables: OrderedDictionary<String, VariableDefinition> = [:]
    /// Which global variables the job sees; `nil` for all.
    package var inheritedVariables: [String]?
    package var rules: [Rule]?
    package var only: RefFilter?
    package var except: RefFilter?
    package var needs: [Need]?
    package var dependencies: [String]?
    package var artifacts: ArtifactsDefinition?
    package var caches: [CacheDefinition] = []
    package var environment: EnvironmentDefinition?
    package var when: When?
    package var allowFailure: AllowFailure?
    package var retry = RetryDefinition()
    /// Seconds
    package var timeout: Int?
    package var isInterruptible = false
    package var tags: [String] = []
    package var parallel: Parallel?
    package var resourceGroup: String?
    package var coverage: String?
}

package struct ImageDefinition: Hashable, Sendable, Codable {
    package var name: String
    package var entrypoint: [String]?
    package var pullPolicy: String?
}

package struct ServiceDefinition: Hashable, Sendable, Codable {
    package var name: String
    package var alias: String?
    package var entrypoint: [String]?
    package var command: [String]?
    package var variables: [String: String] = [:]
}

package enum When: String, Hashable, Sendable, Codable, CaseIterable {
    case onSuccess = "on_success"
    case onFailure = "on_failure"
    case always
    case manual
    case never
}

package enum AllowFailure: Hashable, Sendable, Codable {
    case no
    case yes
    case exitCodes([Int])
}

/// One entry of `rules`; all conditions that it states must hold.
package struct Rule: Sendable {
    package var condition: RuleExpression?
    package var changes: [String]?
    package var exists: [String]?
    package var when: When?
    package var allowFailure: AllowFailure?
    package var variables: OrderedDictionary<String, VariableDefinition> = [:]
    package var needs: [Need]?
    package var mark: SourceMark
}

/// `only` or `except`.
package struct RefFilter: Sendable {
    package var refs: [String]?
    package var variables: [RuleExpression]?
    package var changes: [String]?
}

package struct Need: Hashable, Sendable, Codable {
    package var job: String
    package var wantsArtifacts = true
    package var isOptional = false
    /// Variables of the one matrix job that is meant.
    package var matrix: [[String: [String]]] = []
    package var line: Int
}

package struct ArtifactsDefinition: Hashable, Sendable, Codable {
    package enum Condition: String, Hashable, Sendable, Codable, CaseIterable {
        case onSuccess = "on_success"
        case onFailure = "on_failure"
        case always
    }

    package var paths: [String] = []
    package var exclude: [String] = []
    package var includesUntracked = false
    package var name: String?
    package var when = Condition.onSuccess
    /// Seconds that the files are kept; `nil` for the default of the instance, zero for ever.
    package var expireIn: Int?
}

package struct CacheDefinition: Hashable, Sendable, Codable {
    package enum Policy: String, Hashable, Sendable, Codable, CaseIterable {
        case pullPush = "pull-push"
        case pull
        case push
    }

    package var key = "default"
    package var paths: [String] = []
    package var policy = Policy.pullPush
    package var when = ArtifactsDefinition.Condition.onSuccess
}

package struct EnvironmentDefinition: Hashable, Sendable, Codable {
    package enum Action: String, Hashable, Sendable, Codable, CaseIterable {
        case start, prepare, stop, verify, access
    }

    package var name: String
    package var url: String?
    package var action = Action.start
    package var onStop: String?
    package var tier: String?
}

package struct RetryDefinition: Hashable, Sendable, Codable {
    package var max = 0
    /// Failure reasons that are retried; `always` for all.
    package var when = ["always"]
    package var exitCodes: [Int] = []
}

package enum Parallel: Hashable, Sendable {
    case count(Int)
    case matrix([OrderedDictionary<String, [String]>])
}
