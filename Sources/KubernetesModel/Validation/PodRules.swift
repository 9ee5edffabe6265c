/// What pods and their containers must be.
enum PodRules {
    static let rules: [String: SemanticValidation.Rule] = [
        "core.v1.PodSpec": podErrors,
        "core.v1.Container": containerErrors,
        "core.v1.EphemeralContainer": containerErrors,
        "core.v1.EnvVar": environmentErrors,
        "core.v1.Probe": probeErrors,
        "core.v1.LifecycleHandler": { handlerErrors($0, $1, ["exec", "httpGet", "sleep", "tcpSocket"]) },
        "core.v1.ResourceRequirements": resourceErrors,
        "core.v1.Volume": volumeErrors,
        "core.v1.HTTPGetAction": portErrors,
        "core.v1.TCPSocketAction": portErrors,
        "core.v1.Toleration": tolerationErrors,
    ]

    // MARK: - The pod

    private static func podErrors(_ pod: JSON, _ path: String) -> [FieldError] {
        let containers = pod["containers"]?.array ?? []
        var errors: [FieldError] = containers.isEmpty ? [.required("\(path).containers")] : []
        errors += duplicateNames(pod, path, ["initContainers", "containers", "ephemeralContainers"])
        errors += mountErrors(pod, path)
        errors += hostPortErrors(containers, path)
        errors += initErrors(pod["initContainers"]?.array ?? [], path)
        if pod["dnsPolicy"]?.string == "None", pod["dnsConfig", "nameservers"]?.array?.isEmpty ?? true {
            errors.append(
                .required(
                    "\(path).dnsConfig.nameservers",
                    "must provide at least one DNS nameserver when `dnsPolicy` is None"
                )
            )
        }
        return errors
    }

    private static func duplicateNames(_ pod: JSON, _ path: String, _ lists: [String]) -> [FieldError] {
        var seen: Set<String> = []
        var errors: [FieldError] = []
        for list in lists {
            for (index, element) in (pod[list]?.array ?? []).enumerated() {
                guard let name = element["name"]?.string, !seen.insert(name).inserted else { continue }
                errors.append(.duplicate("\(path).\(list)[\(index)].name", .string(name)))
            }
        }
        return errors
    }

    private static func mountErrors(_ pod: JSON, _ path: String) -> [FieldError] {
        let volumes = Set((pod["volumes"]?.array ?? []).compactMap { $0["name"]?.string })
        var errors: [FieldError] = []
        for list in ["initContainers", "containers"] {
            for (index, container) in (pod[list]?.array ?? []).enumerated() {
                for (place, mount) in (container["volumeMounts"]?.array ?? []).enumerated() {
                    let name = mount["name"]?.string ?? ""
                    guard !volumes.contains(name) else { continue }
                    let mountPath = "\(path).\(list)[\(index)].volumeMounts[\(place)].name"
                    errors.append(FieldError(path: mountPath, kind: .invalid, message: "Not found: \"\(name)\""))
                }
            }
        }
        return errors
    }

    private static func hostPortErrors(_ containers: [JSON], _ path: String) -> [FieldError] {
        var seen: Set<String> = []
        var errors: [FieldError] = []
        for (index, container) in containers.enumerated() {
            for (place, port) in (container["ports"]?.array ?? []).enumerated() {
                guard let hostPort = port["hostPort"]?.int, hostPort != 0 else { continue }
                let key = "\(port["protocol"]?.string ?? "TCP")/\(port["hostIP"]?.string ?? "")/\(hostPort)"
                guard !seen.insert(key).inserted else { continue }
                errors.append(.duplicate("\(path).containers[\(index)].ports[\(place)].hostPort", .string(key)))
            }
        }
        return errors
    }

    /// Init containers run to their end: only those that restart always (sidecars) are probed.
    private static func initErrors(_ containers: [JSON], _ path: String) -> [FieldError] {
        containers.enumerated().flatMap { index, container -> [FieldError] in
            guard container["restartPolicy"]?.string != "Always" else { return [] }
            return ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle"]
                .filter { container[$0] != nil }
                .map {
                    .forbidden(
                        "\(path).initContainers[\(index)].\($0)",
                        "may not be set for init containers without restartPolicy=Always"
                    )
                }
        }
    }

    // MARK: - Containers

    private static func containerErrors(_ container: JSON, _ path: String) -> [FieldError] {
        var errors = labelError(container["name"], "\(path).name")
        if container["image"]?.string?.isEmpty ?? true { errors.append(.required("\(path).image")) }
        if let image = container["image"]?.string, image != image.trimmed {
            errors.append(.invalid("\(path).image", .string(image), "must not have leading or trailing whitespace"))
        }
        errors += portNameErrors(container["ports"]?.array ?? [], path)
        for probe in ["livenessProbe", "startupProbe"] {
            guard let threshold = container[probe]?["successThreshold"], threshold.int != 1 else { continue }
            errors.append(.invalid("\(path).\(probe).successThreshold", threshold, "must be 1"))
        }
        errors += mountPathErrors(container["volumeMounts"]?.array ?? [], path)
        return errors
    }

    private static func labelError(_ name: JSON?, _ path: String) -> [FieldError] {
        guard let text = name?.string, !text.isEmpty else { return [.required(path)] }
        return NameSyntax.problem(inLabel: text).map { [.invalid(path, .string(text), $0)] } ?? []
    }

    private static func portNameErrors(_ ports: [JSON], _ path: String) -> [FieldError] {
        var seen: Set<String> = []
        return ports.enumerated().flatMap { index, port -> [FieldError] in
            guard let name = port["name"]?.string, !name.isEmpty else { return [] }
            let namePath = "\(path).ports[\(index)].name"
            if let problem = NameSyntax.problem(inPortName: name) {
                return [.invalid(namePath, .string(name), problem)]
            }
            return seen.insert(name).inserted ? [] : [.duplicate(namePath, .string(name))]
        }
    }

    private static func mountPathErrors(_ mounts: [JSON], _ path: String) -> [FieldError] {
        var seen: Set<String> = []
        return mounts.enumerated().flatMap { index, mount -> [FieldError] in
            let mountPath = "\(path).volumeMounts[\(index)].mountPath"
            guard let text = mount["mountPath"]?.string, !text.isEmpty else { return [.required(mountPath)] }
            if !seen.insert(text).inserted {
                return [.invalid(mountPath, .string(text), "must be unique")]
            }
            let subPath = mount["subPath"]?.string ?? ""
            if subPath.hasPrefix("/") || subPath.split(separator: "/").contains("..") {
                let message = "must be a relative path without '..'"
                return [.invalid("\(path).volumeMounts[\(index)].subPath", .string(subPath), message)]
            }
            return []
        }
    }

    private static func environmentErrors(_ variable: JSON, _ path: String) -> [FieldError] {
        let name = variable["name"]?.string ?? ""
        if name.isEmpty { return [.required("\(path).name")] }
        if name.contains("=") || !name.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) {
            return [
                .invalid(
                    "\(path).name",
                    .string(name),
                    "a valid environment variable name must consist only of printable ASCII characters other than '='"
                )
            ]
        }
        guard let source = variable["valueFrom"] else { return [] }
        var errors: [FieldError] = []
        if !(variable["value"]?.string ?? "").isEmpty {
            errors.append(
                .invalid("\(path).valueFrom", .string(""), "may not be specified when `value` is not empty")
            )
        }
        return errors
            + handlerErrors(
                source,
                "\(path).valueFrom",
                ["configMapKeyRef", "fieldRef", "fileKeyRef", "resourceFieldRef", "secretKeyRef"]
            )
    }

    private static func probeErrors(_ probe: JSON, _ path: String) -> [FieldError] {
        handlerErrors(probe, path, ["exec", "grpc", "httpGet", "tcpSocket"])
    }

    /// Exactly one of `kinds` must be set.
    private static func handlerErrors(_ handler: JSON, _ path: String, _ kinds: [String]) -> [FieldError] {
        let present = kinds.filter { handler[$0] != nil }
        if present.isEmpty { return [.required(path, "must specify one of: `\(kinds.joined(separator: "`, `"))`")] }
        return present.dropFirst().map { .forbidden("\(path).\($0)", "may not specify more than 1 handler type") }
    }

    private static func portErrors(_ action: JSON, _ path: String) -> [FieldError] {
        switch action["port"].flatMap(IntOrString.init) {
        case .int(let number)? where !(1...65_535).contains(number):
            [.invalid("\(path).port", JSON(number), "must be between 1 and 65535, inclusive")]
        case .string(let name)?:
            NameSyntax.problem(inPortName: name).map { [.invalid("\(path).port", .string(name), $0)] } ?? []
        default: []
        }
    }

    private static func resourceErrors(_ resources: JSON, _ path: String) -> [FieldError] {
        var errors: [FieldError] = []
        for list in ["limits", "requests"] {
            for (name, value) in resources[list]?.object ?? [:] {
                guard let quantity = Quantity(value), quantity.milliValue < 0 else { continue }
                errors.append(.invalid("\(path).\(list)[\(name)]", value, "must be greater than or equal to 0"))
            }
        }
        for (name, request) in resources["requests"]?.object ?? [:] {
            guard let wanted = Quantity(request), let value = resources["limits"]?[name],
                let limit = Quantity(value), wanted > limit
            else { continue }
            errors.append(
                .invalid("\(path).requests", request, "must be less than or equal to \(name) limit of \(limit)")
            )
        }
        return errors
    }

    private static func volumeErrors(_ volume: JSON, _ path: String) -> [FieldError] {
        let errors = labelError(volume["name"], "\(path).name")
        let sources = (volume.object ?? [:]).keys.filter { $0 != "name" }
        return errors
            + sources.dropFirst().map { .forbidden("\(path).\($0)", "may not specify more than 1 volume type") }
    }

    private static func tolerationErrors(_ toleration: JSON, _ path: String) -> [FieldError] {
        let isExists = toleration["operator"]?.string == "Exists"
        if toleration["key"]?.string?.isEmpty ?? true, !isExists {
            return [
                .invalid(
                    "\(path).operator",
                    toleration["operator"] ?? .null,
                    "operator must be Exists when `key` is empty, which means \"match all values and all keys\""
                )
            ]
        }
        if isExists, !(toleration["value"]?.string ?? "").isEmpty {
            return [
                .invalid(
                    "\(path).operator",
                    toleration["operator"] ?? .null,
                    "value must be empty when `operator` is 'Exists'"
                )
            ]
        }
        return []
    }
}

extension String {
    fileprivate var trimmed: Substring {
        var rest = self[...]
        while rest.first?.isWhitespace == true { rest.removeFirst() }
        while rest.last?.isWhitespace == true { rest.removeLast() }
        return rest
    }
}
