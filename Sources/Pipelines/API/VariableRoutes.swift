import HTTPTypes
import Hummingbird
import KubernetesModel
import Review

/// The CI variables of instance, groups and projects.
extension PipelineService {
    func addVariableRoutes<Context: RequestContext>(to router: some RouterMethods<Context>, _ web: WebAuthentication) {
        addVariableRoutes(to: router, web, "/projects/:id/variables") { call in
            .project(try await call.project(requiring: .maintain).id)
        }
        addVariableRoutes(to: router, web, "/groups/:id/variables") { call in
            .group(try await self.group(call).id)
        }
        addVariableRoutes(to: router, web, "/admin/ci/variables") { call in
            _ = try call.requireAdministrator()
            return .instance
        }
    }

    private func addVariableRoutes<Context: RequestContext>(
        to router: some RouterMethods<Context>,
        _ web: WebAuthentication,
        _ path: String,
        scope: @escaping @Sendable (APICall) async throws -> VariableScope
    ) {
        router.api(.get, path, web) { call in
            try call.list(try await self.store.variables(try await scope(call)), self.json)
        }
        router.api(.post, path, web) { call in
            let scope = try await scope(call)
            let record = try self.newVariable(call.fields, scope)
            if try await self.store.variables(scope).contains(where: { $0.isSame(as: record) }) {
                throw GitLabError.invalid("key", "(\(record.key)) has already been taken")
            }
            return JSONResponse(json: try await self.save(record, scope, call, "variable_created"), status: .created)
        }
        router.api(.get, "\(path)/:key", web) { call in
            JSONResponse(json: try self.json(try await self.variable(call, try await scope(call))))
        }
        router.api(.put, "\(path)/:key", web) { call in
            let scope = try await scope(call)
            var record = try await self.variable(call, scope)
            try self.apply(call.fields, to: &record, scope)
            return JSONResponse(json: try await self.save(record, scope, call, "variable_updated"))
        }
        router.api(.delete, "\(path)/:key", web) { call in
            let scope = try await scope(call)
            let record = try await self.variable(call, scope)
            try await self.store.deleteVariable(record.id)
            try await self.audit("variable_deleted", record, scope, call)
            return EmptyResponse()
        }
    }

    // MARK: - Parts

    private func group(_ call: APICall) async throws -> Namespace {
        let reference = try call.parameter("id")
        let found =
            if let id = Int(reference) { try await forge.namespace(id) } else {
                try await forge.namespace(path: reference)
            }
        guard let group = found, group.kind == .group,
            try await forge.accessLevel(of: call.principal, in: group) >= .guest
        else {
            throw GitLabError.notFound("Group")
        }
        guard try await forge.accessLevel(of: call.principal, in: group) >= .owner else {
            throw GitLabError.forbidden()
        }
        _ = try call.requireUser()
        return group
    }

    private func variable(_ call: APICall, _ scope: VariableScope) async throws -> VariableRecord {
        let key = try call.parameter("key")
        let found = try await store.variables(scope).filter { $0.key == key }
        let environment =
            try call.fields["filter"].flatMap { filter -> String? in
                if case .object(let members) = filter { return try RequestFields(members).string("environment_scope") }
                return nil
            } ?? call.fields.string("filter[environment_scope]")
        if let environment { return try found.first { $0.environmentScope == environment }.orNotFound() }
        guard found.count <= 1 else {
            throw GitLabError.conflict(
                "There are multiple variables with provided parameters. Please use 'filter[environment_scope]'"
            )
        }
        return try found.first.orNotFound()
    }

    private func newVariable(_ fields: RequestFields, _ scope: VariableScope) throws -> VariableRecord {
        var record = VariableRecord(
            id: 0,
            scope: scope.kind,
            scopeID: scope.id,
            key: try fields.required("key"),
            sealedValue: try seal("", in: scope),
            variableType: "env_var",
            isProtected: false,
            isMasked: false,
            isRaw: false,
            environmentScope: "*"
        )
        guard fields.has("value") else { throw GitLabError.badParameter("value", "is missing") }
        guard record.key.isVariableName else {
            throw GitLabError.invalid("key", "can contain only letters, digits and '_'.")
        }
        try apply(fields, to: &record, scope)
        return record
    }

    private func apply(_ fields: RequestFields, to record: inout VariableRecord, _ scope: VariableScope) throws {
        if let value = try fields.string("value") { record.sealedValue = try seal(value, in: scope) }
        if let type = try fields.string("variable_type") {
            guard ["env_var", "file"].contains(type) else {
                throw GitLabError.badParameter(
                    "variable_type",
                    "does not have a valid value: it must be env_var or file"
                )
            }
            record.variableType = type
        }
        record.isProtected = try fields.bool("protected") ?? record.isProtected
        record.isMasked = try fields.bool("masked") ?? fields.bool("masked_and_hidden") ?? record.isMasked
        record.isRaw = try fields.bool("raw") ?? record.isRaw
        record.environmentScope = try fields.string("environment_scope") ?? record.environmentScope
        record.description = try fields.string("description") ?? record.description
        let value = try value(of: record)
        guard value.utf8.count <= 64 * 1024 else {
            throw GitLabError.invalid("value", "is too long (maximum is 65536 bytes)")
        }
        if record.isMasked, value.utf8.count < TraceFilter.minimumSecretLength || value.contains(where: \.isWhitespace)
        {
            let problem =
                "cannot be masked: it needs at least \(TraceFilter.minimumSecretLength) characters and no white space"
            throw GitLabError.invalid("value", problem)
        }
    }

    private func save(
        _ record: VariableRecord,
        _ scope: VariableScope,
        _ call: APICall,
        _ action: String
    ) async throws -> JSON {
        try await store.save(record)
        try await audit(action, record, scope, call)
        return try json(record)
    }

    private func audit(_ action: String, _ record: VariableRecord, _ scope: VariableScope, _ call: APICall) async throws
    {
        let target = "\(scope.kind.rawValue):\(scope.id)"
        try await forge.audit(action, of: target, details: record.key, by: try await call.author())
    }

    private func json(_ record: VariableRecord) throws -> JSON {
        PipelinePresenter.variable(record, value: try value(of: record))
    }
}

extension VariableRecord {
    fileprivate func isSame(as other: VariableRecord) -> Bool {
        key == other.key && environmentScope == other.environmentScope
    }
}

extension VariableRecord? {
    fileprivate func orNotFound() throws -> VariableRecord {
        guard let self else { throw GitLabError.notFound("Variable") }
        return self
    }
}
