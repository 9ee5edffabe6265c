import Foundation
import HTTPTypes
package import Hummingbird
import KubernetesClient
import KubernetesModel
import NIOCore
import SystemPackage

extension ReleaseService {
    /// ```
    /// POST /api/v4/projects/:id/deploys?environment=E&timeout=T&request=R
    ///                                        body: manifests as tar or tar.gz; answer: text
    /// POST /api/v4/projects/:id/environments/:name/rollback?to=N answer: text
    /// GET  /api/v4/projects/:id/environments/:name/releases      newest first
    /// ```
    /// `request`, a name of at most 128 letters, digits and dashes that the client makes up, lets it send a deploy again when the
    /// connection was lost: the release that the first one made goes on, or its end is told.
    package func addRoutes<Context: RequestContext>(to router: some RouterMethods<Context>) {
        router.on("/api/v4/projects/:id/deploys", method: .post) { [self] request, context in
            let name = request.uri.queryParameters.get("environment") ?? "daily"
            let caller = try await caller(of: request, context, .deploy(environment: name))
            let timeout = request.uri.queryParameters.get("timeout")
            let requestName = request.uri.queryParameters.get("request") ?? ""
            return Response.streamed(request) { [self] body, output in
                let environment = try await environment(name, of: caller.project)
                return try await deploy(
                    body,
                    to: environment,
                    within: timeout,
                    for: caller,
                    request: requestName,
                    output
                )
            }
        }
        router.on("/api/v4/projects/:id/environments/:name/rollback", method: .post) { [self] request, context in
            let name = try Self.decoded("name", context)
            let caller = try await caller(of: request, context, .rollback(environment: name))
            let number = request.uri.queryParameters.get("to")
            return Response.streamed(request) { [self] _, output in
                try await rollBack(environment(name, of: caller.project), to: number, caller.origin, output)
            }
        }
        router.on("/api/v4/projects/:id/environments/:name/releases", method: .get) { [self] request, context in
            let caller = try await caller(of: request, context, .read)
            let environment = try await environment(try Self.decoded("name", context), of: caller.project)
            return try await releases(of: environment)
        }
    }

    func deploy(
        _ body: some AsyncSequence<ByteBuffer, any Error>,
        to environment: ReleaseEnvironment,
        within timeout: String? = nil,
        for caller: ReleaseCaller,
        request: String = "",
        _ output: ProgressOutput
    ) async throws -> Int {
        guard request.utf8.count <= 128 else { throw ReleaseError("the request's name has more than 128 bytes") }
        let deadline = try timeout.map(ReleaseTimeout.parse)
        let manifests = try await manifests(in: body)
        let renderer = BundleRenderer(
            environment: environment,
            settings: .init(registry: configuration.registry, domain: configuration.domain),
            origin: caller.origin,
            images: try await images.images(project: caller.project.id, origin: caller.origin),
            kindsWithoutController: try await kindsWithoutController()
        )
        let login = try await access.pullLogin(of: caller.project)
        return try await perform(in: environment, output, deadline: deadline) { rollout in
            try await rollout.deploy(manifests, renderer, pullLogin: login, request: request)
        }
    }

    func rollBack(
        _ environment: ReleaseEnvironment,
        to number: String?,
        _ origin: ReleaseOrigin,
        _ output: ProgressOutput
    ) async throws -> Int {
        let target = try number.map { text in
            guard let number = Int(text), number > 0 else {
                throw ReleaseError("to is \"\(text)\", expected the number of a release")
            }
            return number
        }
        return try await perform(in: environment, output) { try await $0.rollBack(to: target, origin: origin) }
    }

    // MARK: - Private

    private func caller(
        of request: Request,
        _ context: some RequestContext,
        _ action: ReleaseAction
    ) async throws -> ReleaseCaller {
        try await access.caller(of: request, project: Self.decoded("id", context), for: action)
    }

    private static func decoded(_ name: String, _ context: some RequestContext) throws -> String {
        try context.parameters.require(name).removingPercentEncoding ?? ""
    }

    func environment(_ name: String, of project: ReleaseProject) async throws -> ReleaseEnvironment {
        try Self.checkEnvironment(name)
        return try await EnvironmentNamespaces(client: client).environment(name, of: project)
    }

    static func checkEnvironment(_ name: String) throws {
        let isAllowed = name.unicodeScalars.allSatisfy { scalar in
            scalar.isASCII
                && (scalar.properties.isAlphabetic || scalar.properties.numericType != nil
                    || " _-/.".unicodeScalars.contains(scalar))
        }
        guard isAllowed, !name.slug.isEmpty, name.utf8.count <= 255 else {
            throw ReleaseError("\"\(name)\" is no name of an environment; expected letters, digits, spaces and _ - / .")
        }
    }

    private func releases(of environment: ReleaseEnvironment) async throws -> Response {
        let history = try await ReleaseStore(client: client).history(of: environment)
        let list = JSON.array(history.releases.reversed().map(\.summary))
        return Response(
            status: .ok,
            headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: list.encoded()))
        )
    }

    /// A cluster that says nothing, or does not let us ask, acts on all its kinds.
    private func kindsWithoutController() async throws -> KindsWithoutController {
        let key = KindsWithoutController.key
        do {
            let list = try await client.find(.configMaps, namespace: key.namespace, name: key.name)
            return KindsWithoutController(configMap: list)
        } catch let error as StatusError where error.code == 403 {
            return KindsWithoutController()
        }
    }

    private func manifests(in body: some AsyncSequence<ByteBuffer, any Error>) async throws -> [ManifestDocument] {
        let path = "\(configuration.workspace)/\(UUID().uuidString.lowercased())"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: path) }
        let folder = ArchiveFolder(workspace: FilePath(path), limits: .manifests)
        try await folder.fill(from: body)
        return try ManifestReader.read(try Self.texts(below: folder.files.string))
    }

    /// The regular files below `root` with their relative paths; links are passed over.
    private static func texts(below root: String) throws -> [(path: String, text: String)] {
        let paths = FileManager.default.enumerator(atPath: root)?.compactMap { $0 as? String } ?? []
        return try paths.compactMap { path in
            let attributes = try FileManager.default.attributesOfItem(atPath: "\(root)/\(path)")
            guard attributes[.type] as? FileAttributeType == .typeRegular else { return nil }
            return (
                path, String(decoding: try Data(contentsOf: URL(fileURLWithPath: "\(root)/\(path)")), as: UTF8.self)
            )
        }
    }
}
