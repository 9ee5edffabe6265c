import KubernetesClient
import KubernetesModel
import Logging

/// Makes and deletes pods for their controllers: in growing batches, told by events, remembered until the informer shows them.
struct PodControl: Sendable {
    let client: any ClusterClient
    let recorder: EventRecorder
    let unseen: UnseenWrites

    /// Makes `count` pods from the template of `owner`: one, then two, then four at a time, so that an error that hits all of them costs
    /// few requests. Throws the first error after the batch that it came in.
    ///
    /// - Parameter change: Makes the pod with a number from zero to `count` what its place asks for.
    func create(
        _ count: Int,
        for owner: some ObjectView,
        resource: Resource,
        labels: [String: String] = [:],
        change: @escaping @Sendable (_ number: Int, _ pod: inout JSON) -> Void = { _, _ in }
    ) async throws {
        var made = 0
        var batch = 1
        while made < count {
            let numbers = made..<min(made + batch, count)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in numbers {
                    group.addTask {
                        var pod = Self.pod(of: owner, resource: resource, labels: labels)
                        change(number, &pod)
                        try await createOne(pod, for: owner)
                    }
                }
                try await group.waitForAll()
            }
            made = numbers.upperBound
            batch *= 2
        }
    }

    /// Deletes `pods`, only if they still are the same; throws the first error after having tried all.
    func delete(_ pods: [PodView], of owner: some ObjectView) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for pod in pods where !unseen.isDeleted(pod) {
                group.addTask { try await deleteOne(pod, of: owner) }
            }
            var failure: (any Error)?
            while let result = await group.nextResult() {
                if case .failure(let error) = result { failure = failure ?? error }
            }
            if let failure { throw failure }
        }
    }

    /// Gives up waiting for pods that the informer should have shown long ago and that do not exist.
    func forgetLostCreations(of owner: some ObjectView) async throws {
        for key in unseen.overdueCreations(of: owner.uid)
        where try await client.find(.pods, namespace: key.namespace, name: key.name) == nil {
            unseen.didNotCreate(key, of: owner.uid)
        }
    }

    // MARK: - Private

    private func createOne(_ pod: JSON, for owner: some ObjectView) async throws {
        let key = ObjectKey(namespace: owner.namespace, name: AnyObjectView(pod).name)
        unseen.willCreate(key, of: owner.uid)
        do {
            _ = try await client.create(.pods, namespace: owner.namespace, pod)
        } catch {
            unseen.didNotCreate(key, of: owner.uid)
            // A name that was drawn before by chance: the next one will be another.
            recorder.record(.warning, owner.json, reason: "FailedCreate", "Error creating: \(error)")
            throw error
        }
        recorder.record(.normal, owner.json, reason: "SuccessfulCreate", "Created pod: \(key.name)")
    }

    private func deleteOne(_ pod: PodView, of owner: some ObjectView) async throws {
        unseen.willDelete(pod)
        do {
            _ = try await client.delete(
                .pods,
                namespace: pod.namespace,
                name: pod.name,
                options: DeleteOptions(uid: pod.uid)
            )
        } catch let error as StatusError where error.isNotFound || error.isConflict {
            unseen.didNotDelete(pod)
            return
        } catch {
            unseen.didNotDelete(pod)
            recorder.record(.warning, owner.json, reason: "FailedDelete", "Error deleting: \(error)")
            throw error
        }
        recorder.record(.normal, owner.json, reason: "SuccessfulDelete", "Deleted pod: \(pod.name)")
    }

    /// The pod that the template of `owner` describes, under a name of its own.
    static func pod(of owner: some ObjectView, resource: Resource, labels: [String: String]) -> JSON {
        let template = owner.json["spec", "template"] ?? [:]
        var metadata: JSON = [
            "name": .string(randomName(owner.name)), "generateName": .string("\(owner.name)-"),
            "namespace": .string(owner.namespace),
        ]
        let allLabels = (template["metadata", "labels"]?.stringMap ?? [:]).merging(labels) { given, _ in given }
        if !allLabels.isEmpty { metadata["labels"] = JSON(allLabels) }
        metadata["annotations"] = template["metadata", "annotations"]
        metadata["finalizers"] = template["metadata", "finalizers"]
        metadata["ownerReferences"] = [
            OwnerReference(controller: owner, apiVersion: resource.apiVersion, kind: resource.kind).json
        ]
        return ["apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"] ?? [:]]
    }

    /// `prefix` cut to what a pod's name may hold, and five letters that spell no words.
    private static func randomName(_ prefix: String) -> String {
        let suffix = String((0..<5).map { _ in "bcdfghjklmnpqrstvwxz2456789".randomElement() ?? "x" })
        return "\(prefix.prefix(57))-\(suffix)"
    }
}
