import Foundation
import GRDB

/// The images that were built, in SQLite: deploys find the digests of their pipeline here.
package final class ImageBuildStore: Sendable {
    private let database: DatabaseQueue

    /// Opens the database at `path` and brings its tables up to date.
    package init(path: String) throws {
        var configuration = Configuration()
        configuration.journalMode = .wal
        configuration.busyMode = .timeout(5)
        database = try DatabaseQueue(path: path, configuration: configuration)
        try database.writeWithoutTransaction { database in
            try database.execute(sql: "PRAGMA synchronous=FULL")
            guard try Int.fetchOne(database, sql: "PRAGMA synchronous") == 2 else {
                throw ReleaseError("SQLite does not sync its commits: PRAGMA synchronous=FULL had no effect")
            }
        }
        try Self.migrations.migrate(database)
    }

    func record(_ build: ImageBuild) async throws {
        let ports = build.ports.map(String.init).joined(separator: ",")
        let origin = build.origin
        try await database.write { database in
            try database.execute(
                sql: """
                    INSERT INTO image_builds
                        (project_id, pipeline_id, job_id, job_name, commit_sha, ref, name, reference, digest, ports, created_at)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                    """,
                arguments: [
                    build.projectID, origin.pipelineID, origin.jobID, origin.jobName, origin.commit, origin.ref,
                    build.name,
                    build.reference, build.digest, ports, Date(),
                ]
            )
        }
    }

    /// The images of a pipeline, the last build of each name; of the commit where the pipeline built none (a pipeline that only
    /// deploys, or a deploy by hand).
    package func images(project: Int, origin: ReleaseOrigin) async throws -> [ImageBuild] {
        let ofPipeline =
            origin.pipelineID == 0 ? [] : try await images(project: project, "pipeline_id", origin.pipelineID)
        guard ofPipeline.isEmpty, !origin.commit.isEmpty else { return ofPipeline }
        return try await images(project: project, "commit_sha", origin.commit)
    }

    // MARK: - Private

    private func images(
        project: Int,
        _ column: String,
        _ value: any DatabaseValueConvertible & Sendable
    ) async throws -> [ImageBuild] {
        try await database.read { database in
            let rows = try Row.fetchAll(
                database,
                sql: """
                    SELECT * FROM image_builds WHERE id IN
                        (SELECT max(id) FROM image_builds WHERE project_id = ? AND \(column) = ? GROUP BY name)
                    ORDER BY name
                    """,
                arguments: [project, value]
            )
            return rows.map(Self.build)
        }
    }

    private static func build(_ row: Row) -> ImageBuild {
        let ports: String = row["ports"]
        return ImageBuild(
            projectID: row["project_id"],
            origin: ReleaseOrigin(
                commit: row["commit_sha"],
                ref: row["ref"],
                pipelineID: row["pipeline_id"],
                jobID: row["job_id"],
                jobName: row["job_name"]
            ),
            name: row["name"],
            reference: row["reference"],
            digest: row["digest"],
            ports: ports.split(separator: ",").compactMap { Int($0) }
        )
    }

    private static var migrations: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("image_builds") { database in
            try database.create(table: "image_builds") { table in
                table.autoIncrementedPrimaryKey("id")
                table.column("project_id", .integer).notNull()
                table.column("pipeline_id", .integer).notNull()
                table.column("job_id", .integer).notNull()
                table.column("job_name", .text).notNull()
                table.column("commit_sha", .text).notNull()
                table.column("ref", .text).notNull()
                table.column("name", .text).notNull()
                table.column("reference", .text).notNull()
                table.column("digest", .text).notNull()
                table.column("ports", .text).notNull()
                table.column("created_at", .datetime).notNull()
            }
            try database.create(indexOn: "image_builds", columns: ["project_id", "pipeline_id"])
            try database.create(indexOn: "image_builds", columns: ["project_id", "commit_sha"])
        }
        return migrator
    }
}
