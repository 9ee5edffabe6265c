package import KubernetesClient
import KubernetesModel
package import Logging
import ServiceLifecycle

/// Gives every namespace what its pods need to speak to the API: the ServiceAccount `default` and the ConfigMap `kube-root-ca.crt`.
package struct ServiceAccountController: Service {
    private static let rootCertificateName = "kube-root-ca.crt"

    private let client: any ClusterClient
    private let namespaces: Informer
    private let serviceAccounts: Informer
    private let configMaps: Informer
    private let rootCertificate: String?
    private let queue: WorkQueue<ObjectKey>

    /// - Parameter rootCertificate: the PEM text of the API's certificate authority; without it no ConfigMap is made
    package init(client: any ClusterClient, informers: Informers, rootCertificate: String?, logger: Logger) {
        self.client = client
        self.rootCertificate = rootCertificate
        namespaces = informers[.namespaces]
        serviceAccounts = informers[.serviceAccounts]
        configMaps = informers[.configMaps]
        queue = WorkQueue("serviceaccount", logger: logger)
        let queue = queue
        namespaces.onChange { _, new in
            if let new { queue.add(AnyObjectView(new).key) }
        }
        serviceAccounts.onChange { old, new in
            guard new == nil, let old else { return }
            queue.add(ObjectKey(namespace: "", name: AnyObjectView(old).namespace))
        }
        configMaps.onChange { old, new in
            guard let object = new ?? old, AnyObjectView(object).name == Self.rootCertificateName else { return }
            queue.add(ObjectKey(namespace: "", name: AnyObjectView(object).namespace))
        }
    }

    package func run() async throws {
        let informers = [namespaces, serviceAccounts, configMaps]
        try await Controller(queue: queue, informers: informers, reconcile: reconcile).run()
    }

    private func reconcile(_ key: ObjectKey) async throws {
        guard let namespace = namespaces.get(key), !AnyObjectView(namespace).isBeingDeleted else { return }
        if serviceAccounts.get(namespace: key.name, name: "default") == nil {
            try await create(
                .serviceAccounts,
                ["metadata": ["name": "default", "namespace": .string(key.name)]],
                in: key.name
            )
        }
        try await publishRootCertificate(in: key.name)
    }

    private func publishRootCertificate(in namespace: String) async throws {
        guard let rootCertificate else { return }
        let data: JSON = ["ca.crt": .string(rootCertificate)]
        let name = Self.rootCertificateName
        if let existing = configMaps.get(namespace: namespace, name: name) {
            guard existing["data"] != data else { return }
            _ = try await client.patch(.configMaps, namespace: namespace, name: name, .merge(["data": data]))
        } else {
            let metadata: JSON = ["name": .string(name), "namespace": .string(namespace)]
            try await create(.configMaps, ["metadata": metadata, "data": data], in: namespace)
        }
    }

    private func create(_ resource: Resource, _ object: JSON, in namespace: String) async throws {
        var object = object
        object["apiVersion"] = .string(resource.apiVersion)
        object["kind"] = .string(resource.kind)
        do {
            _ = try await client.create(resource, namespace: namespace, object)
        } catch let error as StatusError where error.isAlreadyExists || error.isNotFound || error.code == 403 {
            return  // made meanwhile, or the namespace is going
        }
    }
}
