import KubernetesModel

/// A status condition in the words of Gateway API.
struct GatewayCondition: Hashable, Sendable {
    var type: String
    var isTrue: Bool
    var reason: String
    var message: String

    /// Keeps the time of the last change from `existing` where nothing changed.
    func json(generation: Int, now: String, existing: JSON?) -> JSON {
        let status = isTrue ? "True" : "False"
        let old = existing?.array?.first { $0["type"]?.string == type }
        let time = old?["status"]?.string == status ? old?["lastTransitionTime"]?.string : nil
        return [
            "type": .string(type), "status": .string(status), "reason": .string(reason),
            "message": .string(message), "observedGeneration": JSON(generation),
            "lastTransitionTime": .string(time ?? now),
        ]
    }
}

extension GatewayCondition {
    /// A condition that holds, for the reason of its own name, unless there is a problem.
    init(_ type: String, unless problem: AttachableGateway.Problem?, otherwise message: String) {
        self.init(
            type: type,
            isTrue: problem == nil,
            reason: problem?.reason ?? type,
            message: problem?.message ?? message
        )
    }
}

/// A status that should stand in an object.
struct GatewayStatus: Hashable, Sendable {
    var resource: Resource
    var key: ObjectKey
    var status: JSON
}
