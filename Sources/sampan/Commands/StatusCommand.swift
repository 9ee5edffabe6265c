import ArgumentParser
import Host

struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Print which parts of the platform are ready."
    )

    @OptionGroup var home: HomeOption
    @OptionGroup var output: OutputOption

    func run() async throws {
        let settings = try home.settings()
        let status = (try? await ControlClient(home.value).status()) ?? .stopped(settings)
        let rows = status.components.map { [$0.name, $0.ready ? "yes" : "no", $0.message] }
        try output.print(status, text: tableText(["COMPONENT", "READY", "MESSAGE"], rows))
        if !status.ready { throw ExitCode.failure }
    }
}

/// The answer of `sampan status -o json`, a contract of the command line.
struct PlatformStatus: Codable, Hashable, Sendable {
    struct URLs: Codable, Hashable, Sendable {
        var api: String
        var web: String
        var gateway: String

        init(_ settings: Settings) {
            api = "https://127.0.0.1:\(settings.apiPort)"
            web = "http://127.0.0.1:\(settings.webPort)"
            gateway = settings.gatewayPort == 80 ? "http://127.0.0.1" : "http://127.0.0.1:\(settings.gatewayPort)"
        }
    }

    struct Component: Codable, Hashable, Sendable {
        var name: String
        var ready: Bool
        var message: String
    }

    var ready: Bool
    var urls: URLs
    var components: [Component]

    init(settings: Settings, components: [Component]) {
        ready = components.allSatisfy(\.ready)
        urls = URLs(settings)
        self.components = components
    }

    static func stopped(_ settings: Settings) -> PlatformStatus {
        let server = Component(name: "server", ready: false, message: "not running; start it with 'sampan up'")
        return PlatformStatus(settings: settings, components: [server])
    }
}
