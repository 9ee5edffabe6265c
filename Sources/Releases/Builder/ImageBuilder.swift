import Foundation
import HTTPTypes
package import Hummingbird
import KubernetesModel
package import Logging
import NIOCore
import SystemPackage

/// Builds images with `buildah` on this machine and pushes them to the registry.
///
/// Each project has an image store and layer cache of its own, so that no build can use what another project pulled or built. RUN
/// steps are confined by chroot isolation only: whoever may run jobs can use the machine's network and CPU.
package struct ImageBuilder: Sendable {
    package struct Configuration: Sendable {
        /// The folder for image stores and running builds.
        package var root: String
        /// Host and port of the registry, as this machine reaches it: `127.0.0.1:8080`.
        package var registry: String
        /// How many builds run at once; more wait in a line.
        package var parallelBuilds = 2

        package init(root: String, registry: String) {
            self.root = root
            self.registry = registry
        }
    }

    private let configuration: Configuration
    private let access: any ReleaseAccess
    private let builds: ImageBuildStore
    private let logger: Logger
    private let queue: BuildQueue
    private let gate = StoreGate()
    private let driver: String

    /// Prepares the folders under the configured root and finds out which storage driver this machine allows.
    package init(
        configuration: Configuration,
        access: any ReleaseAccess,
        builds: ImageBuildStore,
        logger: Logger
    ) async throws {
        self.configuration = configuration
        self.access = access
        self.builds = builds
        self.logger = logger
        queue = BuildQueue(limit: configuration.parallelBuilds)
        let files = FileManager.default
        try? files.removeItem(atPath: "\(configuration.root)/running")
        for folder in ["running", "stores"] {
            try files.createDirectory(atPath: "\(configuration.root)/\(folder)", withIntermediateDirectories: true)
        }
        driver = await Self.storageDriver(probing: "\(configuration.root)/running")
    }

    /// `POST /api/v4/projects/:id/image_builds`: the body is the build context as tar or tar.gz, the answer the build's text.
    package func addRoutes<Context: RequestContext>(to router: some RouterMethods<Context>) {
        router.on("/api/v4/projects/:id/image_builds", method: .post) { request, context in
            let project = try context.parameters.require("id").removingPercentEncoding ?? ""
            let caller = try await access.caller(of: request, project: project, for: .build)
            return Response.streamed(request) { body, output in
                let build = try ImageBuildRequest(parameters: request.uri.queryParameters)
                return try await self.build(build, for: caller, context: body, output)
            }
        }
    }

    /// Builds, pushes and records one image; answers with the exit code.
    func build(
        _ request: ImageBuildRequest,
        for caller: ReleaseCaller,
        context: some AsyncSequence<ByteBuffer, any Error>,
        _ output: ProgressOutput
    ) async throws -> Int {
        try await withWorkspace { workspace in
            let folder = ArchiveFolder(workspace: workspace, limits: .buildContext)
            let size = try await folder.fill(from: context)
            output.line("context: \(size >> 10) KiB received")
            try requireInside(folder, request)
            return try await queue.run(moved: { output.line("waiting for a place to build: \($0) in line") }) {
                let buildah = try prepare(workspace, for: caller)
                return try await gate.use(buildah.store, tend: { await tend(buildah) }) {
                    guard let image = try await buildImage(request, caller, buildah, folder, output) else { return 1 }
                    try await push(image, request, caller, buildah, output)
                    return 0
                }
            }
        }
    }

    // MARK: - Steps

    /// A store that cannot be tended may still do for a build, which then says what is wrong with it.
    private func tend(_ buildah: BuildahCommands) async {
        do {
            try await StoreTending(buildah: buildah).perform()
        } catch {
            logger.warning(
                "A store was not cleared of what builds left",
                metadata: ["store": "\(buildah.store)", "error": "\(error)"]
            )
        }
    }

    /// The image's name in the project's store; `nil` when the build failed and the output says why.
    private func buildImage(
        _ request: ImageBuildRequest,
        _ caller: ReleaseCaller,
        _ buildah: BuildahCommands,
        _ folder: ArchiveFolder,
        _ output: ProgressOutput
    ) async throws -> String? {
        let image = "localhost/\(request.repository(of: caller.project)):build"
        // Nothing that differs between commits: an image of the same inputs keeps its digest, and what runs it is not replaced. Which
        // commit an image was built for say its tag, the record of builds and the release.
        let labels = [("org.opencontainers.image.source", caller.project.webURL)]
        let program = buildah.build(
            request,
            labels: labels.filter { !$0.1.isEmpty },
            image: image,
            context: folder.files.string
        )
        let prefix = folder.files.string + "/"
        let code = try await program.run { output.write(Self.replacing(prefix, with: "", in: $0)) }
        guard code == 0 else {
            output.line("error: the build of \(request.file) failed (exit code \(code)); the lines above say why")
            return nil
        }
        return image
    }

    private func push(
        _ image: String,
        _ request: ImageBuildRequest,
        _ caller: ReleaseCaller,
        _ buildah: BuildahCommands,
        _ output: ProgressOutput
    ) async throws {
        let reference = "\(configuration.registry)/\(request.repository(of: caller.project))"
        for tag in Self.tags(of: caller.origin) {
            let code = try await buildah.push(image, to: "\(reference):\(tag)").run { output.write($0) }
            guard code == 0 else { throw ReleaseError("the image could not be pushed to \(reference):\(tag)") }
        }
        let digest = try String(contentsOfFile: buildah.digestFile, encoding: .utf8)
            .trimmingCharacters(in: .whitespacesAndNewlines)
        let build = ImageBuild(
            projectID: caller.project.id,
            origin: caller.origin,
            name: request.name,
            reference: reference,
            digest: digest,
            ports: try Self.ports(await buildah.configuration(of: image).text())
        )
        try await builds.record(build)
        output.line("pushed \(reference)@\(digest)")
        logger.info(
            "Image built",
            metadata: ["image": "\(reference)", "digest": "\(digest)", "commit": "\(caller.origin.commit)"]
        )
    }

    // MARK: - Private

    private func withWorkspace<Value>(_ work: (FilePath) async throws -> Value) async throws -> Value {
        let path = "\(configuration.root)/running/\(UUID().uuidString.lowercased())"
        try FileManager.default.createDirectory(
            atPath: path + "/temporary",
            withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700]
        )
        let result: Result<Value, any Error>
        do { result = .success(try await work(FilePath(path))) } catch { result = .failure(error) }
        await Self.remove(path)
        return try result.get()
    }

    /// Removes a build's folder, also while processes that were just killed still let go of it.
    private static func remove(_ path: String) async {
        // A task of its own, because a cancelled build must be cleared away, too, and may have to wait for that.
        await Task {
            for _ in 0..<50 {
                try? FileManager.default.removeItem(atPath: path)
                guard FileManager.default.fileExists(atPath: path) else { return }
                try? await Task.sleep(for: .milliseconds(20))
            }
        }.value
    }

    /// The Dockerfile must exist inside the context, also after following links: its lines are printed.
    private func requireInside(_ folder: ArchiveFolder, _ request: ImageBuildRequest) throws {
        let root = try FileManager.default.realPath(folder.files.string)
        for file in [request.file, ".dockerignore", ".containerignore"] {
            let path = "\(root)/\(file)"
            guard FileManager.default.isLinkOrFile(path) else {
                guard file == request.file else { continue }
                throw ReleaseError("the build context has no \(file); give its place with --file")
            }
            guard let real = try? FileManager.default.realPath(path), real.hasPrefix(root + "/") else {
                throw ReleaseError("\(file) is a link that leads out of the build context")
            }
        }
    }

    private func prepare(_ workspace: FilePath, for caller: ReleaseCaller) throws -> BuildahCommands {
        let commands = BuildahCommands(
            store: "\(configuration.root)/stores/\(caller.project.id)",
            workspace: workspace.string,
            driver: driver,
            registry: configuration.registry
        )
        let files = [
            "registries.conf": commands.registries, "storage.conf": commands.storage,
            "policy.json": BuildahCommands.policy,
            "auth.json": commands.authentication(caller.login),
        ]
        for (name, text) in files {
            let path = workspace.appending(name).string
            let isWritten = FileManager.default.createFile(
                atPath: path,
                contents: Data(text.utf8),
                attributes: [.posixPermissions: 0o600]
            )
            guard isWritten else { throw ReleaseError("the builder cannot write \(path); is the disk full?") }
        }
        return commands
    }

    /// The commit, and the branch's or tag's slug; a build by hand without a commit is `latest`.
    static func tags(of origin: ReleaseOrigin) -> [String] {
        let tags = [origin.commit, origin.ref.slug].filter { !$0.isEmpty }
        return tags.isEmpty ? ["latest"] : tags
    }

    /// The exposed TCP ports in what `buildah inspect` prints: `{"OCIv1":{"config":{"ExposedPorts":{"8080/tcp":{}}}}}`.
    static func ports(_ inspection: String) throws -> [Int] {
        let ports = try JSON(parsing: inspection)["OCIv1", "config", "ExposedPorts"]?.object?.keys ?? []
        return ports.compactMap { port in
            let parts = port.split(separator: "/")
            return parts.count == 1 || parts.last == "tcp" ? parts.first.flatMap { Int($0) } : nil
        }.sorted()
    }

    private static func replacing(_ text: String, with other: String, in bytes: [UInt8]) -> [UInt8] {
        Array(String(decoding: bytes, as: UTF8.self).replacing(text, with: other).utf8)
    }

    private static func storageDriver(probing folder: String) async -> String {
        let script = "mkdir -p l u w m && mount -t overlay overlay -o lowerdir=l,upperdir=u,workdir=w m"
        let path = folder + "/probe"
        try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: path) }
        let probe = HostProgram(name: "unshare", arguments: ["--mount", "sh", "-c", script], folder: path)
        return (try? await probe.run { _ in }) == 0 ? "overlay" : "vfs"
    }
}

extension FileManager {
    fileprivate func realPath(_ path: String) throws -> String {
        guard let real = realpath(path, nil) else { throw Errno(rawValue: errno) }
        defer { free(real) }
        return String(cString: real)
    }

    fileprivate func isLinkOrFile(_ path: String) -> Bool {
        (try? attributesOfItem(atPath: path)) != nil
    }
}
