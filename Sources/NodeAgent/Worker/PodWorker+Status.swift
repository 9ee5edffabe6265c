import KubernetesClient
import KubernetesModel
import Logging
import Synchronization

extension PodWorker {
    private static let ownConditions = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"]

    /// Writes the pod's status when it differs from what was written last.
    func publishStatus() async {
        let now = context.now()
        let (pod, status, isNew) = state.withLock { state in
            let basis = Self.basis(state)
            let status = PodStatus(
                pod: basis,
                observed: state.observed,
                memory: state.memory,
                hostAddress: context.configuration.address,
                now: now
            ).json
            return (state.pod, status, status != basis.status)
        }
        guard isNew else { return }
        tellBackOff(pod, status)
        await write(status, to: pod)
    }

    /// The pod with the status that was written last: the watch may lag behind it. Conditions of others are taken from the pod.
    private static func basis(_ state: State) -> Pod {
        guard let published = state.published else { return state.pod }
        var pod = state.pod
        let own = conditions(of: published) { ownConditions.contains($0) }
        let foreign = conditions(of: pod.status) { !ownConditions.contains($0) }
        pod.json["status"] = published
        pod.json["status", "conditions"] = .array(own + foreign)
        return pod
    }

    private static func conditions(of status: JSON, _ isWanted: (String) -> Bool) -> [JSON] {
        (status["conditions"]?.array ?? []).filter { isWanted($0["type"]?.string ?? "") }
    }

    private func write(_ status: JSON, to pod: Pod) async {
        var object = pod.json
        for _ in 0..<5 {
            object["status"] = status
            do {
                let written = try await context.client.update(.pods, object, subresource: "status")
                state.withLock { state in
                    state.published = status
                    // Not when the watch has brought something newer meanwhile.
                    if state.pod.resourceVersion == pod.resourceVersion { state.pod = Pod(written) }
                }
                if Pod(written).isBeingDeleted { podIsBeingDeleted(Pod(written)) }
                return
            } catch let error as StatusError where error.isConflict {
                guard let fresh = await fresh(pod) else { return }
                object = fresh.json
            } catch let error as StatusError where error.isNotFound {
                return
            } catch {
                logger.warning("Status was not written", metadata: ["error": "\(error)"])
                return
            }
        }
    }

    private func fresh(_ pod: Pod) async -> Pod? {
        let found = try? await context.client.find(.pods, namespace: pod.namespace, name: pod.name)
        guard let object = found, Pod(object).uid == uid else { return nil }
        return Pod(object)
    }

    /// Tells once that a container is held back.
    private func tellBackOff(_ pod: Pod, _ status: JSON) {
        for field in ["containerStatuses", "initContainerStatuses"] {
            let old = pod.status[field]?.array ?? []
            for new in status[field]?.array ?? [] where Self.isHeldBack(new) {
                let name = new["name"]?.string ?? ""
                let former = old.first { $0["name"]?.string == name }
                guard former.map({ !Self.isHeldBack($0) || $0["restartCount"] != new["restartCount"] }) ?? true else {
                    continue
                }
                context.events.record(
                    .warning,
                    pod.json,
                    reason: "BackOff",
                    "Back-off restarting failed container \(name) in pod \(pod.fullName)"
                )
            }
        }
    }

    private static func isHeldBack(_ status: JSON) -> Bool {
        status["state", "waiting", "reason"]?.string == "CrashLoopBackOff"
    }
}
