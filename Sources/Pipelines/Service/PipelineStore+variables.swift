import Foundation
import GRDB
import Review

/// The variables of instance, groups and projects.
extension PipelineStore {
    func variables(_ scope: VariableScope) async throws -> [VariableRecord] {
        try await database.read { database in
            try VariableRecord.fetchAll(
                database,
                sql: "SELECT * FROM variables WHERE scope = ? AND scope_id = ? ORDER BY key, environment_scope",
                arguments: [scope.kind.rawValue, scope.id]
            )
        }
    }

    /// Adds a variable or replaces the one with the id of `record`.
    func save(_ record: VariableRecord) async throws {
        try await database.write { database in
            try database.execute(
                sql: """
                    INSERT INTO variables (id, scope, scope_id, key, sealed_value, variable_type, is_protected, is_masked, is_raw,
                        environment_scope, description)
                    VALUES (NULLIF(?, 0), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                    ON CONFLICT (id) DO UPDATE SET key = excluded.key, sealed_value = excluded.sealed_value,
                        variable_type = excluded.variable_type, is_protected = excluded.is_protected,
                        is_masked = excluded.is_masked, is_raw = excluded.is_raw,
                        environment_scope = excluded.environment_scope, description = excluded.description
                    """,
                arguments: [
                    record.id, record.scope.rawValue, record.scopeID, record.key, record.sealedValue,
                    record.variableType,
                    record.isProtected, record.isMasked, record.isRaw, record.environmentScope, record.description,
                ]
            )
        }
    }

    func deleteVariable(_ id: Int) async throws {
        try await database.write { try $0.execute(sql: "DELETE FROM variables WHERE id = ?", arguments: [id]) }
    }
}

/// Selects the variables that a job may see. Pure.
enum VariableSelection {
    /// - Parameter records: of all scopes that apply, the weakest first.
    static func select(
        _ records: [VariableRecord],
        isRefProtected: Bool,
        environment: String?
    ) -> [VariableRecord] {
        records.filter { record in
            (isRefProtected || !record.isProtected) && matches(record.environmentScope, environment)
        }
        .enumerated()
        // Within one scope the more exact environment wins: it comes later.
        .sorted {
            ($0.element.scope.rank, $0.element.environmentScope.count, $0.offset) < (
                $1.element.scope.rank, $1.element.environmentScope.count, $1.offset
            )
        }
        .map(\.element)
    }

    static func matches(_ scope: String, _ environment: String?) -> Bool {
        guard scope != "*" else { return true }
        guard let environment else { return false }
        let pattern = scope.split(separator: "*", omittingEmptySubsequences: false).map(String.init)
        guard pattern.count > 1 else { return scope == environment }
        guard environment.hasPrefix(pattern[0]), environment.hasSuffix(pattern[pattern.count - 1]) else { return false }
        return environment.count >= pattern[0].count + pattern[pattern.count - 1].count
    }
}

extension VariableScope.Kind {
    fileprivate var rank: Int {
        switch self {
        case .instance: 0
        case .group: 1
        case .project: 2
        }
    }
}
