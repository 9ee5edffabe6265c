import Foundation
import Subprocess
import SystemPackage

/// The containerd of one home: where it keeps its state, how it is configured, and how it is started.
///
/// Nothing is shared with another home or with a containerd of the system: root, state, sockets and network namespaces live below the
/// home, and the CNI configuration is the home's own. The order of use: ``write()``, start ``arguments`` (or adopt the process
/// that runs), ``waitUntilReady(timeout:)``, ``importPauseImage()``.
package struct ContainerdConfiguration: Hashable, Sendable {
    package enum Snapshotter: String, Hashable, Sendable { case overlayfs, native }

    /// A registry that is spoken to by plain HTTP, or that stands in for another one.
    package struct Registry: Hashable, Sendable {
        /// As in image references: `docker.io`, `127.0.0.1:8080`.
        package var host: String
        /// Where the images come from when no mirror has them: `https://registry-1.docker.io`.
        package var server: String
        /// Tried first, in order; each is a whole path that takes the place of `/v2`.
        package var mirrors: [String]

        package init(host: String, server: String, mirrors: [String] = []) {
            self.host = host
            self.server = server
            self.mirrors = mirrors
        }
    }

    package static let pauseImage = "sampan.local/pause:1"

    package var home: String
    package var registries: [Registry]
    package var snapshotter: Snapshotter
    /// Without CAP_SYS_RESOURCE the kernel refuses to lower a process's out-of-memory score.
    package var restrictsOutOfMemoryScore: Bool
    package var cniBinaryDirectory: String
    package var executable: String

    /// A configuration for this machine.
    package init(
        home: String,
        registries: [Registry] = [],
        executable: String = "containerd",
        cniBinaryDirectory: String? = nil
    ) {
        self.home = home
        self.registries = registries
        self.executable = executable
        self.cniBinaryDirectory = cniBinaryDirectory ?? Self.foundCNIBinaryDirectory
        restrictsOutOfMemoryScore = !ProcessCapabilities.current.contains(.systemResource)
        snapshotter = OverlayProbe.works(in: home) ? .overlayfs : .native
    }

    /// The platform's own registry at `port` of this machine, and Docker Hub by way of the mirror that the registry offers.
    package static func platformRegistries(webPort port: Int) -> [Registry] {
        [
            Registry(host: "127.0.0.1:\(port)", server: "http://127.0.0.1:\(port)"),
            Registry(host: "localhost:\(port)", server: "http://127.0.0.1:\(port)"),
            Registry(
                host: "docker.io",
                server: "https://registry-1.docker.io",
                mirrors: ["http://127.0.0.1:\(port)/v2/mirror/docker.io"]
            ),
        ]
    }

    private static var foundCNIBinaryDirectory: String {
        let usual = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"]
        return usual.first { FileManager.default.isExecutableFile(atPath: "\($0)/bridge") } ?? usual[0]
    }
}

// MARK: - Paths

extension ContainerdConfiguration {
    package var directory: String { "\(home)/containerd" }
    package var socketPath: String { "\(directory)/containerd.sock" }
    package var configurationPath: String { "\(directory)/config.toml" }
    package var cniConfigurationDirectory: String { "\(home)/cni/net.d" }
    var registryDirectory: String { "\(directory)/certs.d" }
    var pauseArchivePath: String { "\(directory)/pause.tar" }

    /// The command that runs containerd in the foreground.
    package var arguments: [String] { [executable, "--config", configurationPath] }
}

// MARK: - Files

extension ContainerdConfiguration {
    /// `config.toml`, version 2.
    package var toml: String {
        """
        version = 2
        root = \(quoted("\(directory)/root"))
        state = \(quoted("\(directory)/state"))
        oom_score = 0
        disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", \
        "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", \
        "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]

        [grpc]
          address = \(quoted(socketPath))

        [plugins."io.containerd.internal.v1.opt"]
          path = \(quoted("\(directory)/opt"))

        [plugins."io.containerd.grpc.v1.cri"]
          sandbox_image = \(quoted(Self.pauseImage))
          restrict_oom_score_adj = \(restrictsOutOfMemoryScore)
          netns_mounts_under_state_dir = true
          disable_tcp_service = true
          stream_server_address = "127.0.0.1"
          stream_server_port = "0"
          max_container_log_line_size = 16384

          [plugins."io.containerd.grpc.v1.cri".cni]
            bin_dir = \(quoted(cniBinaryDirectory))
            conf_dir = \(quoted(cniConfigurationDirectory))

          [plugins."io.containerd.grpc.v1.cri".containerd]
            snapshotter = \(quoted(snapshotter.rawValue))
            default_runtime_name = "runc"

            [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
              runtime_type = "io.containerd.runc.v2"

          [plugins."io.containerd.grpc.v1.cri".registry]
            config_path = \(quoted(registryDirectory))

        """
    }

    /// The files below `certs.d`, by their path there.
    package var registryFiles: [String: String] {
        Dictionary(uniqueKeysWithValues: registries.map { ("\($0.host)/hosts.toml", hostsFile($0)) })
    }

    private func hostsFile(_ registry: Registry) -> String {
        var lines = ["server = \(quoted(registry.server))"]
        for mirror in registry.mirrors {
            lines += [
                "", "[host.\(quoted(mirror))]", #"  capabilities = ["pull", "resolve"]"#, "  override_path = true",
            ]
        }
        lines += ["", "[host.\(quoted(registry.server))]", #"  capabilities = ["pull", "resolve"]"#]
        return lines.joined(separator: "\n") + "\n"
    }

    /// Writes all files, each at once or not at all.
    ///
    /// - Throws: ``ContainerdError`` when the home's path is too long for a Unix socket, or an error of the file system.
    package func write() throws {
        guard socketPath.utf8.count < 104 else {
            throw ContainerdError(
                "the home \(home) is too deep: the path of a socket in it may have 103 bytes, \(socketPath) has "
                    + "\(socketPath.utf8.count)"
            )
        }
        for path in [directory, cniConfigurationDirectory, registryDirectory] {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        }
        try DurableFile.write(toml, to: configurationPath)
        for (path, text) in registryFiles {
            let file = "\(registryDirectory)/\(path)"
            let parent = (file as NSString).deletingLastPathComponent
            try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
            try DurableFile.write(text, to: file)
        }
    }

    private func quoted(_ text: String) -> String {
        let escaped = text.replacingOccurrences(of: "\\", with: "\\\\").replacingOccurrences(of: "\"", with: "\\\"")
        return "\"\(escaped)\""
    }
}

// MARK: - Process

extension ContainerdConfiguration {
    /// Waits until containerd answers CRI calls.
    ///
    /// - Throws: ``ContainerdError`` after `timeout`.
    package func waitUntilReady(timeout: Duration = .seconds(30)) async throws {
        let deadline = ContinuousClock.now + timeout
        let runtime = try CRIRuntime(socketPath: socketPath)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await runtime.run() }
            defer { group.cancelAll() }
            while true {
                do {
                    _ = try await runtime.version()
                    return
                } catch let error as RuntimeError {
                    guard ContinuousClock.now < deadline else {
                        throw ContainerdError("containerd does not answer at \(socketPath): \(error.message)")
                    }
                    try await Task.sleep(for: .milliseconds(50))
                }
            }
        }
    }

    /// Makes the image of the process that holds a pod's namespaces known to containerd. Again is harmless.
    package func importPauseImage() async throws {
        let archive = try PauseImage.archive(reference: Self.pauseImage)
        try archive.write(to: URL(fileURLWithPath: pauseArchivePath), options: .atomic)
        try await importImage(archivePath: pauseArchivePath)
    }

    /// Imports an image archive (`docker save` or OCI layout) so that pods find its images without a registry.
    package func importImage(archivePath: String) async throws {
        let result = try await Subprocess.run(
            .name("ctr"),
            arguments: ["-a", socketPath, "-n", "k8s.io", "images", "import", archivePath],
            output: .string(limit: 65_536),
            error: .string(limit: 65_536)
        )
        guard result.terminationStatus.isSuccess else {
            throw ContainerdError("ctr could not import \(archivePath): \(result.standardError)")
        }
    }
}

package struct ContainerdError: Error, CustomStringConvertible {
    package let description: String
    init(_ description: String) { self.description = description }
}
