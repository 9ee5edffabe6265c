import KubernetesModel

/// A pod as the node agent reads it.
struct Pod: ObjectView {
    var json: JSON

    init(_ json: JSON) {
        self.json = json
        // Objects out of a list do not say what they are; events about them must.
        if json["kind"] == nil { self.json["kind"] = "Pod" }
        if json["apiVersion"] == nil { self.json["apiVersion"] = "v1" }
    }

    enum RestartPolicy: String, Hashable, Sendable {
        case always = "Always"
        case onFailure = "OnFailure"
        case never = "Never"
    }

    var initContainers: [ContainerDefinition] {
        spec["initContainers"]?.array?.map { ContainerDefinition($0, isInit: true) } ?? []
    }

    var mainContainers: [ContainerDefinition] {
        spec["containers"]?.array?.map { ContainerDefinition($0, isInit: false) } ?? []
    }

    var containers: [ContainerDefinition] { initContainers + mainContainers }

    func container(_ name: String) -> ContainerDefinition? { containers.first { $0.name == name } }

    var restartPolicy: RestartPolicy { RestartPolicy(rawValue: spec["restartPolicy"]?.string ?? "") ?? .always }
    var nodeName: String { spec["nodeName"]?.string ?? "" }
    var serviceAccountName: String { spec["serviceAccountName"]?.string ?? "default" }
    var phase: String { status["phase"]?.string ?? "" }
    var isFinished: Bool { phase == "Succeeded" || phase == "Failed" }
    var securityContext: JSON { spec["securityContext"] ?? [:] }

    /// How long the containers have between the request to stop and SIGKILL.
    var gracePeriod: Duration {
        .seconds(
            json["metadata", "deletionGracePeriodSeconds"]?.int ?? spec["terminationGracePeriodSeconds"]?.int ?? 30
        )
    }

    var namespaces: Namespaces {
        Namespaces(
            usesHostNetwork: spec["hostNetwork"]?.bool ?? false,
            usesHostPID: spec["hostPID"]?.bool ?? false,
            usesHostIPC: spec["hostIPC"]?.bool ?? false,
            sharesPIDInPod: spec["shareProcessNamespace"]?.bool ?? false
        )
    }

    /// In messages about containers: `name_namespace(uid)`.
    var fullName: String { "\(name)_\(namespace)(\(uid))" }

    /// The name of the folder of the pod's logs.
    var logFolder: String { "\(namespace)_\(name)_\(uid)" }

    /// Names and namespaces have no underscore.
    static func uid(ofLogFolder folder: String) -> String { folder.split(separator: "_").last.map(String.init) ?? "" }

    /// The class that decides who is killed first when memory ends.
    var qualityOfService: String {
        if let known = status["qosClass"]?.string { return known }
        let limits = containers.map(\.limits)
        let requests = containers.map(\.requests)
        if limits.allSatisfy(\.isEmpty), requests.allSatisfy(\.isEmpty) { return "BestEffort" }
        let isGuaranteed = containers.allSatisfy { container in
            ["cpu", "memory"].allSatisfy { name in
                guard let limit = container.limits[name] else { return false }
                return container.requests[name].map { $0 == limit } ?? true
            }
        }
        return isGuaranteed ? "Guaranteed" : "Burstable"
    }
}

/// A container of a pod's specification.
struct ContainerDefinition: Hashable, Sendable {
    var json: JSON
    var isInit: Bool

    init(_ json: JSON, isInit: Bool) {
        self.json = json
        self.isInit = isInit
    }

    var name: String { json["name"]?.string ?? "" }
    var image: String { json["image"]?.string ?? "" }
    var securityContext: JSON { json["securityContext"] ?? [:] }
    var ports: [JSON] { json["ports"]?.array ?? [] }

    /// An init container that keeps running beside the others.
    var isSidecar: Bool { isInit && json["restartPolicy"]?.string == "Always" }

    enum PullPolicy: String { case always = "Always", ifNotPresent = "IfNotPresent", never = "Never" }

    var pullPolicy: PullPolicy {
        if let named = json["imagePullPolicy"]?.string.flatMap(PullPolicy.init) { return named }
        return ImageReference(image).tag == "latest" ? .always : .ifNotPresent
    }

    var limits: [String: Quantity] { quantities("limits") }
    var requests: [String: Quantity] { quantities("requests") }

    private func quantities(_ field: String) -> [String: Quantity] {
        let fields = json["resources", field]?.object ?? [:]
        return fields.reduce(into: [:]) { map, field in map[field.key] = Quantity(field.value) }
    }

    func probe(_ kind: Probe.Kind) -> Probe? { json[kind.field].map { Probe($0, kind: kind) } }

    func hook(_ name: String) -> JSON? { json["lifecycle", name] }

    /// The number of a port given as a number or by its name.
    func port(_ value: JSON?) -> Int? {
        switch value {
        case .string(let text)?:
            ports.first { $0["name"]?.string == text }?["containerPort"]?.int ?? Int(text)
        default: value?.int
        }
    }

    /// Changes when the running container no longer is what the specification asks for. Only the image of a container may
    /// change in a pod's lifetime. FNV-1a, 64 bits.
    var hash: String {
        let sum = "\(name)\0\(image)".utf8.reduce(UInt64(0xcbf2_9ce4_8422_2325)) { hash, byte in
            (hash ^ UInt64(byte)) &* 0x100_0000_01b3
        }
        return String(sum, radix: 16)
    }
}

/// The parts of an image's name.
struct ImageReference: Hashable, Sendable {
    /// `docker.io` where none is named.
    var registry: String
    var repository: String
    /// `latest` where neither tag nor digest is named; empty with a digest alone.
    var tag: String

    init(_ text: String) {
        var rest = text[...]
        var hasDigest = false
        if let at = rest.firstIndex(of: "@") {
            rest = rest[..<at]
            hasDigest = true
        }
        tag = hasDigest ? "" : "latest"
        if let colon = rest.lastIndex(of: ":"), !rest[colon...].contains("/") {
            tag = String(rest[rest.index(after: colon)...])
            rest = rest[..<colon]
        }
        let first = rest.prefix { $0 != "/" }
        let namesRegistry =
            first.count < rest.count && (first.contains(".") || first.contains(":") || first == "localhost")
        registry = namesRegistry ? String(first) : "docker.io"
        repository = namesRegistry ? String(rest.dropFirst(first.count + 1)) : String(rest)
        if registry == "docker.io", !repository.contains("/") { repository = "library/\(repository)" }
    }
}
