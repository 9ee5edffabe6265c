import Crypto
import KubernetesModel

/// Gives ConfigMaps, Secrets and Jobs names that carry a hash of their content, so that a changed configuration is a rollout, a
/// changed Job runs, and an earlier release finds exactly the bytes that it had.
struct ConfigurationNames {
    /// On a ConfigMap, Secret or Job: `disabled` keeps the name as it is.
    static let optOut = "sampan.dev/name-hash"

    private var names: [String: [String: String]] = [:]

    /// Renames what is to be renamed among `objects` and rewrites every reference to it.
    static func apply(to objects: inout [JSON]) {
        var names = ConfigurationNames()
        for index in objects.indices where hasHash(objects[index]) && objects[index]["kind"]?.string != "Job" {
            names.rename(&objects[index])
        }
        for index in objects.indices { names.rewrite(&objects[index]) }
        // Jobs last: their hash covers the names that they refer to.
        for index in objects.indices where hasHash(objects[index]) && objects[index]["kind"]?.string == "Job" {
            names.rename(&objects[index])
        }
    }

    /// The first ten hexadecimal digits of the SHA-256 of what the object holds, its name and labels aside.
    static func hash(of object: JSON) -> String {
        var content = JSONObject()
        for (field, value) in object.object ?? [:] where field != "metadata" { content[field] = value }
        let digest = SHA256.hash(data: JSON.object(content).sorted.encoded())
        return digest.prefix(5).map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? "0" + digits : digits
        }.joined()
    }

    // MARK: - Private

    private static func hasHash(_ object: JSON) -> Bool {
        guard object["metadata", "annotations", optOut]?.string != "disabled" else { return false }
        switch (object["apiVersion"]?.string, object["kind"]?.string) {
        case ("v1", "ConfigMap"), ("batch/v1", "Job"): return true
        // The token of a service account is filled in by the cluster, under the name that it was asked for.
        case ("v1", "Secret"): return object["type"]?.string != "kubernetes.io/service-account-token"
        default: return false
        }
    }

    private mutating func rename(_ object: inout JSON) {
        guard let kind = object["kind"]?.string, let name = object["metadata", "name"]?.string else { return }
        let renamed = "\(name)-\(Self.hash(of: object))"
        names[kind, default: [:]][name] = renamed
        object["metadata", "name"] = .string(renamed)
        object["metadata", "annotations", "sampan.dev/name"] = .string(name)
    }

    private func configMap(_ name: String) -> String { names["ConfigMap"]?[name] ?? name }
    private func secret(_ name: String) -> String { names["Secret"]?[name] ?? name }

    private func rewrite(_ object: inout JSON) {
        PodTemplate.change(&object, rewrite(podSpec:))
        switch object["kind"]?.string {
        case "ServiceAccount":
            object.changeElements("imagePullSecrets") { $0.changeText("name", change: secret) }
            object.changeElements("secrets") { $0.changeText("name", change: secret) }
        case "Ingress":
            object.changeField("spec") { $0.changeElements("tls") { $0.changeText("secretName", change: secret) } }
        case "Gateway":
            object.changeField("spec") { spec in
                spec.changeElements("listeners") { listener in
                    listener.changeField("tls") {
                        $0.changeElements("certificateRefs") { $0.changeText("name", change: secret) }
                    }
                }
            }
        case "BackendTLSPolicy":
            object.changeField("spec") { spec in
                spec.changeField("validation") {
                    $0.changeElements("caCertificateRefs") { $0.changeText("name", change: configMap) }
                }
            }
        default: break
        }
    }

    private func rewrite(podSpec spec: inout JSON) {
        spec.changeElements("imagePullSecrets") { $0.changeText("name", change: secret) }
        spec.changeElements("volumes", rewrite(volume:))
        PodTemplate.changeContainers(&spec) { container in
            container.changeElements("envFrom") { source in
                source.changeText("configMapRef", "name", change: configMap)
                source.changeText("secretRef", "name", change: secret)
            }
            container.changeElements("env") { variable in
                variable.changeText("valueFrom", "configMapKeyRef", "name", change: configMap)
                variable.changeText("valueFrom", "secretKeyRef", "name", change: secret)
            }
        }
    }

    private func rewrite(volume: inout JSON) {
        volume.changeText("configMap", "name", change: configMap)
        volume.changeText("secret", "secretName", change: secret)
        volume.changeField("projected") { projected in
            projected.changeElements("sources") { source in
                source.changeText("configMap", "name", change: configMap)
                source.changeText("secret", "name", change: secret)
            }
        }
    }
}

extension JSON {
    /// Changes the field, if there is one.
    mutating func changeField(_ field: String, _ change: (inout JSON) -> Void) {
        guard var value = self[field] else { return }
        change(&value)
        self[field] = value
    }

    /// The value with the fields of all objects in ascending order.
    var sorted: JSON {
        switch self {
        case .object(let object):
            let fields = object.sorted { $0.key < $1.key }.map { ($0.key, $0.value.sorted) }
            return .object(JSONObject(uniqueKeysWithValues: fields))
        case .array(let elements): return .array(elements.map(\.sorted))
        default: return self
        }
    }
}
