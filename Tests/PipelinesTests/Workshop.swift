import Foundation
import FoundationNetworking
import Git
import HTTPTypes
import Hummingbird
import KubernetesModel
import Logging
import NIOCore
import Review
import Synchronization
import Testing

@testable import Pipelines

/// A forge with one project and a pipeline service, in a folder of its own.
struct Workshop {
    let folder: String
    let forge: Forge
    let service: PipelineService
    let executor: ScriptedExecutor
    let project: Project
    let user: User

    static func open(
        folder: String,
        executor: any JobExecutor,
        apiPort: Int = 1,
        defaultImage: String = "helper"
    ) async throws -> (Forge, PipelineService) {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let repositories = try RepositoryStore(root: "\(folder)/git")
        var settings = Forge.Configuration(
            databasePath: "\(folder)/forge.sqlite",
            initialPasswordFile: "\(folder)/password",
            externalURL: "http://127.0.0.1:\(apiPort)"
        )
        settings.passwordRounds = 2
        let forge = try await Forge.open(settings, repositories: repositories, logger: logger)
        let server = PredefinedVariables.Server(
            url: "http://127.0.0.1:\(apiPort)",
            registry: "127.0.0.1:\(apiPort)",
            toolsImage: "127.0.0.1:\(apiPort)/tools",
            version: "1"
        )
        let service = try await PipelineService.open(
            .init(directory: "\(folder)/pipelines", server: server, defaultImage: defaultImage),
            forge: forge,
            box: try SecretBox(keyFile: "\(folder)/key"),
            executor: executor,
            logger: logger
        )
        forge.setJobTokenResolver(service)
        return (forge, service)
    }

    /// Runs `body` in a new workshop whose service does not run yet.
    static func with<Value>(_ body: (Workshop) async throws -> Value) async throws -> Value {
        try await withTemporaryFolder { folder in
            let executor = ScriptedExecutor()
            let (forge, service) = try await open(folder: folder, executor: executor)
            let user = try #require(await forge.user(named: "root"))
            let author = Author(userID: user.id, name: "root")
            let project = try await forge.createProject(path: "demo/shop", by: author)
            return try await body(
                Workshop(
                    folder: folder,
                    forge: forge,
                    service: service,
                    executor: executor,
                    project: project,
                    user: user
                )
            )
        }
    }

    /// Commits the files to a branch without telling the service; answers with the push that it should hear of.
    func commit(
        _ files: [String: String],
        branch: String = "main",
        message: String = "Change"
    ) async throws -> PushEvent {
        let repository = try forge.repository(of: project)
        let before = try? await repository.branch(branch).commit.id
        let tree = "\(folder)/work-\(UUID().uuidString)"
        var script =
            "set -e; git init -q -b \(branch) \(tree); cd \(tree); git config user.email a@b.c; git config user.name A; "
        if before != nil { script += "git pull -q \(repository.path) \(branch); " }
        for (path, text) in files {
            script += "mkdir -p \"$(dirname \(path))\"; printf %s \(JobScript.quoted(text)) > \(path); "
        }
        script +=
            "git add -A; git commit -q --allow-empty -m \(JobScript.quoted(message)); git push -q \(repository.path) \(branch)"
        let result = try await shell(["/bin/sh", "-c", script], environment: ["HOME": folder])
        try #require(result.exitCode == 0, "\(result.output)")
        return PushEvent(
            projectID: project.id,
            ref: "refs/heads/\(branch)",
            before: before ?? PushEvent.nothing,
            after: try await repository.branch(branch).commit.id,
            userID: user.id,
            username: user.username,
            options: []
        )
    }

    /// Commits `.gitlab-ci.yml` and pushes; answers with the newest pipeline.
    func push(_ yaml: String, branch: String = "main", message: String = "Change") async throws -> PipelineRecord {
        await service.pushed(try await commit([".gitlab-ci.yml": yaml], branch: branch, message: message))
        return try #require(await service.store.pipelines(ofProject: project.id).first)
    }

    /// Runs the service while `body` runs.
    func running<Value>(_ body: () async throws -> Value) async throws -> Value {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await service.run() }
            defer { group.cancelAll() }
            return try await body()
        }
    }

    func jobs(_ pipeline: PipelineRecord) async throws -> [String: JobStatus] {
        let jobs = try await service.store.jobs(ofPipeline: pipeline.id)
        return Dictionary(uniqueKeysWithValues: jobs.map { ($0.name, $0.status) })
    }

    /// Waits until the pipeline has the status.
    func wait(for pipeline: PipelineRecord, _ status: PipelineStatus, seconds: Double = 60) async throws {
        try await eventually(seconds: seconds, "pipeline \(pipeline.id) is not \(status.rawValue)") {
            try await service.store.pipeline(pipeline.id)?.status == status
        }
    }

    func trace(_ jobID: Int) -> String {
        String(decoding: JobTrace.read(path: service.tracePath(jobID)), as: UTF8.self)
    }
}

/// Waits for a condition, at most `seconds`.
func eventually(
    seconds: Double = 60,
    _ failure: String,
    _ condition: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + .seconds(seconds)
    while ContinuousClock.now < deadline {
        if try await condition() { return }
        try await Task.sleep(for: .milliseconds(5))
    }
    throw Failure(description: failure)
}

struct Failure: Error, CustomStringConvertible {
    var description: String
}

extension Workshop {
    /// Serves the API on a port of its own while `body` runs.
    func serving<Value: Sendable>(_ body: @escaping @Sendable (API) async throws -> Value) async throws -> Value {
        let token = try await forge.createToken(
            ofUser: user.id,
            name: "test",
            scopes: [.api],
            by: Author(userID: user.id, name: "root")
        )
        return try await Self.serve(service) { port in
            try await body(API(port: port, token: token.secret))
        }
    }

    static func serve<Value: Sendable>(
        _ service: PipelineService,
        cutting: [Int] = [],
        _ body: @escaping @Sendable (Int) async throws -> Value
    ) async throws -> Value {
        let router = Router()
        router.add(middleware: CuttingMiddleware(cuts: cutting))
        service.addRoutes(to: router)
        // Stands in for the builder: answers in pieces that do not end with lines.
        router.post("/api/v4/projects/:id/image_builds") { request, _ in
            let size = try await request.body.collect(upTo: 1 << 20).readableBytes
            let query = request.uri.query ?? ""
            return Response(
                status: .ok,
                body: ResponseBody { writer in
                    for piece in ["STEP 1\nSTE", "P 2 of \(size > 512)\n", "query \(query)\nsampan-exit", "-code: 5\n"]
                    {
                        try await writer.write(ByteBuffer(string: piece))
                    }
                    try await writer.finish(nil)
                }
            )
        }
        // Stands in for releases: goes away in the middle of the first answer.
        let requests = Mutex<[String]>([])
        router.post("/api/v4/projects/:id/deploys") { request, _ in
            let query = request.uri.query ?? ""
            let isFirst = requests.withLock { requests in
                requests.append(query)
                return requests.count == 1
            }
            let isSame = requests.withLock { Set($0).count == 1 }
            let rest = "release 1 is deployed, the same request: \(isSame)\nsampan-exit-code: 0\n"
            return Response(
                status: .ok,
                body: ResponseBody(byteBuffer: ByteBuffer(string: isFirst ? "half of\n" : rest))
            )
        }
        let (ports, port) = AsyncStream.makeStream(of: Int.self)
        var logger = Logger(label: "web")
        logger.logLevel = .critical
        let application = Application(
            router: router,
            configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { port.yield($0.localAddress?.port ?? 0) },
            logger: logger
        )
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await application.run() }
            defer { group.cancelAll() }
            for await port in ports { return try await body(port) }
            throw Failure(description: "the server did not start")
        }
    }
}

/// Cuts the first answers off in the middle of their bodies.
private final class CuttingMiddleware: RouterMiddleware {
    typealias Context = BasicRequestContext

    private let cuts: Mutex<[Int]>

    init(cuts: [Int]) {
        self.cuts = Mutex(cuts)
    }

    func handle(
        _ request: Request,
        context: Context,
        next: @concurrent (Request, Context) async throws -> Response
    ) async throws -> Response {
        let response = try await next(request, context)
        guard let cut = cuts.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) else { return response }
        let whole = response.body
        let body = ResponseBody(contentLength: whole.contentLength) { writer in
            let collector = CutWriter(rest: cut, writer: writer)
            try await whole.write(collector)
        }
        return Response(status: response.status, headers: response.headers, body: body)
    }
}

private struct CutWriter: ResponseBodyWriter {
    var rest: Int
    var writer: any ResponseBodyWriter

    @concurrent
    mutating func write(_ buffer: ByteBuffer) async throws {
        try await writer.write(buffer.getSlice(at: buffer.readerIndex, length: min(rest, buffer.readableBytes))!)
        rest -= buffer.readableBytes
        if rest <= 0 { throw Failure(description: "cut") }
    }

    @concurrent
    consuming func finish(_ trailingHeaders: HTTPFields?) async throws {
        try await writer.finish(trailingHeaders)
    }
}

/// A client of the API.
struct API: Sendable {
    let port: Int
    let token: String

    struct Answer {
        var status: Int
        var body: Data
        var headers: [String: String]
        var json: JSON { (try? JSON(parsing: Array(body))) ?? .null }
    }

    func send(
        _ method: String,
        _ path: String,
        json: JSON? = nil,
        header: (String, String)? = nil
    ) async throws -> Answer {
        var request = URLRequest(url: try #require(URL(string: "http://127.0.0.1:\(port)/api/v4\(path)")))
        request.httpMethod = method
        let header = header ?? ("PRIVATE-TOKEN", token)
        request.setValue(header.1, forHTTPHeaderField: header.0)
        if let json {
            request.httpBody = Data(json.encoded())
            request.setValue("application/json", forHTTPHeaderField: "Content-Type")
        }
        let (data, response) = try await URLSession.shared.data(for: request)
        let http = try #require(response as? HTTPURLResponse)
        let headers = http.allHeaderFields.reduce(into: [String: String]()) {
            $0[String(describing: $1.key).lowercased()] = String(describing: $1.value)
        }
        return Answer(status: http.statusCode, body: data, headers: headers)
    }

    func get(_ path: String) async throws -> Answer { try await send("GET", path) }
}
