/// What Services, endpoints and routes must be.
enum NetworkRules {
    static let rules: [String: SemanticValidation.Rule] = [
        "core.v1.ServiceSpec": serviceErrors,
        "core.v1.ServicePort": portErrors,
        "discovery.v1.EndpointSlice": sliceErrors,
        "networking.v1.NetworkPolicyPeer": peerErrors,
    ]

    private static func serviceErrors(_ service: JSON, _ path: String) -> [FieldError] {
        let type = service["type"]?.string ?? "ClusterIP"
        let ports = service["ports"]?.array ?? []
        var errors = MetadataValidation.labelErrors(service["selector"], "\(path).selector")
        if type == "ExternalName" {
            let name = service["externalName"]?.string ?? ""
            if name.isEmpty { errors.append(.required("\(path).externalName")) }
        } else if ports.isEmpty, service["clusterIP"]?.string != "None" {
            errors.append(.required("\(path).ports"))
        }
        if type != "NodePort", type != "LoadBalancer" {
            for (index, port) in ports.enumerated() where (port["nodePort"]?.int ?? 0) != 0 {
                errors.append(
                    .forbidden("\(path).ports[\(index)].nodePort", "may not be used when `type` is '\(type)'")
                )
            }
        }
        return errors + portNameErrors(ports, path) + portDuplicates(ports, path)
    }

    /// With more than one port every port needs a name of its own.
    private static func portNameErrors(_ ports: [JSON], _ path: String) -> [FieldError] {
        var seen: Set<String> = []
        return ports.enumerated().flatMap { index, port -> [FieldError] in
            let namePath = "\(path).ports[\(index)].name"
            guard let name = port["name"]?.string, !name.isEmpty else {
                return ports.count > 1 ? [.required(namePath)] : []
            }
            if let problem = NameSyntax.problem(inLabel: name) { return [.invalid(namePath, .string(name), problem)] }
            return seen.insert(name).inserted ? [] : [.duplicate(namePath, .string(name))]
        }
    }

    private static func portDuplicates(_ ports: [JSON], _ path: String) -> [FieldError] {
        var seen: Set<String> = []
        return ports.enumerated().compactMap { index, port in
            guard let nodePort = port["nodePort"]?.int, nodePort != 0 else { return nil }
            let key = "\(port["protocol"]?.string ?? "TCP")/\(nodePort)"
            return seen.insert(key).inserted ? nil : .duplicate("\(path).ports[\(index)].nodePort", JSON(nodePort))
        }
    }

    private static func portErrors(_ port: JSON, _ path: String) -> [FieldError] {
        switch port["targetPort"].flatMap(IntOrString.init) {
        case .int(let number)? where !(1...65_535).contains(number):
            [.invalid("\(path).targetPort", JSON(number), "must be between 1 and 65535, inclusive")]
        case .string(let name)?:
            NameSyntax.problem(inPortName: name).map { [.invalid("\(path).targetPort", .string(name), $0)] } ?? []
        default: []
        }
    }

    private static func sliceErrors(_ slice: JSON, _ path: String) -> [FieldError] {
        let endpoints = slice["endpoints"]?.array ?? []
        var errors: [FieldError] = []
        if endpoints.count > 1000 {
            errors.append(
                FieldError(
                    path: "endpoints",
                    kind: .invalid,
                    message: "Too many: \(endpoints.count): must have at most 1000 items"
                )
            )
        }
        for (index, endpoint) in endpoints.enumerated() where endpoint["addresses"]?.array?.isEmpty ?? true {
            errors.append(.required("endpoints[\(index)].addresses", "must contain at least 1 address"))
        }
        return errors
    }

    private static func peerErrors(_ peer: JSON, _ path: String) -> [FieldError] {
        let hasSelector = peer["podSelector"] != nil || peer["namespaceSelector"] != nil
        if peer["ipBlock"] == nil, !hasSelector { return [.required(path, "must specify a peer")] }
        guard peer["ipBlock"] != nil, hasSelector else { return [] }
        return [.forbidden(path, "may not specify both ipBlock and another peer")]
    }
}
