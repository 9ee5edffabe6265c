import ArgumentParser
import Host

struct DownCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "down",
        abstract: "Stop the platform. Containers go on running unless --workloads is given."
    )

    @OptionGroup var home: HomeOption
    @Flag(help: "Stop and remove every container and network of this platform too.") var workloads = false

    func run() async throws {
        let settings = try home.settings()
        let shutdown = PlatformShutdown(home: home.value, settings: settings)
        try await shutdown.stopServer()
        if workloads { try await shutdown.removeWorkloads() }
        await shutdown.stopPrograms()
        print(workloads ? "stopped; nothing of it runs any more" : "stopped; containers go on running")
    }
}
