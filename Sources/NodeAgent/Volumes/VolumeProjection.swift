import KubernetesModel

/// The files of a volume that is made from objects: path → content and mode.
struct VolumeFiles: Hashable, Sendable {
    struct File: Hashable, Sendable {
        var bytes: [UInt8]
        var mode: UInt32
    }

    var files: [String: File] = [:]
}

/// Works out the files of configMap, secret, downwardAPI and projected volumes. Pure: objects and tokens are given.
struct VolumeProjection {
    let facts: DownwardFacts
    /// By name, as far as they exist.
    var configMaps: [String: JSON] = [:]
    var secrets: [String: JSON] = [:]
    /// By ``TokenRequest``.
    var tokens: [TokenRequest: String] = [:]

    /// A token that a projected volume asks for.
    struct TokenRequest: Hashable, Sendable {
        var audience: String
        var expirationSeconds: Int

        init(_ source: JSON) {
            audience = source["audience"]?.string ?? ""
            expirationSeconds = max(600, source["expirationSeconds"]?.int ?? 3600)
        }
    }

    /// What a volume reads.
    struct References: Hashable, Sendable {
        var configMaps: Set<String> = []
        var secrets: Set<String> = []
        var tokens: Set<TokenRequest> = []

        init(of volume: JSON) {
            add(volume)
            for source in volume["projected", "sources"]?.array ?? [] { add(source) }
        }

        private mutating func add(_ source: JSON) {
            if let name = source["configMap", "name"]?.string { configMaps.insert(name) }
            // The secret of a volume is named differently from that of a projected source.
            if let name = (source["secret", "secretName"] ?? source["secret", "name"])?.string { secrets.insert(name) }
            if let token = source["serviceAccountToken"] { tokens.insert(TokenRequest(token)) }
        }
    }

    /// - Throws: ``ConfigurationError`` naming what is missing.
    func files(of volume: JSON) throws -> VolumeFiles {
        var result = VolumeFiles()
        if let projected = volume["projected"] {
            let mode = UInt32(projected["defaultMode"]?.int ?? 0o644)
            for source in projected["sources"]?.array ?? [] { try add(source, mode, to: &result) }
        } else {
            try add(volume, 0o644, to: &result)
        }
        return result
    }

    // MARK: - Private

    private func add(_ source: JSON, _ mode: UInt32, to result: inout VolumeFiles) throws {
        if let map = source["configMap"] {
            try addConfigMap(map, mode, to: &result)
        } else if let secret = source["secret"] {
            try addSecret(secret, mode, to: &result)
        } else if let items = source["downwardAPI"] {
            try addFacts(items, mode, to: &result)
        } else if let token = source["serviceAccountToken"] {
            guard let text = tokens[TokenRequest(token)] else {
                throw ConfigurationError("no token for service account \(facts.pod.serviceAccountName)")
            }
            try put(token["path"]?.string, Array(text.utf8), 0o600 | mode & 0o077, to: &result)
        }
    }

    private func addConfigMap(_ map: JSON, _ mode: UInt32, to result: inout VolumeFiles) throws {
        let name = map["name"]?.string ?? ""
        guard let object = configMaps[name] else {
            if map["optional"]?.bool == true { return }
            throw ConfigurationError("configmap \"\(name)\" not found")
        }
        var content = (object["data"]?.stringMap ?? [:]).mapValues { Array($0.utf8) }
        content.merge(SecretData(["data": object["binaryData"] ?? [:]]).bytes) { text, _ in text }
        try addItems(map, content, mode, "configmap", name, to: &result)
    }

    private func addSecret(_ secret: JSON, _ mode: UInt32, to result: inout VolumeFiles) throws {
        let name = (secret["secretName"] ?? secret["name"])?.string ?? ""
        guard let object = secrets[name] else {
            if secret["optional"]?.bool == true { return }
            throw ConfigurationError("secret \"\(name)\" not found")
        }
        try addItems(secret, SecretData(object).bytes, mode, "secret", name, to: &result)
    }

    /// All keys, or those that `items` lists under the paths that it gives.
    private func addItems(
        _ source: JSON,
        _ content: [String: [UInt8]],
        _ mode: UInt32,
        _ kind: String,
        _ name: String,
        to result: inout VolumeFiles
    ) throws {
        let mode = source["defaultMode"]?.int.map(UInt32.init) ?? mode
        guard let items = source["items"]?.array else {
            for (key, bytes) in content { try put(key, bytes, mode, to: &result) }
            return
        }
        for item in items {
            let key = item["key"]?.string ?? ""
            guard let bytes = content[key] else {
                if source["optional"]?.bool == true { continue }
                throw ConfigurationError("\(kind) \"\(name)\" references non-existent key: \(key)")
            }
            try put(item["path"]?.string, bytes, item["mode"]?.int.map(UInt32.init) ?? mode, to: &result)
        }
    }

    private func addFacts(_ source: JSON, _ mode: UInt32, to result: inout VolumeFiles) throws {
        let mode = source["defaultMode"]?.int.map(UInt32.init) ?? mode
        for item in source["items"]?.array ?? [] {
            let text: String
            if let path = item["fieldRef", "fieldPath"]?.string {
                text = try facts.field(path)
            } else {
                let reference = item["resourceFieldRef"] ?? [:]
                let container = facts.pod.container(reference["containerName"]?.string ?? "")
                text = try facts.resource(reference, of: container ?? ContainerDefinition([:], isInit: false))
            }
            let itemMode = item["mode"]?.int.map(UInt32.init) ?? mode
            try put(item["path"]?.string, Array(text.utf8), itemMode, to: &result)
        }
    }

    /// Paths stay inside the volume.
    private func put(_ path: String?, _ bytes: [UInt8], _ mode: UInt32, to result: inout VolumeFiles) throws {
        guard let path, VolumePath.isInside(path) else {
            throw ConfigurationError("the path \"\(path ?? "")\" must be relative and without '..'")
        }
        result.files[path] = VolumeFiles.File(bytes: bytes, mode: mode & 0o777)
    }
}

enum VolumePath {
    /// A relative path that cannot leave the folder it is put below.
    static func isInside(_ path: String) -> Bool {
        guard !path.isEmpty, !path.hasPrefix("/") else { return false }
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        return parts.allSatisfy { $0 != ".." && $0 != "" && $0 != "." } && !path.hasPrefix("..")
    }
}
