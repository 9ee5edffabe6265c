import Foundation
import Review

enum SortOrder: String, CaseIterable {
    case asc, desc
}

/// Which pipelines of a project a client asks for, and in which order.
struct PipelineQuery {
    enum Scope: String, CaseIterable {
        case running, pending, finished
        /// The newest of each branch or tag.
        case branches, tags
    }

    enum Order: String, CaseIterable {
        case id, status, ref
        case updatedAt = "updated_at"
        case userID = "user_id"
    }

    let username: String?
    private let sha: String?
    private let ref: String?
    private let name: String?
    private let status: PipelineStatus?
    private let source: PipelineEvent.Source?
    private let scope: Scope?
    private let updatedAfter: Date?
    private let updatedBefore: Date?
    private let hasErrors: Bool?
    private let order: Order
    private let sort: SortOrder

    /// - Throws: `GitLabError` 400 that names the parameter whose value is unknown.
    init(_ fields: RequestFields) throws {
        username = try fields.string("username")
        sha = try fields.string("sha")
        ref = try fields.string("ref")
        name = try fields.string("name")
        status = try fields.choice("status", of: PipelineStatus.self)
        source = try fields.choice("source", of: PipelineEvent.Source.self)
        scope = try fields.choice("scope", of: Scope.self)
        updatedAfter = try fields.date("updated_after")
        updatedBefore = try fields.date("updated_before")
        hasErrors = try fields.bool("yaml_errors")
        order = try fields.choice("order_by", of: Order.self) ?? .id
        sort = try fields.choice("sort", of: SortOrder.self) ?? .desc
    }

    /// - Parameters:
    ///   - pipelines: all of the project, the newest first.
    ///   - userID: the user of `username`.
    func select(_ pipelines: [PipelineRecord], userID: Int? = nil) -> [PipelineRecord] {
        let found = inScope(pipelines).filter { pipeline in
            (sha == nil || pipeline.sha == sha) && (ref == nil || pipeline.ref == ref)
                && (name == nil || pipeline.name == name) && (status == nil || pipeline.status == status)
                && (source == nil || pipeline.source == source) && (userID == nil || pipeline.userID == userID)
                && (hasErrors == nil || (pipeline.yamlErrors != nil) == hasErrors)
                && updatedAfter.map { pipeline.updatedAt > $0 } ?? true
                && updatedBefore.map { pipeline.updatedAt < $0 } ?? true
        }
        let ascending = found.sorted { isBefore($0, $1) }
        return sort == .asc ? ascending : ascending.reversed()
    }

    // MARK: - Private

    private func inScope(_ pipelines: [PipelineRecord]) -> [PipelineRecord] {
        switch scope {
        case nil: return pipelines
        case .running: return pipelines.filter { $0.status == .running }
        case .pending: return pipelines.filter { $0.status == .pending }
        case .finished: return pipelines.filter(\.status.isComplete)
        case .branches, .tags:
            var seen: Set<String> = []
            return pipelines.filter { $0.isTag == (scope == .tags) && seen.insert($0.ref).inserted }
        }
    }

    /// Equal ones in the order of their numbers.
    private func isBefore(_ left: PipelineRecord, _ right: PipelineRecord) -> Bool {
        switch order {
        case .id: left.id < right.id
        case .status: (left.status.rawValue, left.id) < (right.status.rawValue, right.id)
        case .ref: (left.ref, left.id) < (right.ref, right.id)
        case .updatedAt: (left.updatedAt, left.id) < (right.updatedAt, right.id)
        case .userID: (left.userID, left.id) < (right.userID, right.id)
        }
    }
}
