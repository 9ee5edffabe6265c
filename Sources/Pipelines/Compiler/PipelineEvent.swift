/// Why a pipeline is made, and for which commit.
package struct PipelineEvent: Hashable, Sendable {
    /// Values of `CI_PIPELINE_SOURCE`.
    package enum Source: String, Hashable, Sendable, Codable, CaseIterable {
        case push, web, api, trigger, schedule
    }

    package var source: Source
    /// The short name of the branch or tag.
    package var ref: String
    package var isTag: Bool
    package var commit: CommitFacts
    /// The commit that the ref named before; `nil` or zeros for a new ref.
    package var beforeSHA: String?
    /// The files that the push changed; `nil` where there is nothing to compare with, and every `changes` then holds.
    package var changedPaths: [String]?
    /// Given with the request that makes the pipeline; they win over all others.
    package var variables: [JobVariable]

    package init(
        source: Source,
        ref: String,
        isTag: Bool = false,
        commit: CommitFacts,
        beforeSHA: String? = nil,
        changedPaths: [String]? = nil,
        variables: [JobVariable] = []
    ) {
        self.source = source
        self.ref = ref
        self.isTag = isTag
        self.commit = commit
        self.beforeSHA = beforeSHA
        self.changedPaths = changedPaths
        self.variables = variables
    }
}

package struct CommitFacts: Hashable, Sendable, Codable {
    package var sha: String
    package var message: String
    /// `Name <mail>`
    package var author: String
    /// ISO 8601
    package var timestamp: String
    /// The message of the annotated tag that names the commit.
    package var tagMessage: String?

    package init(sha: String, message: String = "", author: String = "", timestamp: String = "") {
        self.sha = sha
        self.message = message
        self.author = author
        self.timestamp = timestamp
    }

    package var title: String { String(message.prefix { !$0.isNewline }) }

    /// The message without its title.
    package var description: String { String(message.dropFirst(title.count)).trimmed }

    /// Whether the author asked for no pipeline: `[ci skip]` or `[skip ci]`.
    package var skipsPipeline: Bool {
        let lowered = message.lowercased()
        return ["[ci skip]", "[skip ci]", "[ci-skip]", "[skip-ci]"].contains(where: lowered.contains)
    }
}
