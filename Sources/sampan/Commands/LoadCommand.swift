import ArgumentParser
import Foundation
import LoadTesting
import UnixSignals

struct LoadCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "load",
        abstract: "Put a service under load and measure what it does.",
        subcommands: [LoadRunCommand.self, LoadBackendCommand.self],
        defaultSubcommand: LoadRunCommand.self
    )
}

/// The test itself. Exit codes: 0 the objectives were met, 1 they were missed or nothing was answered, 2 used wrongly.
struct LoadRunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Send requests at a set rate (open model), or from a set number of users (--closed).",
        discussion: """
            sampan load http://127.0.0.1:8080 --rate 1000 --duration 30s --slo 'p99<50ms,errors<0.1%'
            sampan load http://127.0.0.1:8080 --find-knee --slo 'p99<100ms'
            sampan load --script surge.yaml --report surge.html
            """
    )

    @Argument(help: "Where to: http://host[:port]/path.")
    var url: String?

    @Option(help: "Read target, phases and classes from a YAML file.")
    var script: String?

    @OptionGroup(title: "How much") var amount: LoadAmountOptions
    @OptionGroup(title: "What") var request: LoadRequestOptions
    @OptionGroup(title: "How good") var quality: LoadQualityOptions
    @OptionGroup var output: OutputOption

    @Option(help: "Write a report with plots to this HTML file.")
    var report: String?

    @Flag(help: "Print nothing while the test runs.")
    var quiet = false

    func run() async throws {
        let plan = try usage { try makePlan() }
        let report = try await quality.findKnee ? searchKnee(plan) : runTest(plan)
        if let file = self.report { try Data(HTMLReport.html(report).utf8).write(to: URL(fileURLWithPath: file)) }
        try output.print(report, text: TextReport.text(report))
        if !report.isMet || report.total.good == 0 { throw ExitCode.failure }
    }

    private func makePlan() throws -> LoadPlan {
        guard let script else {
            guard let url else { throw LoadError("name the URL to load, or a --script") }
            var plan = LoadPlan(target: try LoadTarget(url), phases: try amount.phases(), classes: [])
            plan.classes = [try request.trafficClass(path: plan.target.path, connections: amount.connections)]
            plan.trust = request.trust
            try amount.apply(to: &plan)
            try quality.apply(to: &plan)
            return plan
        }
        guard let text = try? String(contentsOfFile: script, encoding: .utf8) else {
            throw LoadError("cannot read the script \(script)")
        }
        guard amount.rate == nil, !amount.closed else {
            throw LoadError("the script says how much; --rate and --closed do not go with it")
        }
        var plan = try LoadScript.parse(text, file: script, target: url)
        try quality.apply(to: &plan)
        return plan
    }

    private func runTest(_ plan: LoadPlan) async throws -> LoadReport {
        let test = LoadTest(plan)
        let screen = quiet ? nil : LoadScreen(plan)
        return try await untilInterrupted(test.stop) { try await test.run { screen?.show($0) } }
    }

    private func searchKnee(_ plan: LoadPlan) async throws -> LoadReport {
        let search = try usage { try KneeSearch(plan, settings: quality.kneeSettings(amount)) }
        return try await untilInterrupted(search.stop) { try await search.run(onStep: showStep) }
    }

    private func showStep(_ step: KneeReport.Step) {
        if !quiet { LoadScreen.write("\(TextReport.line(step))\n") }
    }
}

struct LoadAmountOptions: ParsableArguments {
    @Option(help: "Requests per second.")
    var rate: String?

    @Option(help: "How long: 500ms, 30s, 5m.")
    var duration = "10s"

    @Option(help: "Seconds at the start that do not count.")
    var warmup = 0

    @Option(help: "Connections: the most that are opened, or with --closed the number of users.")
    var connections = 256

    @Flag(
        help: "Closed model: every user sends when the last answer came. Hides stalls; good for comparing throughput."
    )
    var closed = false

    @Option(help: "Distances between requests: constant or poisson.")
    var arrivals = "constant"

    @Option(help: "Threads of the generator.")
    var threads = 1

    func phases() throws -> [LoadPhase] {
        let length = try Quantities.duration(duration)
        guard length > 0 else { throw LoadError("the duration must be longer than zero") }
        if rate != nil, closed {
            throw LoadError("--closed has no --rate: its users send as fast as they are answered")
        }
        return [LoadPhase(from: try rate.map(Quantities.rate) ?? Rate(thousandths: 0), duration: length)]
    }

    func apply(to plan: inout LoadPlan) throws {
        guard let spacing = LoadPlan.Spacing(rawValue: arrivals) else {
            throw LoadError("--arrivals is constant or poisson, not '\(arrivals)'")
        }
        guard 1...LoadPlan.maximumThreads ~= threads else {
            throw LoadError("--threads is a number from 1 to \(LoadPlan.maximumThreads)")
        }
        plan.model = closed ? .closed : .open
        plan.spacing = spacing
        plan.threads = threads
        plan.warmup = max(0, warmup)
        guard plan.warmup * 1_000_000_000 < plan.duration else { throw LoadError("the --warmup takes the whole test") }
    }
}

struct LoadRequestOptions: ParsableArguments {
    @Option(help: "The method.")
    var method = "GET"

    @Option(name: [.customShort("H"), .customLong("header")], help: "A header field, 'Name: value'; may be repeated.")
    var headers: [String] = []

    @Option(help: "The body of each request.")
    var body: String?

    @Option(help: "A file with the body of each request.")
    var bodyFile: String?

    @Flag(help: "Believe any certificate.")
    var insecure = false

    @Option(help: "Believe certificates of the authorities in this PEM file instead of the system's.")
    var authorities: String?

    @Flag(help: "A new connection for each request.")
    var newConnections = false

    var trust: LoadTrust { insecure ? .anyone : authorities.map { .authorities(file: $0) } ?? .system }

    func trafficClass(path: String, connections: Int) throws -> TrafficClass {
        guard 1...100_000 ~= connections else { throw LoadError("--connections is a number from 1 to 100000") }
        var result = TrafficClass(name: "all", paths: try RequestSyntax.paths(path))
        result.method = try RequestSyntax.method(method)
        result.headers = try headers.map(RequestSyntax.header)
        result.opensNewConnections = newConnections
        result.connections = connections
        if let bodyFile {
            guard let data = FileManager.default.contents(atPath: bodyFile) else {
                throw LoadError("cannot read the body from \(bodyFile)")
            }
            result.body = Array(data)
        } else {
            result.body = Array((body ?? "").utf8)
        }
        return result
    }
}

struct LoadQualityOptions: ParsableArguments {
    @Option(help: "What is good enough, such as 'p99<50ms,errors<0.1%,goodput>900'.")
    var slo: String?

    @Flag(help: "End the test once the SLO was missed for five seconds in a row.")
    var stopOnMiss = false

    @Option(help: "Answers after this time count as late.")
    var deadline: String?

    @Option(help: "Give a request up after this time.")
    var timeout: String?

    @Flag(help: "Search for the highest rate at which the service keeps up and the SLO is met.")
    var findKnee = false

    @Option(help: "How long each rate is tried while searching for the knee.")
    var stepDuration = "5s"

    func apply(to plan: inout LoadPlan) throws {
        if let slo { plan.objectives = try Objective.list(slo) }
        if let timeout { plan.timeout = try Quantities.duration(timeout) }
        guard plan.timeout > 0 else { throw LoadError("the --timeout must be longer than zero") }
        if let deadline {
            let deadline = try Quantities.duration(deadline)
            for index in plan.classes.indices { plan.classes[index].deadline = deadline }
        }
        for objective in plan.objectives {
            guard let name = objective.className, !plan.classes.contains(where: { $0.name == name }) else { continue }
            throw LoadError("there is no class '\(name)' in the objective '\(objective.text)'")
        }
        if stopOnMiss {
            guard !plan.objectives.isEmpty else { throw LoadError("--stop-on-miss needs an --slo") }
            plan.stopsOnMiss = true
        }
        let hasRate =
            plan.phases.contains { max($0.start, $0.end).thousandths > 0 } || plan.classes.contains { $0.rate != nil }
        guard findKnee || plan.model == .closed || hasRate else {
            throw LoadError("say how much: --rate, --closed, --find-knee or --script")
        }
    }

    func kneeSettings(_ amount: LoadAmountOptions) throws -> KneeSearch.Settings {
        var settings = KneeSearch.Settings()
        settings.stepDuration = try Quantities.duration(stepDuration)
        if let rate = amount.rate { settings.start = try Quantities.rate(rate) }
        return settings
    }
}

/// A server of known capacity to try load tests, limits and failures on.
struct LoadBackendCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backend",
        abstract: "Serve with a set service time, concurrency, error share and size, for load tests to run against.",
        discussion: """
            Settings can be changed while it serves: curl 'http://…/-/settings?errors=50%&stall=2s'; /-/stats tells what was served.
            /-/status/404, /-/bytes/4096, /-/chunked/4096, /-/close, /-/delay/20ms, /-/stall and /-/reset answer as they say.
            """
    )

    @Option(help: "The address to listen on.")
    var host = "127.0.0.1"

    @Option(help: "The port to listen on; 0 takes a free one.")
    var port = 0

    @Option(help: "Threads.")
    var threads = 1

    @Option(name: [.customLong("set")], help: "A setting, name=value; may be repeated.")
    var settings: [String] = []

    func run() async throws {
        let backend = try usage {
            guard 1...LoadPlan.maximumThreads ~= threads else {
                throw LoadError("--threads is a number from 1 to \(LoadPlan.maximumThreads)")
            }
            var initial = BackendSettings()
            for setting in settings { try initial.apply(setting) }
            return try BenchBackend(host: host, port: port, threads: threads, settings: initial)
        }
        print("listening on http://\(host.contains(":") ? "[\(host)]" : host):\(backend.port)")
        for await _ in await UnixSignalsSequence(trapping: .sigterm, .sigint) { break }
        backend.stop()
    }
}

/// Complaints about what was asked for are errors of usage.
private func usage<Result>(_ body: () throws -> Result) throws -> Result {
    do {
        return try body()
    } catch let error as LoadError {
        throw ValidationError(error.description)
    }
}

/// Runs `body`; a signal to end calls `stop` and waits for it all the same.
private func untilInterrupted<Result: Sendable>(
    _ stop: @escaping @Sendable () -> Void,
    _ body: () async throws -> Result
) async throws -> Result {
    async let _: Void = {
        for await _ in await UnixSignalsSequence(trapping: .sigterm, .sigint) { stop() }
    }()
    return try await body()
}
