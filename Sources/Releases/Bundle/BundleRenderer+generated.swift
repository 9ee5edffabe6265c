import KubernetesModel

extension BundleRenderer {
    /// The port of an application that exposes none.
    private static let defaultPort = 8080

    /// A Deployment and a Service for each image, and a route to the one that people see.
    func generate() throws -> (documents: [ManifestDocument], notes: [String]) {
        guard !images.isEmpty else {
            throw ReleaseError(
                "there is nothing to deploy: no manifests were sent and this pipeline built no image; add a k8s folder or run sampan build before"
            )
        }
        let images = images.sorted { $0.name < $1.name }
        var documents: [ManifestDocument] = []
        var notes: [String] = []
        for image in images {
            let name = serviceName(of: image)
            let port = image.ports.first ?? Self.defaultPort
            notes.append(note(name, port, isExposed: !image.ports.isEmpty))
            documents.append(document(deployment(name, image, port)))
            documents.append(document(service(name, port)))
        }
        if let entrance = entrance(of: images) {
            documents.append(document(route(serviceName(of: entrance))))
        } else {
            notes.append("no route: none of several images is called web; add an HTTPRoute to k8s/")
        }
        return (documents, notes)
    }

    // MARK: - Private

    private func note(_ name: String, _ port: Int, isExposed: Bool) -> String {
        let made = "no manifests: made a Deployment and a Service for \(name) on port \(port)"
        return isExposed
            ? "\(made), from EXPOSE in its Dockerfile"
            : "\(made); its Dockerfile has no EXPOSE, so it is told PORT=\(port)"
    }

    private func serviceName(of image: ImageBuild) -> String {
        let name =
            image.name.isEmpty ? environment.project.path.split(separator: "/").last.map(String.init) ?? "" : image.name
        return name.slug
    }

    private func entrance(of images: [ImageBuild]) -> ImageBuild? {
        images.count == 1 ? images.first : images.first { $0.name.isEmpty } ?? images.first { $0.name == "web" }
    }

    private func document(_ object: JSON) -> ManifestDocument { ManifestDocument(object: object, source: "generated") }

    private func deployment(_ name: String, _ image: ImageBuild, _ port: Int) -> JSON {
        var container: JSON = [
            "name": .string(name), "image": .string("\(image.reference)@\(image.digest)"),
            "ports": [["name": "http", "containerPort": JSON(port)]],
            "readinessProbe": ["tcpSocket": ["port": "http"], "periodSeconds": 1, "failureThreshold": 3],
        ]
        if image.ports.isEmpty { container["env"] = [["name": "PORT", "value": .string(String(port))]] }
        return [
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": ["name": .string(name)],
            "spec": [
                "selector": ["matchLabels": ["app": .string(name)]],
                "template": ["metadata": ["labels": ["app": .string(name)]], "spec": ["containers": [container]]],
            ],
        ]
    }

    private func service(_ name: String, _ port: Int) -> JSON {
        [
            "apiVersion": "v1", "kind": "Service", "metadata": ["name": .string(name)],
            "spec": [
                "selector": ["app": .string(name)], "ports": [["name": "http", "port": 80, "targetPort": JSON(port)]],
            ],
        ]
    }

    private func route(_ service: String) -> JSON {
        [
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": ["name": .string(service)],
            "spec": ["rules": [["backendRefs": [["name": .string(service), "port": 80]]]]],
        ]
    }
}
