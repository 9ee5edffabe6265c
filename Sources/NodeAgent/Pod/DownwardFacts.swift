import KubernetesModel

/// The facts about a pod that its containers may ask for by `fieldRef` and `resourceFieldRef`.
struct DownwardFacts: Hashable, Sendable {
    let pod: Pod
    let hostAddress: String
    let podAddresses: [String]
    /// Stands in for limits that a container does not have.
    let allocatable: [String: Quantity]

    /// - Throws: ``ConfigurationError`` for a path that names nothing.
    func field(_ path: String) throws -> String {
        if let key = subscriptKey(path, "metadata.labels") { return pod.labels[key] ?? "" }
        if let key = subscriptKey(path, "metadata.annotations") { return pod.annotations[key] ?? "" }
        switch path {
        case "metadata.name": return pod.name
        case "metadata.namespace": return pod.namespace
        case "metadata.uid": return pod.uid
        case "metadata.labels": return Self.lines(pod.labels)
        case "metadata.annotations": return Self.lines(pod.annotations)
        case "spec.nodeName": return pod.nodeName
        case "spec.serviceAccountName": return pod.serviceAccountName
        case "status.hostIP", "status.hostIPs": return hostAddress
        case "status.podIP": return podAddresses.first ?? ""
        case "status.podIPs": return podAddresses.joined(separator: ",")
        default: throw ConfigurationError("unsupported fieldPath: \(path)")
        }
    }

    /// A `resourceFieldRef`: a limit or request of a container in units of its divisor, rounded up.
    func resource(_ reference: JSON, of container: ContainerDefinition) throws -> String {
        let named = reference["containerName"]?.string.flatMap { pod.container($0) } ?? container
        let path = reference["resource"]?.string ?? ""
        let parts = path.split(separator: ".", maxSplits: 1).map(String.init)
        guard parts.count == 2, ["limits", "requests"].contains(parts[0]) else {
            throw ConfigurationError("unsupported resource: \(path)")
        }
        let own = parts[0] == "limits" ? named.limits[parts[1]] : named.requests[parts[1]]
        guard let amount = own ?? (parts[0] == "limits" ? allocatable[parts[1]] : Quantity(value: 0)) else {
            throw ConfigurationError("unsupported resource: \(path)")
        }
        return String(Self.quotient(amount, by: Quantity(reference["divisor"])))
    }

    /// Rounded up. The API sets an absent divisor to zero, which stands for one.
    private static func quotient(_ amount: Quantity, by divisor: Quantity?) -> Int64 {
        func roundedUp(_ amount: Int64, _ unit: Int64) -> Int64 {
            let (quotient, remainder) = amount.quotientAndRemainder(dividingBy: unit)
            return remainder > 0 ? quotient + 1 : quotient
        }
        guard let divisor, divisor.milliValue > 0 else { return amount.value }
        guard divisor.milliValue < 1000 else { return roundedUp(amount.value, divisor.value) }
        return roundedUp(amount.milliValue, divisor.milliValue)
    }

    /// The key in `prefix['key']`.
    private func subscriptKey(_ path: String, _ prefix: String) -> String? {
        guard path.hasPrefix("\(prefix)['"), path.hasSuffix("']") else { return nil }
        return String(path.dropFirst(prefix.count + 2).dropLast(2))
    }

    /// `key="value"` in lines, as files of a downwardAPI volume hold maps.
    private static func lines(_ map: [String: String]) -> String {
        map.sorted { $0.key < $1.key }.map { "\($0.key)=\(quoted($0.value))" }.joined(separator: "\n")
    }

    private static func quoted(_ text: String) -> String { JSON.string(text).encodedString }
}

/// What a container asks for cannot be given; the message is shown as `CreateContainerConfigError`.
struct ConfigurationError: Error, Hashable, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
