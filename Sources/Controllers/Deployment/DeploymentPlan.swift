import KubernetesModel

/// One step of a Deployment towards its specification, from what is there. Pure.
///
/// A step changes as little as keeps both promises of a rolling update: never fewer pods available than ``DeploymentView/minimumAvailable``,
/// never more pods than ``DeploymentView/maximumPods``. The events of what it changed lead to the next step.
struct DeploymentPlan: Equatable {
    enum Action: Equatable {
        case create(ReplicaSetView)
        /// Writes the object as given, if nobody else wrote it meanwhile. `from` is the number of replicas before.
        case update(ReplicaSetView, from: Int)
        case delete(ReplicaSetView)
    }

    private(set) var actions: [Action] = []
    /// The `deployment.kubernetes.io/revision` annotation that the Deployment must carry.
    private(set) var revision: String?
    private(set) var status: JSON
    /// When the progress deadline passes.
    private(set) var nextLook: Timestamp?

    private let deployment: DeploymentView
    private let now: Timestamp
    /// The ReplicaSet of the current template, as it will be after this step.
    private var newReplicaSet: ReplicaSetView?
    /// All others, oldest first, as they will be after this step.
    private var oldReplicaSets: [ReplicaSetView]
    /// As they were observed.
    private let observed: [ReplicaSetView]
    private let pods: [String: [PodView]]

    /// - Parameters:
    ///   - replicaSets: those of this Deployment that its selector chooses
    ///   - pods: the pods of each ReplicaSet by its uid. What may be given up is decided on them and not on the status of the ReplicaSets,
    ///     which is always a little older.
    init(_ deployment: DeploymentView, replicaSets: [ReplicaSetView], pods: [String: [PodView]], now: Timestamp) {
        self.deployment = deployment
        self.now = now
        self.pods = pods
        observed = replicaSets
        status = deployment.status
        let byAge = replicaSets.sorted { ($0.creationTimestamp, $0.name) < ($1.creationTimestamp, $1.name) }
        newReplicaSet = byAge.first { PodTemplate.areEqual($0.template, deployment.template) }
        oldReplicaSets = byAge.filter { [newReplicaSet] in $0.name != newReplicaSet?.name }
        makeStep()
    }

    private mutating func makeStep() {
        notePause()
        if deployment.isBeingDeleted {
            updateCounts()
        } else if deployment.isPaused || isScaling {
            syncRevision(mayCreate: false)
            scale()
            if deployment.isPaused { cleanUpHistory() }
            updateCounts()
        } else {
            if deployment.isRecreate { recreate() } else { roll() }
            updateProgress()
            if isComplete { cleanUpHistory() }
        }
    }

    // MARK: - Strategies

    private mutating func roll() {
        syncRevision(mayCreate: true)
        if scaleUpNew() { return }
        scaleDownOld()
    }

    private mutating func recreate() {
        syncRevision(mayCreate: false)
        var isScaledDown = false
        for index in oldReplicaSets.indices where oldReplicaSets[index].replicas > 0 {
            resize(old: index, to: 0)
            isScaledDown = true
        }
        let hasOldPods = oldReplicaSets.contains { pods[$0.uid]?.contains { !$0.isFinished } ?? false }
        if isScaledDown || hasOldPods { return }
        syncRevision(mayCreate: true)
        _ = scaleUpNew()
    }

    /// Brings the new ReplicaSet towards its size, as far as the maximum of pods allows; answers whether it changed.
    private mutating func scaleUpNew() -> Bool {
        guard let new = newReplicaSet, new.replicas != deployment.replicas else { return false }
        let size = new.replicas > deployment.replicas ? deployment.replicas : grownSize(of: new)
        guard size != new.replicas else { return false }
        resizeNew(to: size)
        return true
    }

    /// How large the new ReplicaSet may be. Pods that a ReplicaSet has not given up yet take room as well.
    private func grownSize(of new: ReplicaSetView) -> Int {
        guard !deployment.isRecreate else { return deployment.replicas }
        let room = deployment.maximumPods - oldReplicaSets.reduce(0) { $0 + podsHeld(by: $1) }
        return max(new.replicas, min(deployment.replicas, room))
    }

    private func podsHeld(by replicaSet: ReplicaSetView) -> Int {
        max(replicaSet.replicas, pods[replicaSet.uid]?.count(where: \.isActive) ?? 0)
    }

    /// The available pods that will be left when the ReplicaSet has the size that it shall have: those that serve are given up last.
    private func lastingPods(of replicaSet: ReplicaSetView) -> Int {
        let available = (pods[replicaSet.uid] ?? []).count { pod in
            pod.isActive && pod.availableAt(minReadySeconds: deployment.minReadySeconds).map { $0 <= now } ?? false
        }
        return min(available, replicaSet.replicas)
    }

    /// Takes pods from old ReplicaSets: first those that do not serve, then as many as the minimum of available pods allows.
    private mutating func scaleDownOld() {
        let oldPods = oldReplicaSets.reduce(0) { $0 + $1.replicas }
        guard oldPods > 0, let new = newReplicaSet else { return }
        let newUnavailable = new.replicas - lastingPods(of: new)
        var removable = oldPods + new.replicas - deployment.minimumAvailable - newUnavailable
        guard removable > 0 else { return }
        for index in oldReplicaSets.indices where removable > 0 {
            let old = oldReplicaSets[index]
            let count = min(removable, old.replicas - lastingPods(of: old))
            if count > 0 { resize(old: index, to: old.replicas - count) }
            removable -= count
        }
        var spare = all.reduce(0) { $0 + lastingPods(of: $1) } - deployment.minimumAvailable
        for index in oldReplicaSets.indices where spare > 0 {
            let count = min(spare, oldReplicaSets[index].replicas)
            if count > 0 { resize(old: index, to: oldReplicaSets[index].replicas - count) }
            spare -= count
        }
    }

    // MARK: - Scaling outside of a rollout

    /// The Deployment's number of replicas is another than the one that its ReplicaSets were sized for.
    private var isScaling: Bool {
        observed.contains { $0.replicas > 0 && $0.desiredReplicas != nil && $0.desiredReplicas != deployment.replicas }
    }

    private mutating func scale() {
        let active = all.filter { $0.replicas > 0 }
        if active.count <= 1 {
            guard let only = active.first ?? newReplicaSet ?? oldReplicaSets.last else { return }
            if only.replicas != deployment.replicas || only.desiredReplicas != deployment.replicas {
                resize(only.name, to: deployment.replicas)
            }
        } else if let new = newReplicaSet, isSaturated(new) {
            for index in oldReplicaSets.indices where oldReplicaSets[index].replicas > 0 { resize(old: index, to: 0) }
        } else if !deployment.isRecreate {
            scaleInProportion(active)
        }
    }

    private func isSaturated(_ new: ReplicaSetView) -> Bool {
        new.replicas == deployment.replicas && new.desiredReplicas == deployment.replicas
            && new.availableReplicas == deployment.replicas
    }

    /// Spreads the change over all ReplicaSets with pods by their size, so that a rollout under way keeps its risk.
    private mutating func scaleInProportion(_ active: [ReplicaSetView]) {
        let allowed = deployment.replicas > 0 ? deployment.maximumPods : 0
        let change = allowed - active.reduce(0) { $0 + $1.replicas }
        let ordered = active.sorted { left, right in
            if left.replicas != right.replicas { return left.replicas > right.replicas }
            let isOlder = (left.creationTimestamp, left.name) < (right.creationTimestamp, right.name)
            return change > 0 ? !isOlder : isOlder
        }
        var sizes: [Int] = []
        var added = 0
        for replicaSet in ordered {
            let part = share(of: replicaSet, change: change, added: added)
            sizes.append(replicaSet.replicas + part)
            added += part
        }
        sizes[0] = max(0, sizes[0] + change - added)
        for (replicaSet, size) in zip(ordered, sizes) { resize(replicaSet.name, to: size) }
    }

    private func share(of replicaSet: ReplicaSetView, change: Int, added: Int) -> Int {
        guard change != 0, change != added else { return 0 }
        guard deployment.replicas > 0 else { return -replicaSet.replicas }
        let before = replicaSet.maximumReplicas ?? deployment.status["replicas"]?.int ?? deployment.replicas
        guard before > 0 else { return 0 }
        let scaled = Double(replicaSet.replicas * deployment.maximumPods) / Double(before)
        let fraction = Int(scaled.rounded()) - replicaSet.replicas
        return change > 0 ? min(fraction, change - added) : max(fraction, change - added)
    }

    // MARK: - ReplicaSets

    private var all: [ReplicaSetView] { oldReplicaSets + (newReplicaSet.map { [$0] } ?? []) }

    /// Makes the new ReplicaSet if it is missing, and gives it the number of its revision.
    private mutating func syncRevision(mayCreate: Bool) {
        let next = (oldReplicaSets.map(\.revision).max() ?? 0) + 1
        if let new = newReplicaSet {
            var updated = new
            annotate(&updated, revision: max(next, new.revision))
            updated.json["spec", "minReadySeconds"] = deployment.json["spec", "minReadySeconds"]
            if updated.minReadySeconds == new.minReadySeconds { updated.json["spec"] = new.json["spec"] }
            if updated != new { write(updated, from: new.replicas) }
            newReplicaSet = updated
            revision = updated.annotations[DeploymentAnnotation.revision]
            noteProgress("FoundNewReplicaSet", "Found new replica set \"\(new.name)\"", onlyFirst: true)
        } else if mayCreate {
            let created = makeReplicaSet(revision: next)
            newReplicaSet = created
            actions.append(.create(created))
            revision = String(next)
            noteProgress("NewReplicaSetCreated", "Created new replica set \"\(created.name)\"", onlyFirst: false)
        }
    }

    private func makeReplicaSet(revision: Int) -> ReplicaSetView {
        let hash = PodTemplate.hash(deployment.template, collisionCount: deployment.collisionCount)
        var template = deployment.template
        template["metadata", "labels", PodTemplate.hashLabel] = .string(hash)
        var selector = deployment.json["spec", "selector"] ?? [:]
        selector["matchLabels", PodTemplate.hashLabel] = .string(hash)
        let owner = OwnerReference(controller: deployment, apiVersion: "apps/v1", kind: "Deployment")
        var replicaSet = ReplicaSetView([
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": [
                "name": .string("\(deployment.name)-\(hash)"), "namespace": .string(deployment.namespace),
                "labels": template["metadata", "labels"] ?? [:], "ownerReferences": [owner.json],
            ],
            "spec": ["replicas": 0, "selector": selector, "template": template],
        ])
        replicaSet.json["spec", "minReadySeconds"] = deployment.json["spec", "minReadySeconds"]
        replicaSet.replicas = grownSize(of: replicaSet)
        annotate(&replicaSet, revision: revision)
        annotateSize(&replicaSet)
        return replicaSet
    }

    /// Copies the Deployment's annotations and keeps the history of revisions that a template had.
    private func annotate(_ replicaSet: inout ReplicaSetView, revision: Int) {
        var annotations = replicaSet.annotations
        for (name, value) in deployment.annotations where !DeploymentAnnotation.own.contains(name) {
            annotations[name] = value
        }
        if let old = annotations[DeploymentAnnotation.revision], old != String(revision) {
            let history = annotations[DeploymentAnnotation.revisionHistory].map { "\($0),\(old)" } ?? old
            annotations[DeploymentAnnotation.revisionHistory] = String(history.suffix(2000))
        }
        annotations[DeploymentAnnotation.revision] = String(revision)
        if annotations != replicaSet.annotations { replicaSet.annotations = annotations }
    }

    private func annotateSize(_ replicaSet: inout ReplicaSetView) {
        replicaSet.annotations[DeploymentAnnotation.desiredReplicas] = String(deployment.replicas)
        replicaSet.annotations[DeploymentAnnotation.maximumReplicas] = String(deployment.maximumPods)
    }

    private mutating func resize(_ name: String, to size: Int) {
        if let index = oldReplicaSets.firstIndex(where: { $0.name == name }) {
            resize(old: index, to: size)
        } else {
            resizeNew(to: size)
        }
    }

    private mutating func resize(old index: Int, to size: Int) {
        let before = oldReplicaSets[index]
        oldReplicaSets[index].replicas = size
        annotateSize(&oldReplicaSets[index])
        if oldReplicaSets[index] != before { write(oldReplicaSets[index], from: before.replicas) }
    }

    private mutating func resizeNew(to size: Int) {
        guard var new = newReplicaSet else { return }
        let before = new
        new.replicas = size
        annotateSize(&new)
        newReplicaSet = new
        if new != before { write(new, from: before.replicas) }
    }

    /// Replaces an earlier write of the same step, since each object can be written only once from what was observed.
    private mutating func write(_ replicaSet: ReplicaSetView, from size: Int) {
        for (index, action) in actions.enumerated() {
            switch action {
            case .create(let earlier) where earlier.name == replicaSet.name:
                actions[index] = .create(replicaSet)
                return
            case .update(let earlier, let before) where earlier.name == replicaSet.name:
                actions[index] = .update(replicaSet, from: before)
                return
            default: break
            }
        }
        actions.append(.update(replicaSet, from: size))
    }

    /// Deletes the oldest ReplicaSets without pods, beyond those that are kept to go back to.
    private mutating func cleanUpHistory() {
        let candidates = oldReplicaSets.filter { !$0.isBeingDeleted }
        let excess = candidates.count - deployment.revisionHistoryLimit
        guard excess > 0 else { return }
        for replicaSet in candidates.sorted(by: { $0.revision < $1.revision }).prefix(excess)
        where replicaSet.replicas == 0 && replicaSet.statusReplicas == 0
            && replicaSet.generation <= replicaSet.observedGeneration
        {
            actions.append(.delete(replicaSet))
        }
    }
}

// MARK: - Status

extension DeploymentPlan {
    private var isComplete: Bool {
        status["updatedReplicas"]?.int ?? 0 == deployment.replicas
            && status["replicas"]?.int ?? 0 == deployment.replicas
            && status["availableReplicas"]?.int ?? 0 == deployment.replicas
    }

    private mutating func updateCounts() {
        let available = observed.reduce(0) { $0 + $1.availableReplicas }
        let wanted = observed.reduce(0) { $0 + $1.replicas }
        let updated = observed.first { [newReplicaSet] in $0.name == newReplicaSet?.name }?.statusReplicas ?? 0
        status["observedGeneration"] = JSON(deployment.generation)
        setCount("replicas", observed.reduce(0) { $0 + $1.statusReplicas })
        setCount("updatedReplicas", updated)
        setCount("readyReplicas", observed.reduce(0) { $0 + $1.readyReplicas })
        setCount("availableReplicas", available)
        setCount("unavailableReplicas", max(0, wanted - available))
        let isAvailable = available >= deployment.minimumAvailable
        setCondition(
            "Available",
            isAvailable ? "True" : "False",
            reason: isAvailable ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable",
            message: isAvailable
                ? "Deployment has minimum availability." : "Deployment does not have minimum availability."
        )
        copyReplicaFailure()
    }

    private mutating func updateProgress() {
        updateCounts()
        guard let deadline = deployment.progressDeadlineSeconds else {
            var conditions = Conditions(status["conditions"])
            conditions.remove("Progressing")
            status["conditions"] = conditions.json
            return
        }
        let subject =
            newReplicaSet.map { "ReplicaSet \"\($0.name)\"" } ?? "Deployment \"\(deployment.name)\""
        let current = progressing
        let isDone = status["replicas"] == status["updatedReplicas"] && current?.reason == "NewReplicaSetAvailable"
        if isDone { return }
        if isComplete {
            setCondition(
                "Progressing",
                "True",
                reason: "NewReplicaSetAvailable",
                message: "\(subject) has successfully progressed."
            )
        } else if hasProgressed {
            noteUpdate("\(subject) is progressing.")
        } else if let current, current.reason != "NewReplicaSetAvailable", current.status == "True" {
            let due = Timestamp(seconds: current.updatedAt.seconds + Int64(deadline))
            if due < now {
                setCondition(
                    "Progressing",
                    "False",
                    reason: "ProgressDeadlineExceeded",
                    message: "\(subject) has timed out progressing."
                )
            }
        }
        scheduleDeadline(deadline)
    }

    private mutating func scheduleDeadline(_ deadline: Int) {
        guard let current = progressing, current.status == "True", current.reason != "NewReplicaSetAvailable" else {
            return
        }
        nextLook = Timestamp(seconds: current.updatedAt.seconds + Int64(deadline) + 1)
    }

    /// More pods of the new kind, fewer of the old, more ready or more available than the status said so far.
    private var hasProgressed: Bool {
        func count(_ field: String, _ status: JSON) -> Int { status[field]?.int ?? 0 }
        let before = deployment.status
        let old = count("replicas", status) - count("updatedReplicas", status)
        let oldBefore = count("replicas", before) - count("updatedReplicas", before)
        return old < oldBefore
            || ["updatedReplicas", "readyReplicas", "availableReplicas"].contains {
                count($0, status) > count($0, before)
            }
    }

    private var progressing: (status: String, reason: String, updatedAt: Timestamp)? {
        guard let condition = Conditions(status["conditions"])["Progressing"] else { return nil }
        let updatedAt = condition["lastUpdateTime"]?.string.flatMap { Timestamp($0) } ?? now
        return (condition["status"]?.string ?? "", condition["reason"]?.string ?? "", updatedAt)
    }

    private mutating func noteProgress(_ reason: String, _ message: String, onlyFirst: Bool) {
        guard deployment.progressDeadlineSeconds != nil, !onlyFirst || progressing == nil else { return }
        setCondition("Progressing", "True", reason: reason, message: message)
    }

    /// Starts the progress deadline anew.
    private mutating func noteUpdate(_ message: String) {
        var conditions = Conditions(status["conditions"])
        let current = conditions["Progressing"]
        let keepsTransition = current?["status"]?.string == "True"
        conditions.put([
            "type": "Progressing", "status": "True", "lastUpdateTime": .string(now.description),
            "lastTransitionTime": keepsTransition
                ? current?["lastTransitionTime"] ?? .string(now.description) : .string(now.description),
            "reason": "ReplicaSetUpdated", "message": .string(message),
        ])
        status["conditions"] = conditions.json
    }

    private mutating func notePause() {
        guard deployment.progressDeadlineSeconds != nil, !deployment.isBeingDeleted,
            progressing?.reason != "ProgressDeadlineExceeded"
        else { return }
        let wasPaused = progressing?.reason == "DeploymentPaused"
        if deployment.isPaused, !wasPaused {
            setCondition("Progressing", "Unknown", reason: "DeploymentPaused", message: "Deployment is paused")
        } else if !deployment.isPaused, wasPaused {
            setCondition("Progressing", "Unknown", reason: "DeploymentResumed", message: "Deployment is resumed")
        }
    }

    private mutating func copyReplicaFailure() {
        var conditions = Conditions(status["conditions"])
        let failures = observed.sorted { left, _ in left.name == newReplicaSet?.name }
            .compactMap { Conditions($0.status["conditions"])["ReplicaFailure"] }
        if let failure = failures.first {
            conditions.set(
                "ReplicaFailure",
                status: "True",
                reason: failure["reason"]?.string ?? "",
                message: failure["message"]?.string ?? "",
                at: now,
                timeField: "lastUpdateTime"
            )
        } else {
            conditions.remove("ReplicaFailure")
        }
        status["conditions"] = conditions.json
    }

    private mutating func setCondition(_ type: String, _ value: String, reason: String, message: String) {
        var conditions = Conditions(status["conditions"])
        conditions.set(
            type,
            status: value,
            reason: reason,
            message: message,
            at: now,
            timeField: "lastUpdateTime"
        )
        status["conditions"] = conditions.json
    }

    /// Zero is written by leaving the field out.
    private mutating func setCount(_ field: String, _ count: Int) {
        status[field] = count == 0 ? .none : JSON(count)
    }
}
