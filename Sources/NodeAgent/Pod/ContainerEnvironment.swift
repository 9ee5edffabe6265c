import Foundation
import KubernetesModel

/// Works out the environment of a container from its definition and the objects that it names. Pure.
struct ContainerEnvironment {
    let definition: ContainerDefinition
    let facts: DownwardFacts
    /// The ConfigMaps that are named, by name, as far as they exist.
    let configMaps: [String: JSON]
    let secrets: [String: JSON]
    /// Where the API and the services of the namespace are.
    let service: [ContainerSpecification.Variable]

    /// The names of the objects that `env` and `envFrom` read.
    static func references(of definition: ContainerDefinition) -> (configMaps: Set<String>, secrets: Set<String>) {
        var configMaps: Set<String> = []
        var secrets: Set<String> = []
        for source in definition.json["envFrom"]?.array ?? [] {
            if let name = source["configMapRef", "name"]?.string { configMaps.insert(name) }
            if let name = source["secretRef", "name"]?.string { secrets.insert(name) }
        }
        for variable in definition.json["env"]?.array ?? [] {
            if let name = variable["valueFrom", "configMapKeyRef", "name"]?.string { configMaps.insert(name) }
            if let name = variable["valueFrom", "secretKeyRef", "name"]?.string { secrets.insert(name) }
        }
        return (configMaps, secrets)
    }

    /// The variables, each name once, in the order of their first appearance; later ones win.
    ///
    /// - Throws: ``ConfigurationError`` naming the object or key that is missing.
    func variables() throws -> [ContainerSpecification.Variable] {
        var values: OrderedDictionary<String, String> = [:]
        for variable in service { values[variable.name] = variable.value }
        for source in definition.json["envFrom"]?.array ?? [] {
            let prefix = source["prefix"]?.string ?? ""
            for (key, value) in try self.pairs(from: source) { values[prefix + key] = value }
        }
        for variable in definition.json["env"]?.array ?? [] {
            guard let name = variable["name"]?.string else { continue }
            let known = Dictionary(uniqueKeysWithValues: values.map { ($0.key, $0.value) })
            if let value = try value(of: variable, known) { values[name] = value }
        }
        return values.map { ContainerSpecification.Variable(name: $0.key, value: $0.value) }
    }

    // MARK: - Private

    private func pairs(from source: JSON) throws -> [(String, String)] {
        if let reference = source["configMapRef"] {
            return try object(reference, configMaps, "configmap").map { object in
                (object["data"]?.stringMap ?? [:]).sorted { $0.key < $1.key }
            } ?? []
        }
        if let reference = source["secretRef"] {
            return try object(reference, secrets, "secret").map { object in
                SecretData(object).texts.sorted { $0.key < $1.key }
            } ?? []
        }
        return []
    }

    private func value(of variable: JSON, _ known: [String: String]) throws -> String? {
        guard let source = variable["valueFrom"] else {
            return VariableExpansion.expand(variable["value"]?.string ?? "", known)
        }
        if let path = source["fieldRef", "fieldPath"]?.string { return try facts.field(path) }
        if let reference = source["resourceFieldRef"] { return try facts.resource(reference, of: definition) }
        if let reference = source["configMapKeyRef"] {
            let object = try object(reference, configMaps, "configmap")
            return try key(reference, of: object, "ConfigMap") { $0["data", $1]?.string }
        }
        if let reference = source["secretKeyRef"] {
            let object = try object(reference, secrets, "secret")
            return try key(reference, of: object, "Secret") { SecretData($0).texts[$1] }
        }
        return nil
    }

    /// `nil` for an optional object that does not exist.
    private func object(_ reference: JSON, _ objects: [String: JSON], _ kind: String) throws -> JSON? {
        let name = reference["name"]?.string ?? ""
        if let object = objects[name] { return object }
        if reference["optional"]?.bool == true { return nil }
        throw ConfigurationError("\(kind) \"\(name)\" not found")
    }

    private func key(
        _ reference: JSON,
        of object: JSON?,
        _ kind: String,
        _ read: (JSON, String) -> String?
    ) throws -> String? {
        let key = reference["key"]?.string ?? ""
        guard let object else { return nil }
        if let value = read(object, key) { return value }
        if reference["optional"]?.bool == true { return nil }
        throw ConfigurationError(
            "couldn't find key \(key) in \(kind) \(facts.pod.namespace)/\(reference["name"]?.string ?? "")"
        )
    }
}

/// The decoded content of a Secret.
struct SecretData {
    let bytes: [String: [UInt8]]

    init(_ secret: JSON) {
        let encoded = secret["data"]?.stringMap ?? [:]
        var bytes = encoded.compactMapValues { Data(base64Encoded: $0).map(Array.init) }
        for (key, text) in secret["stringData"]?.stringMap ?? [:] { bytes[key] = Array(text.utf8) }
        self.bytes = bytes
    }

    var texts: [String: String] { bytes.mapValues { String(decoding: $0, as: UTF8.self) } }
}
