import KubernetesModel

extension ContainerSecurity {
    /// What the container's own `securityContext` says, else the pod's.
    ///
    /// - Throws: ``ConfigurationError`` when the container must not run as root and would.
    init(_ definition: ContainerDefinition, in pod: Pod, image: RuntimeImage?) throws {
        let own = definition.securityContext
        let shared = pod.securityContext
        self.init()
        runAsUser = own["runAsUser"]?.int ?? shared["runAsUser"]?.int
        runAsGroup = own["runAsGroup"]?.int ?? shared["runAsGroup"]?.int
        supplementalGroups = Self.groups(shared)
        isPrivileged = own["privileged"]?.bool ?? false
        hasReadOnlyRoot = own["readOnlyRootFilesystem"]?.bool ?? false
        forbidsNewPrivileges = own["allowPrivilegeEscalation"]?.bool == false
        addedCapabilities = own["capabilities", "add"]?.array?.compactMap(\.string) ?? []
        droppedCapabilities = own["capabilities", "drop"]?.array?.compactMap(\.string) ?? []
        seccomp = Self.seccomp(own["seccompProfile"] ?? shared["seccompProfile"])
        namespaces = pod.namespaces
        if own["runAsNonRoot"]?.bool ?? shared["runAsNonRoot"]?.bool ?? false {
            try refuseRoot(definition, image)
        }
        // CRI takes a group only together with a user; without one the image's user counts.
        if runAsGroup != nil, runAsUser == nil { runAsUser = image?.userID ?? 0 }
    }

    /// The groups that every process of the pod is in.
    static func groups(_ shared: JSON) -> [Int] {
        let listed = shared["supplementalGroups"]?.array?.compactMap(\.int) ?? []
        return listed + (shared["fsGroup"]?.int.map { [$0] } ?? [])
    }

    private static func seccomp(_ profile: JSON?) -> Seccomp {
        switch profile?["type"]?.string {
        case "RuntimeDefault": .runtimeDefault
        case "Localhost": .localhost(profile?["localhostProfile"]?.string ?? "")
        default: .unconfined
        }
    }

    private func refuseRoot(_ definition: ContainerDefinition, _ image: RuntimeImage?) throws {
        if let runAsUser {
            guard runAsUser != 0 else {
                throw ConfigurationError("container's runAsUser breaks non-root policy (container: \(definition.name))")
            }
            return
        }
        if let userName = image?.userName, !userName.isEmpty {
            throw ConfigurationError(
                "container has runAsNonRoot and image has non-numeric user (\(userName)), cannot verify user is non-root"
            )
        }
        guard let user = image?.userID, user != 0 else {
            throw ConfigurationError("container has runAsNonRoot and image will run as root")
        }
    }
}
