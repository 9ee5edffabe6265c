import Foundation
import KubernetesModel
import Review

/// Rows in the shapes of GitLab's API.
struct PipelinePresenter {
    let project: Project
    let externalURL: String

    private var projectURL: String { "\(externalURL)/\(project.pathWithNamespace)" }

    func pipeline(_ pipeline: PipelineRecord) -> JSON {
        [
            "id": JSON(pipeline.id), "iid": JSON(pipeline.iid), "project_id": JSON(pipeline.projectID),
            "sha": .string(pipeline.sha), "ref": .string(pipeline.ref), "status": .string(pipeline.status.rawValue),
            "source": .string(pipeline.source.rawValue), "name": .optional(pipeline.name),
            "created_at": time(pipeline.createdAt), "updated_at": time(pipeline.updatedAt),
            "web_url": .string("\(projectURL)/-/pipelines/\(pipeline.id)"),
        ]
    }

    func detailed(_ pipeline: PipelineRecord, user: User?) -> JSON {
        var json = self.pipeline(pipeline)
        json["before_sha"] = .string(pipeline.beforeSHA ?? String(repeating: "0", count: 40))
        json["tag"] = .bool(pipeline.isTag)
        json["yaml_errors"] = .optional(pipeline.yamlErrors)
        json["user"] = self.user(user)
        json["started_at"] = time(pipeline.startedAt)
        json["finished_at"] = time(pipeline.finishedAt)
        json["committed_at"] = .null
        json["duration"] = seconds(pipeline.startedAt, pipeline.finishedAt)
        json["queued_duration"] = seconds(pipeline.createdAt, pipeline.startedAt)
        json["coverage"] = .null
        json["detailed_status"] = [
            "icon": .string("status_\(pipeline.status.rawValue)"), "text": .string(pipeline.status.rawValue),
            "label": .string(pipeline.status.rawValue), "group": .string(pipeline.status.rawValue), "has_details": true,
            "details_path": .string("/\(project.pathWithNamespace)/-/pipelines/\(pipeline.id)"),
        ]
        return json
    }

    func job(_ job: JobRecord, _ pipeline: PipelineRecord, user: User?, artifacts: ArtifactRecord? = nil) -> JSON {
        [
            "id": JSON(job.id), "name": .string(job.name), "stage": .string(job.stage),
            "status": .string(job.status.rawValue),
            "ref": .string(pipeline.ref), "tag": .bool(pipeline.isTag), "coverage": .null,
            "allow_failure": .bool(job.allowsFailure), "created_at": time(job.createdAt),
            "started_at": time(job.startedAt),
            "finished_at": time(job.finishedAt), "erased_at": time(job.erasedAt),
            "duration": seconds(job.startedAt, job.finishedAt), "queued_duration": seconds(job.queuedAt, job.startedAt),
            "failure_reason": .optional(job.failureReason?.rawValue), "user": self.user(user),
            "commit": commit(pipeline),
            "pipeline": self.pipeline(pipeline), "web_url": .string("\(projectURL)/-/jobs/\(job.id)"),
            "project": ["ci_job_token_scope_enabled": true], "runner": .null, "archived": false,
            "retried": .bool(job.isRetried), "attempt": JSON(job.attempt), "exit_code": .optional(job.exitCode),
            "failure_message": .optional(job.message), "tag_list": JSON(job.definition.tags),
            "artifacts": .array(artifacts.map { [file($0)] } ?? []), "artifacts_file": artifacts.map(file) ?? .null,
            "artifacts_expire_at": time(artifacts?.expireAt),
        ]
    }

    private func file(_ artifacts: ArtifactRecord) -> JSON {
        ["file_type": "archive", "filename": "artifacts.zip", "size": JSON(artifacts.size), "file_format": "zip"]
    }

    private func commit(_ pipeline: PipelineRecord) -> JSON {
        [
            "id": .string(pipeline.sha), "short_id": .string(String(pipeline.sha.prefix(8))),
            "title": .string(pipeline.commit.title), "message": .string(pipeline.commit.message),
            "author_name": .string(pipeline.commit.author), "created_at": .string(pipeline.commit.timestamp),
        ]
    }

    /// A job as a commit's status.
    func commitStatus(_ job: JobRecord, _ pipeline: PipelineRecord, user: User?) -> JSON {
        [
            "id": JSON(job.id), "sha": .string(pipeline.sha), "ref": .string(pipeline.ref),
            "status": .string(job.status.rawValue),
            "name": .string(job.name), "target_url": .string("\(projectURL)/-/jobs/\(job.id)"), "description": .null,
            "created_at": time(job.createdAt), "started_at": time(job.startedAt), "finished_at": time(job.finishedAt),
            "allow_failure": .bool(job.allowsFailure), "coverage": .null, "pipeline_id": JSON(pipeline.id),
            "author": self.user(user),
        ]
    }

    func environment(_ environment: EnvironmentRecord, last: DeploymentRecord? = nil) -> JSON {
        [
            "id": JSON(environment.id), "name": .string(environment.name), "slug": .string(environment.slug),
            "external_url": .optional(environment.externalURL), "state": .string(environment.state),
            "tier": .string(environment.tier), "created_at": time(environment.createdAt),
            "updated_at": time(environment.updatedAt),
            "last_deployment": last.map { deployment($0, environment, nil, user: nil) } ?? .null,
        ]
    }

    func deployment(
        _ deployment: DeploymentRecord,
        _ environment: EnvironmentRecord,
        _ deployable: JSON?,
        user: User?
    ) -> JSON {
        [
            "id": JSON(deployment.id), "iid": JSON(deployment.iid), "ref": .string(deployment.ref),
            "sha": .string(deployment.sha),
            "status": .string(deployment.status.rawValue), "created_at": time(deployment.createdAt),
            "updated_at": time(deployment.updatedAt), "user": self.user(user), "release": .optional(deployment.release),
            "environment": [
                "id": JSON(environment.id), "name": .string(environment.name),
                "external_url": .optional(environment.externalURL),
            ],
            "deployable": deployable ?? .null,
        ]
    }

    static func variable(_ record: VariableRecord, value: String) -> JSON {
        [
            "key": .string(record.key), "value": .string(value), "variable_type": .string(record.variableType),
            "protected": .bool(record.isProtected), "masked": .bool(record.isMasked), "hidden": false,
            "raw": .bool(record.isRaw), "environment_scope": .string(record.environmentScope),
            "description": .optional(record.description),
        ]
    }

    private func user(_ user: User?) -> JSON {
        guard let user else { return .null }
        return [
            "id": JSON(user.id), "username": .string(user.username), "name": .string(user.name),
            "state": .string(user.state.rawValue), "avatar_url": .null,
            "web_url": .string("\(externalURL)/\(user.username)"),
        ]
    }

    private func time(_ date: Date?) -> JSON { date.map { .string(APIEncoder.timestamp($0)) } ?? .null }

    private func seconds(_ start: Date?, _ end: Date?) -> JSON {
        guard let start, let end else { return .null }
        return .number((end.timeIntervalSince(start) * 1000).rounded() / 1000)
    }
}
