import Foundation
import KubernetesModel
import Logging
import ServiceLifecycle
import Synchronization

/// Keeps the table in step with a configuration file and with the addresses of the names in it.
///
/// A file that cannot be used changes nothing: the table of the last good one stays in force, and ``ReloadStatus`` says what is wrong.
final class ConfigurationFollower: Service {
    /// For the names of a file that was just read.
    private static let resolutionDeadline = Duration.seconds(3)

    let path: String
    private let publisher: TablePublisher
    private let resolver: NameResolver
    private let logger: Logger
    private let watch: FileWatch
    private let state: Mutex<State>
    private let readings: AsyncStream<Result<FileConfiguration, any Error>>
    private let reading: AsyncStream<Result<FileConfiguration, any Error>>.Continuation

    private struct State {
        var configuration: FileConfiguration
        var addresses: [String: [String]] = [:]
        /// When each name is to be resolved again.
        var due: [String: ContinuousClock.Instant] = [:]
        var status = ReloadStatus()
    }

    /// - Parameter configuration: what the file said at the start.
    init(
        path: String,
        configuration: FileConfiguration,
        publisher: TablePublisher,
        resolver: NameResolver = NameResolver(),
        logger: Logger
    ) throws {
        self.path = path
        self.publisher = publisher
        self.resolver = resolver
        self.logger = logger
        watch = try FileWatch(path)
        state = Mutex(State(configuration: configuration))
        (readings, reading) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// What came of the last attempt to read the file.
    var status: ReloadStatus { state.withLock(\.status) }

    /// Has the file read soon, whether it changed or not.
    func requestReload() { watch.ask() }

    /// Publishes what the file says; it is read again, since it may have changed before it was watched.
    func start() async {
        let path = path
        let now = try? await blocking { try FileConfiguration.load(path) }
        await adopt(now ?? state.withLock(\.configuration))
        state.withLock { $0.status.succeeded(at: Date()) }
    }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                group.addTask { await self.followFile() }
                group.addTask { await self.followReadings() }
                group.addTask { await self.followNames() }
            }
        }
    }

    // MARK: - The file

    private func followFile() async {
        await withTaskCancellationHandler {
            // Read by the thread that watches: on a busy machine each further thread is one more wait before the change takes effect.
            try? await blocking { self.watch.run { self.reading.yield(Result(catching: self.readAgain)) } }
        } onCancel: {
            watch.stop()
        }
    }

    private func readAgain() throws -> FileConfiguration {
        try FileConfiguration.load(path, after: state.withLock(\.configuration))
    }

    private func followReadings() async {
        for await reading in readings {
            switch reading {
            case .success(let configuration): await take(configuration)
            case .failure(let error): refuse(error)
            }
        }
    }

    private func take(_ configuration: FileConfiguration) async {
        warnOfRestart(configuration)
        await adopt(configuration)
        state.withLock { $0.status.succeeded(at: Date()) }
        logger.info("Reloaded the configuration", metadata: ["file": "\(path)"])
    }

    private func refuse(_ error: any Error) {
        state.withLock { $0.status.failed("\(error)", at: Date()) }
        logger.error(
            "The configuration cannot be used; the last good one stays in force",
            metadata: ["file": "\(path)", "error": "\(error)"]
        )
    }

    /// Some fields are looked at only when the gateway starts.
    private func warnOfRestart(_ new: FileConfiguration) {
        let old = state.withLock(\.configuration)
        let fields = [
            ("workers", old.workers == new.workers), ("admin", old.admin == new.admin),
            ("timeouts, limits and forwarding", old.settings == new.settings),
            ("accessLog", old.accessLog == new.accessLog),
        ]
        for (field, isSame) in fields where !isSame {
            logger.warning("The change takes effect when the gateway starts again", metadata: ["field": "\(field)"])
        }
    }

    // MARK: - Names

    /// Resolves the names that are new and publishes the table.
    private func adopt(_ configuration: FileConfiguration) async {
        let names = configuration.names
        let known = state.withLock(\.addresses)
        let fresh = names.keys.filter { known[$0] == nil }.sorted()
        let found = fresh.isEmpty ? [:] : await resolver.resolve(fresh, within: Self.resolutionDeadline)
        let now = ContinuousClock.now
        watch.include(configuration.files)
        state.withLock { state in
            state.configuration = configuration
            state.addresses = state.addresses.filter { names[$0.key] != nil }.merging(found) { $1 }
            state.due = names.reduce(into: [:]) { due, entry in
                let isMissing = fresh.contains(entry.key) && found[entry.key] == nil
                let next = now + (isMissing ? .seconds(1) : .milliseconds(entry.value))
                due[entry.key] = min(state.due[entry.key] ?? next, next)
            }
            publisher.apply(configuration.table(addresses: state.addresses))
        }
        warn(fresh.filter { found[$0] == nil })
    }

    private func warn(_ names: [String]) {
        guard !names.isEmpty else { return }
        logger.warning("Cannot resolve names of endpoints", metadata: ["names": "\(names.joined(separator: ", "))"])
    }

    private func followNames() async {
        while !Task.isCancelled {
            try? await Task.sleep(for: .milliseconds(500))
            let now = ContinuousClock.now
            let due = state.withLock { state in state.due.filter { $0.value <= now }.keys.sorted() }
            if !due.isEmpty { await resolveAgain(due) }
        }
    }

    /// A name that cannot be resolved any more keeps its last addresses.
    private func resolveAgain(_ names: [String]) async {
        let found = await resolver.resolve(names, within: Self.resolutionDeadline)
        let now = ContinuousClock.now
        state.withLock { state in
            let intervals = state.configuration.names
            for name in names {
                guard let interval = intervals[name] else { continue }
                state.due[name] = now + .milliseconds(found[name] == nil ? min(interval, 5000) : interval)
                if let addresses = found[name] { state.addresses[name] = addresses }
            }
            publisher.apply(state.configuration.table(addresses: state.addresses))
        }
        warn(names.filter { found[$0] == nil })
    }
}

/// What came of reading the configuration file.
struct ReloadStatus: Hashable, Sendable {
    private(set) var isSuccessful = true
    private(set) var successes = 0
    private(set) var failures = 0
    private(set) var lastSuccess: Date?
    private(set) var lastAttempt: Date?
    /// One line per problem; empty after a success.
    private(set) var problem = ""

    mutating func succeeded(at time: Date) {
        isSuccessful = true
        successes += 1
        lastSuccess = time
        lastAttempt = time
        problem = ""
    }

    mutating func failed(_ problem: String, at time: Date) {
        isSuccessful = false
        failures += 1
        lastAttempt = time
        self.problem = problem
    }

    var json: JSON {
        var json: JSON = [
            "lastReloadSuccessful": .bool(isSuccessful), "successes": JSON(successes), "failures": JSON(failures),
            "problems": .array(problem.split(separator: "\n").map { .string(String($0)) }),
        ]
        json["lastSuccessTime"] = lastSuccess.map { .string($0.formatted(.iso8601)) }
        json["lastAttemptTime"] = lastAttempt.map { .string($0.formatted(.iso8601)) }
        return json
    }

    /// In Prometheus' text format.
    var metrics: String {
        """
        # HELP sampan_gateway_config_last_reload_successful Whether the last attempt to read the configuration file succeeded.
        # TYPE sampan_gateway_config_last_reload_successful gauge
        sampan_gateway_config_last_reload_successful \(isSuccessful ? 1 : 0)
        # HELP sampan_gateway_config_last_reload_success_timestamp_seconds When the configuration file was last read with success.
        # TYPE sampan_gateway_config_last_reload_success_timestamp_seconds gauge
        sampan_gateway_config_last_reload_success_timestamp_seconds \(Int(lastSuccess?.timeIntervalSince1970 ?? 0))
        # HELP sampan_gateway_config_reloads_total Attempts to read the configuration file by their result.
        # TYPE sampan_gateway_config_reloads_total counter
        sampan_gateway_config_reloads_total{result="success"} \(successes)
        sampan_gateway_config_reloads_total{result="failure"} \(failures)

        """
    }
}

extension FileConfiguration {
    /// Reads the file at `path`. Blocks.
    /// - Parameter current: certificates that are in use already need no second look.
    package static func load(_ path: String, after current: FileConfiguration? = nil) throws -> FileConfiguration {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw ConfigurationError(file: path, "cannot read the file: \(Self.reason(path))")
        }
        guard data.count <= maximumBytes else {
            throw ConfigurationError(
                file: path,
                "the file has \(data.count) bytes; at most \(maximumBytes) are allowed"
            )
        }
        guard let text = String(validating: data, as: UTF8.self) else {
            throw ConfigurationError(file: path, "the file is not UTF-8 text")
        }
        let known = Set(current?.listeners.flatMap { $0.tls?.certificates ?? [] } ?? [])
        return try parse(text, file: path) {
            FileManager.default.contents(atPath: $0).map { [UInt8]($0) }
        } problem: { certificate in
            guard !known.contains(certificate) else { return nil }
            do {
                try TLSContext.check(certificate)
                return nil
            } catch {
                return "\(error)"
            }
        }
    }

    private static func reason(_ path: String) -> String {
        guard FileManager.default.fileExists(atPath: path) else { return "it does not exist" }
        return "it is a folder, or its permissions do not allow it"
    }
}
