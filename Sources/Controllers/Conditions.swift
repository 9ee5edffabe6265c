import KubernetesModel

/// The `status.conditions` list of an object: one entry per type, whose transition time changes only with its status.
struct Conditions: Equatable {
    private var list: [JSON]

    init(_ json: JSON?) {
        list = json?.array ?? []
    }

    /// `nil` when there are none.
    var json: JSON? { list.isEmpty ? .none : .array(list) }

    subscript(type: String) -> JSON? {
        list.first { $0["type"]?.string == type }
    }

    func isTrue(_ type: String) -> Bool {
        self[type]?["status"]?.string == "True"
    }

    /// Leaves the entry as it is when status and reason stay the same. `timeField` names a further time of the entry, such as
    /// `lastUpdateTime` of Deployments and `lastProbeTime` of Jobs.
    mutating func set(
        _ type: String,
        status: String,
        reason: String,
        message: String,
        at now: Timestamp,
        timeField: String? = nil
    ) {
        let current = self[type]
        if current?["status"]?.string == status, current?["reason"]?.string == reason { return }
        var entry: JSON = ["type": .string(type), "status": .string(status)]
        if let timeField { entry[timeField] = .string(now.description) }
        let isTransition = current?["status"]?.string != status
        entry["lastTransitionTime"] =
            isTransition ? .string(now.description) : current?["lastTransitionTime"] ?? .string(now.description)
        entry["reason"] = .string(reason)
        entry["message"] = .string(message)
        put(entry)
    }

    /// Replaces the entry of that type, or adds it at the end.
    mutating func put(_ entry: JSON) {
        if let index = list.firstIndex(where: { $0["type"] == entry["type"] }) {
            list[index] = entry
        } else {
            list.append(entry)
        }
    }

    mutating func remove(_ type: String) {
        list.removeAll { $0["type"]?.string == type }
    }
}
