import Foundation
import Glibc
import KubernetesModel

/// Turns a container's `volumeMounts` into mounts of prepared volumes.
struct ContainerMounts {
    let volumes: [String: PodVolumes.Prepared]
    let environment: [String: String]

    /// - Throws: ``ConfigurationError`` for a volume that the pod does not have or a subPath that leaves its volume.
    func mounts(of definition: ContainerDefinition) throws -> [ContainerSpecification.Mount] {
        try (definition.json["volumeMounts"]?.array ?? []).map { mount in
            let name = mount["name"]?.string ?? ""
            guard let volume = volumes[name] else {
                throw ConfigurationError("volume \"\(name)\" of container \"\(definition.name)\" is not in the pod")
            }
            return ContainerSpecification.Mount(
                containerPath: mount["mountPath"]?.string ?? "",
                hostPath: try hostPath(mount, volume),
                isReadOnly: volume.isReadOnly || mount["readOnly"]?.bool ?? false,
                propagation: .init(rawValue: mount["mountPropagation"]?.string ?? "None") ?? .none
            )
        }
    }

    private func hostPath(_ mount: JSON, _ volume: PodVolumes.Prepared) throws -> String {
        let expression = mount["subPathExpr"]?.string.map { VariableExpansion.expand($0, environment) }
        let subPath = expression ?? mount["subPath"]?.string ?? ""
        guard !subPath.isEmpty else { return volume.path }
        guard !subPath.hasPrefix("/"), !subPath.split(separator: "/").contains("..") else {
            throw ConfigurationError("subPath \"\(subPath)\" must be relative and without '..'")
        }
        let path = "\(volume.path)/\(subPath)"
        if access(path, F_OK) != 0, !volume.isReadOnly {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        }
        return try resolved(path, inside: volume.path)
    }

    /// Links in a volume are the container's to make: they must not lead out of it.
    private func resolved(_ path: String, inside root: String) throws -> String {
        guard let real = realpath(path, nil), let realRoot = realpath(root, nil) else {
            throw ConfigurationError("subPath \(path) does not exist")
        }
        defer {
            free(real)
            free(realRoot)
        }
        let (target, boundary) = (String(cString: real), String(cString: realRoot))
        guard target == boundary || target.hasPrefix("\(boundary)/") else {
            throw ConfigurationError("subPath \(path) leads out of its volume")
        }
        return target
    }
}
