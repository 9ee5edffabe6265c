import Foundation

/// An image that was built and pushed.
package struct ImageBuild: Hashable, Sendable {
    package var projectID: Int
    package var origin: ReleaseOrigin
    /// As ``ImageBuildRequest/name``.
    package var name: String
    /// Registry and repository without a tag: `127.0.0.1:8080/group/project/name`.
    package var reference: String
    package var digest: String
    /// The TCP ports of the Dockerfile's EXPOSE, ascending.
    package var ports: [Int]

    package init(
        projectID: Int,
        origin: ReleaseOrigin,
        name: String,
        reference: String,
        digest: String,
        ports: [Int] = []
    ) {
        self.projectID = projectID
        self.origin = origin
        self.name = name
        self.reference = reference
        self.digest = digest
        self.ports = ports
    }
}

/// What `buildah` is started with. Values only: nothing here touches the machine.
struct BuildahCommands {
    /// The project's image store and layer cache.
    var store: String
    /// The folder of this one build.
    var workspace: String
    /// `overlay` or `vfs`
    var driver: String
    /// Host and port of the registry, as this machine reaches it.
    var registry: String

    /// Builds the image under a name that only this store knows.
    func build(_ request: ImageBuildRequest, labels: [(String, String)], image: String, context: String) -> HostProgram
    {
        var arguments = ["bud", "--isolation", "chroot", "--runtime", "/usr/bin/runc", "--layers", "--force-rm"]
        arguments += ["--authfile", authenticationFile, "--file", "\(context)/\(request.file)", "--tag", image]
        if !request.target.isEmpty { arguments += ["--target", request.target] }
        for argument in request.arguments { arguments += ["--build-arg", argument] }
        for (name, value) in labels { arguments += ["--label", "\(name)=\(value)"] }
        return program(arguments + [context])
    }

    func push(_ image: String, to reference: String) -> HostProgram {
        program([
            "push", "--quiet", "--disable-compression", "--tls-verify=false", "--authfile", authenticationFile,
            "--digestfile", digestFile, image, "docker://\(reference)",
        ])
    }

    func configuration(of image: String) -> HostProgram {
        program(["inspect", "--type", "image", image])
    }

    /// Removes the containers that builds leave behind when they are killed.
    func removeContainers() -> HostProgram { program(["rm", "--all"]) }

    /// All images, those of the layer cache included, as JSON.
    func images() -> HostProgram { program(["images", "--all", "--json"]) }

    func removeImages(_ identifiers: [String]) -> HostProgram { program(["rmi"] + identifiers) }

    // MARK: - Files that the programs read

    var digestFile: String { "\(workspace)/digest" }
    var authenticationFile: String { "\(workspace)/auth.json" }

    /// containers-auth.json(5)
    func authentication(_ login: RegistryLogin) -> String {
        let secret = Data("\(login.user):\(login.secret)".utf8).base64EncodedString()
        return #"{"auths":{"\#(registry)":{"auth":"\#(secret)"}}}"#
    }

    /// containers-registries.conf(5): public registries through our mirrors first, ours without TLS on this machine.
    var registries: String {
        let mirrored = [
            "docker.io", "quay.io", "ghcr.io", "registry.k8s.io", "gcr.io", "public.ecr.aws", "mcr.microsoft.com",
        ]
        var text = """
            unqualified-search-registries = ["docker.io"]
            short-name-mode = "disabled"

            [[registry]]
            location = "\(registry)"
            insecure = true

            """
        for name in mirrored {
            text += """

                [[registry]]
                prefix = "\(name)"
                location = "\(name)"
                [[registry.mirror]]
                location = "\(registry)/mirror/\(name)"
                insecure = true

                """
        }
        return text
    }

    static let policy = #"{"default":[{"type":"insecureAcceptAnything"}]}"#

    /// containers-storage.conf(5)
    var storage: String {
        """
        [storage]
        driver = "\(driver)"
        graphroot = "\(store)"
        runroot = "\(workspace)/run"

        """
    }

    // MARK: - Private

    /// In a process and mount namespace of its own, so that a build that is killed leaves neither processes nor mounts.
    private func program(_ arguments: [String]) -> HostProgram {
        let own = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "buildah"]
        let storage = ["--root", store, "--runroot", "\(workspace)/run", "--storage-driver", driver]
        let verb = [arguments[0], "--signature-policy", "\(workspace)/policy.json"]
        let takesPolicy = ["bud", "push"].contains(arguments[0])
        return HostProgram(
            name: "unshare",
            arguments: own + storage + (takesPolicy ? verb : [arguments[0]]) + arguments.dropFirst(),
            environment: [
                "HOME": workspace, "TMPDIR": "\(workspace)/temporary",
                "CONTAINERS_REGISTRIES_CONF": "\(workspace)/registries.conf",
                "CONTAINERS_STORAGE_CONF": "\(workspace)/storage.conf",
                "CONTAINERS_CONF": "/dev/null",
            ],
            folder: workspace
        )
    }
}
