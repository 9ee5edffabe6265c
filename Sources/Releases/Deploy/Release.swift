import KubernetesModel

/// A stored release: the object `releases.sampan.dev` of an environment's namespace.
struct Release: ObjectView {
    enum Phase: String, Sendable {
        /// Stored, not applied.
        case pending
        /// Applied, not ready yet.
        case deploying
        /// What the environment runs.
        case deployed
        /// Was deployed until a later one was.
        case superseded
        case failed

        var isFinished: Bool { self != .pending && self != .deploying }
    }

    var json: JSON
    init(_ json: JSON) { self.json = json }

    init(
        number: Int,
        environment: ReleaseEnvironment,
        origin: ReleaseOrigin,
        images: [ImageBuild],
        bundle: ReleaseBundle,
        rollbackOf: Int? = nil,
        request: String = ""
    ) {
        json = [
            "apiVersion": .string(Resource.releases.apiVersion), "kind": "Release",
            "metadata": [
                "name": .string(Self.name(number)), "namespace": .string(environment.namespace),
                "labels": JSON(environment.labels),
            ],
        ]
        var spec: JSON = [
            "project": .string(environment.project.path), "environment": .string(environment.name),
            "number": JSON(number),
            "commit": .string(origin.commit), "ref": .string(origin.ref), "pipeline": JSON(origin.pipelineID),
            "job": JSON(origin.jobID), "projectID": JSON(environment.project.id), "userID": JSON(origin.userID),
            "images": .array(
                images.map {
                    ["name": .string($0.name), "reference": .string($0.reference), "digest": .string($0.digest)]
                }
            ),
            "bundle": bundle.json,
        ]
        if let rollbackOf { spec["rollbackOf"] = JSON(rollbackOf) }
        if !request.isEmpty { spec["request"] = .string(request) }
        json["spec"] = spec
    }

    static func name(_ number: Int) -> String { "r-\(number)" }

    var number: Int { spec["number"]?.int ?? 0 }
    var rollbackOf: Int? { spec["rollbackOf"]?.int }
    /// Names the request that made it, so that the same request sent again does not make another one; empty when it had no name.
    var request: String { spec["request"]?.string ?? "" }
    var projectID: Int { spec["projectID"]?.int ?? 0 }
    var projectPath: String { spec["project"]?.string ?? "" }
    var environmentName: String { spec["environment"]?.string ?? "" }
    var phase: Phase { Phase(rawValue: status["phase"]?.string ?? "") ?? .pending }
    var message: String { status["message"]?.string ?? "" }
    var bundle: ReleaseBundle { ReleaseBundle(spec["bundle"]) }
    var origin: ReleaseOrigin {
        ReleaseOrigin(
            commit: spec["commit"]?.string ?? "",
            ref: spec["ref"]?.string ?? "",
            pipelineID: spec["pipeline"]?.int ?? 0,
            jobID: spec["job"]?.int ?? 0,
            userID: spec["userID"]?.int ?? 0
        )
    }

    /// What `GET …/releases` says about it.
    var summary: JSON {
        var summary: JSON = ["number": JSON(number), "phase": .string(phase.rawValue), "message": .string(message)]
        for field in ["environment", "commit", "ref", "pipeline", "job", "images", "rollbackOf"]
        where spec[field] != nil {
            summary[field == "rollbackOf" ? "rollback_of" : field] = spec[field]
        }
        summary["created_at"] = .string(creationTimestamp)
        return summary
    }
}

/// The releases of one environment, oldest first.
struct ReleaseHistory: Hashable, Sendable {
    /// As many are kept.
    static let retention = 10

    let releases: [Release]

    init(_ releases: [Release]) {
        self.releases = releases.sorted { $0.number < $1.number }
    }

    var nextNumber: Int { (releases.last?.number ?? 0) + 1 }
    /// What the environment runs.
    var deployed: Release? { releases.last { $0.phase == .deployed } }
    var unfinished: [Release] { releases.filter { !$0.phase.isFinished } }

    /// What a rollback goes to: release `number`, or the one that was deployed before what runs now. A rollback counts as the
    /// release that it brought back.
    func rollbackTarget(_ number: Int?) throws -> Release {
        if let number {
            guard let release = releases.first(where: { $0.number == number }) else {
                let kept = releases.map { String($0.number) }.joined(separator: ", ")
                throw ReleaseError("there is no release \(number); kept are: \(kept.isEmpty ? "none" : kept)")
            }
            return release
        }
        let current = deployed.map { $0.rollbackOf ?? $0.number } ?? nextNumber
        guard
            let target = releases.last(where: { $0.phase == .superseded && $0.number < current && $0.rollbackOf == nil }
            )
        else { throw ReleaseError("there is no earlier release to return to") }
        return target
    }

    /// Those that are kept for a return: the newest, and what runs.
    var retained: [Release] {
        let newest = releases.suffix(Self.retention)
        guard let deployed, !newest.contains(deployed) else { return Array(newest) }
        return [deployed] + newest
    }

    var outdated: [Release] { releases.filter { !retained.contains($0) } }
}
