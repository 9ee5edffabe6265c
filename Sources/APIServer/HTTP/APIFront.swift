import Foundation
import HTTPTypes
import HummingbirdCore
import KubernetesClient
import KubernetesModel
import Logging
import NIOCore
import Synchronization

/// The HTTP side of the API: route → authenticate → authorize → decode → ``APIService`` → encode.
final class APIFront: Sendable {
    static let maximumBodySize = 3 * 1_048_576
    static let gitVersion = "v1.36.0+sampan"

    let service: APIService
    let authenticator: Authenticator
    let authorizer: Authorizer
    let logger: Logger
    private let isServing = Mutex(false)

    init(service: APIService, tokens: StaticTokens, logger: Logger) {
        self.service = service
        self.logger = logger
        authenticator = Authenticator(tokens: tokens, service: service)
        authorizer = Authorizer(service: service)
    }

    /// What `/readyz` says.
    var isReady: Bool {
        get { isServing.withLock { $0 } }
        set { isServing.withLock { $0 = newValue } }
    }

    @concurrent
    func respond(to request: Request, _ writer: consuming ResponseWriter, _ channel: any Channel) async throws {
        let answer: Answer
        do {
            answer = try await self.answer(request, channel)
        } catch {
            answer = .error(error)
            log(error, request)
        }
        try await answer.write(writer)
    }

    // MARK: - Private

    private func answer(_ request: Request, _ channel: any Channel) async throws -> Answer {
        let target = try RequestTarget(path: request.uri.path)
        let caller = try authenticator.user(authorization: request.headers[.authorization])
        let fields = request.headers.lazy.map { (name: $0.name.canonicalName, value: $0.value) }
        let user = try authorizer.user(caller, actingBy: fields)
        let query = RequestQuery(request.uri.query)
        if case .resource(let path) = target {
            return try await answer(ResourceRequest(request, path, query, user, channel))
        }
        guard request.method == .get || request.method == .head else {
            throw StatusError.methodNotAllowed("the server does not allow this method on the requested resource")
        }
        if case .health = target { return try health() }
        if case .version = target { return version() }
        guard authorizer.allows(user, verb: "get", path: request.uri.path) else {
            throw StatusError.forbidden(
                "forbidden: User \"\(user.name)\" cannot get path \"\(request.uri.path)\""
            )
        }
        return try describe(target, accept: request.headers[.accept])
    }

    private func health() throws -> Answer {
        guard isReady else { throw StatusError.unavailable("the server is starting or stopping") }
        return .text("ok")
    }

    private func version() -> Answer {
        .json([
            "major": "1", "minor": "36", "gitVersion": .string(Self.gitVersion), "gitCommit": "",
            "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "swift",
            "platform": "linux/amd64",
        ])
    }

    private func describe(_ target: RequestTarget, accept: String?) throws -> Answer {
        let catalog = service.catalog
        let discovery = Discovery(catalog: catalog)
        switch target {
        case .groups(let isCore):
            guard MediaType.list(accept ?? "").contains(where: \.isAggregatedDiscovery) else {
                return .json(isCore ? discovery.coreVersions() : discovery.groupList())
            }
            var answer = Answer.json(discovery.aggregated(isCore: isCore))
            answer.contentType = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
            return answer
        case .group(let name): return try found(discovery.group(named: name))
        case .groupVersion(let group, let version):
            return try found(discovery.resourceList(group: group, version: version))
        case .openAPI(nil): return .json(openAPIIndex(catalog))
        case .openAPI(let place?):
            return try found(catalog.openAPIDocument(group: place.group, version: place.version))
        case .health, .version, .resource: throw StatusError.noSuchResource()
        }
    }

    private func found(_ document: JSON?) throws -> Answer {
        guard let document else { throw StatusError.noSuchResource() }
        return .json(document)
    }

    private func openAPIIndex(_ catalog: ResourceCatalog) -> JSON {
        var paths: JSONObject = [:]
        for place in catalog.groupVersions {
            let path = place.group.isEmpty ? "api/\(place.version)" : "apis/\(place.group)/\(place.version)"
            paths[path] = ["serverRelativeURL": .string("/openapi/v3/\(path)")]
        }
        return ["paths": .object(paths)]
    }

    private func log(_ error: any Error, _ request: Request) {
        guard !(error is StatusError), !(error is NIOTooManyBytesError) else { return }
        logger.error(
            "a request failed",
            metadata: [
                "method": "\(request.method)", "path": "\(request.uri.path)", "error": "\(error)",
            ]
        )
    }
}

extension MediaType {
    fileprivate var isAggregatedDiscovery: Bool {
        name == "application/json" && parameters["as"] == "APIGroupDiscoveryList" && parameters["v"] == "v2"
    }
}
