import KubernetesModel

/// Where objects of a kind hold the specification of their pods.
enum PodTemplate {
    static func path(ofKind kind: String, apiVersion: String) -> [String]? {
        switch (apiVersion, kind) {
        case ("v1", "Pod"): ["spec"]
        case ("v1", "ReplicationController"), ("apps/v1", _), ("batch/v1", "Job"): ["spec", "template", "spec"]
        case ("batch/v1", "CronJob"): ["spec", "jobTemplate", "spec", "template", "spec"]
        default: nil
        }
    }

    /// Changes the pod specification inside `object`, if its kind has one.
    static func change(_ object: inout JSON, _ change: (inout JSON) -> Void) {
        guard
            let path = path(ofKind: object["kind"]?.string ?? "", apiVersion: object["apiVersion"]?.string ?? ""),
            var spec = object[path: path], spec.object != nil
        else { return }
        change(&spec)
        object[path: path] = spec
    }

    /// The images of all containers, as `object` names them.
    static func images(in object: JSON) -> [String] {
        var (object, images) = (object, [String]())
        change(&object) { spec in
            changeContainers(&spec) { container in
                if let image = container["image"]?.string { images.append(image) }
            }
        }
        return images
    }

    /// The names of the claims that the pods of `object` mount.
    static func claims(in object: JSON) -> [String] {
        guard let path = path(ofKind: object["kind"]?.string ?? "", apiVersion: object["apiVersion"]?.string ?? "")
        else { return [] }
        let volumes = object[path: path + ["volumes"]]?.array ?? []
        return volumes.compactMap { $0["persistentVolumeClaim", "claimName"]?.string }
    }

    /// Changes every container of a pod specification, init and ephemeral ones, too.
    static func changeContainers(_ spec: inout JSON, _ change: (inout JSON) -> Void) {
        for field in ["initContainers", "containers", "ephemeralContainers"] {
            spec.changeElements(field, change)
        }
    }
}

extension JSON {
    /// Changes every element of the array `field`, if there is one.
    mutating func changeElements(_ field: String, _ change: (inout JSON) -> Void) {
        guard var elements = self[field]?.array else { return }
        for index in elements.indices { change(&elements[index]) }
        self[field] = .array(elements)
    }

    /// Changes the text at `path`, if there is one.
    mutating func changeText(_ path: String..., change: (String) -> String) {
        guard let text = self[path: path]?.string else { return }
        self[path: path] = .string(change(text))
    }
}
