import Foundation
import KubernetesClient
import KubernetesModel

/// Puts bundles into a namespace: checks, applies, removes.
struct BundleApplier: Sendable {
    /// Owns the fields that releases write (server-side apply).
    static let fieldManager = "sampan-release"

    let client: any ClusterClient
    let environment: ReleaseEnvironment

    private var namespace: String { environment.namespace }

    /// Makes the namespace; refuses one that belongs to somebody else.
    func prepareNamespace() async throws {
        try await EnvironmentNamespaces(client: client).prepare(environment)
    }

    /// Stores the login with which nodes pull the project's images. It is renewed by each release and in no bundle.
    func writePullSecret(_ name: String, registry: String, _ login: RegistryLogin) async throws {
        let auth = Data("\(login.user):\(login.secret)".utf8).base64EncodedString()
        let configuration: JSON = ["auths": [registry: ["auth": .string(auth)]]]
        let secret: JSON = [
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
            "metadata": ["name": .string(name), "namespace": .string(namespace), "labels": JSON(environment.labels)],
            "data": [".dockerconfigjson": .string(Data(configuration.encoded()).base64EncodedString())],
        ]
        try await apply(secret)
    }

    /// Asks the cluster whether it would take every object, unknown fields counting as errors; says all that is wrong.
    func check(_ rendering: BundleRenderer.Rendering) async throws {
        var problems: [String] = []
        for object in rendering.bundle.objects {
            guard let identity = ObjectIdentity(object) else { continue }
            do {
                try await apply(object, isDryRun: true)
            } catch let error as StatusError {
                let source = rendering.sources[identity] ?? "generated"
                problems.append("\(source): \(identity.description): \(error.message)")
            }
        }
        guard problems.isEmpty else { throw ReleaseError(problems.joined(separator: "\n")) }
    }

    func apply(_ bundle: ReleaseBundle) async throws {
        for object in bundle.objects {
            do {
                try await apply(object)
            } catch let error as StatusError where error.code < 500 {
                throw ReleaseError("\(ObjectIdentity(object)?.description ?? "object"): \(error.message)")
            }
        }
    }

    /// Deletes those of `identities` that are there and ours.
    func remove(_ identities: [ObjectIdentity], _ output: ProgressOutput) async throws {
        for identity in identities {
            let found = try await client.find(identity.resource, namespace: namespace, name: identity.name)
            guard let found, isOurs(AnyObjectView(found)) else { continue }
            do {
                let options = DeleteOptions(propagationPolicy: .background)
                _ = try await client.delete(
                    identity.resource,
                    namespace: namespace,
                    name: identity.name,
                    options: options
                )
                output.line("removed \(identity.description)")
            } catch let error as StatusError where error.isNotFound {
                continue
            }
        }
    }

    // MARK: - Private

    /// The namespace is ours; the project may have had another name when the object was made.
    private func isOurs(_ object: AnyObjectView) -> Bool {
        ["app.kubernetes.io/managed-by", "sampan.dev/environment"].allSatisfy {
            object.labels[$0] == environment.labels[$0]
        }
    }

    private func apply(_ object: JSON, isDryRun: Bool = false) async throws {
        guard let identity = ObjectIdentity(object) else {
            throw ReleaseError("\(object["kind"]?.string ?? "an object") is of a kind that this cluster does not serve")
        }
        let options = WriteOptions(
            fieldManager: Self.fieldManager,
            force: true,
            isDryRun: isDryRun,
            fieldValidation: isDryRun ? "Strict" : "Warn"
        )
        _ = try await client.patch(
            identity.resource,
            namespace: namespace,
            name: identity.name,
            subresource: nil,
            .apply(object),
            options: options
        )
    }
}
