import ArgumentParser
import Foundation
import Host
import SystemPackage

struct UpCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up",
        abstract: "Start the platform, wait until it is ready, print where it is and how to sign in."
    )

    @OptionGroup var home: HomeOption
    @Option(help: "Port of the Kubernetes API on 127.0.0.1.") var apiPort: Int?
    @Option(help: "Port of console, REST API, git and registry on 127.0.0.1.") var webPort: Int?
    @Option(help: "Port on which applications are served.") var gatewayPort: Int?
    @Option(help: "Port on which applications are served over TLS.") var gatewayTlsPort: Int?
    @Option(help: "Addresses of pods, such as 10.42.0.0/16.") var podCidr: String?
    @Option(help: "Addresses of services, such as 10.43.0.0/16.") var serviceCidr: String?
    @Option(help: "Applications are served at <project>-<environment>.<domain>.") var domain: String?
    @Flag(help: "Stay in the foreground, log to the terminal, stop with Ctrl-C.") var foreground = false
    @OptionGroup var output: OutputOption

    func run() async throws {
        let home = home.value
        let saved = try Settings.load(from: home)
        let settings = try wantedSettings(saved ?? Settings())
        let pidFile = home.pidFile("server")
        if DetachedProcess.find(pidFile: pidFile) != nil {
            guard settings == saved else {
                throw HostError(
                    "the platform is running with other settings; stop it with 'sampan down', then start it again"
                )
            }
            if let status = try await statusWhenReady(home) { return try show(status, home) }
            // It was just ending, as a server does that was killed.
        }
        try await DetachedProcess.waitUntilReleased(pidFile: pidFile)
        try inspectMachine(home, settings)
        try settings.save(to: home)
        if foreground { return try await ServerProcess(home: home, settings: settings).run() }
        try startServer(home)
        guard let status = try await statusWhenReady(home) else {
            throw HostError("the server ended while starting; the end of \(home.logFile("server")) says why")
        }
        try show(status, home)
    }

    // MARK: - Private

    private func wantedSettings(_ current: Settings) throws -> Settings {
        var settings = current
        settings.apiPort = try port(apiPort, "--api-port") ?? settings.apiPort
        settings.webPort = try port(webPort, "--web-port") ?? settings.webPort
        settings.gatewayPort = try port(gatewayPort, "--gateway-port") ?? settings.gatewayPort
        settings.gatewayTLSPort = try port(gatewayTlsPort, "--gateway-tls-port") ?? settings.gatewayTLSPort
        settings.podCIDR = podCidr ?? settings.podCIDR
        settings.serviceCIDR = serviceCidr ?? settings.serviceCIDR
        settings.domain = domain ?? settings.domain
        try ServerProcess.check(settings)
        return settings
    }

    private func port(_ value: Int?, _ option: String) throws -> Int? {
        guard let value, !(1...65_535).contains(value) else { return value }
        throw ValidationError("\(option) takes a port from 1 to 65535, not \(value)")
    }

    private func inspectMachine(_ home: Home, _ settings: Settings) throws {
        let findings = Preflight(home: home, settings: settings).inspect(includingPorts: true)
        let errors = findings.filter { $0.severity == .error }
        guard errors.isEmpty else {
            throw HostError(errors.map { "\($0.check): \($0.message): \($0.remedy)" }.joined(separator: "\nsampan: "))
        }
    }

    private func startServer(_ home: Home) throws {
        let program = FilePath(try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
        let command = DetachedProcess.Command(
            program: program,
            arguments: ["server", "--home", home.path.string],
            environment: ProcessEnvironment.server
        )
        _ = try DetachedProcess.start(command, logFile: home.logFile("server"), pidFile: home.pidFile("server"))
    }

    private func show(_ status: PlatformStatus, _ home: Home) throws {
        try output.print(status, text: welcome(home, status))
    }

    /// `nil` when the server ended before it was ready.
    private func statusWhenReady(_ home: Home) async throws -> PlatformStatus? {
        let deadline = ContinuousClock.now + .seconds(120)
        var progress = Progress()
        while ContinuousClock.now < deadline {
            guard DetachedProcess.find(pidFile: home.pidFile("server")) != nil else { return nil }
            if let status = try? await ControlClient(home).status() {
                if status.ready { return status }
                progress.show(status)
            }
            try await Task.sleep(for: .milliseconds(50))
        }
        throw HostError("the platform is not ready after 120 s; 'sampan status' says which part is missing")
    }

    private func welcome(_ home: Home, _ status: PlatformStatus) -> String {
        var lines = [
            "Sampan is ready.",
            "  web, git, registry   \(status.urls.web)",
            "  applications         \(status.urls.gateway)",
            "  Kubernetes API       \(status.urls.api)",
            "",
            "  kubectl              export KUBECONFIG=$(sampan kubeconfig --home \(home.path))",
            "  sign in              user root, password in \(home.initialPasswordFile)",
        ]
        if home.path.string == Home.defaultPath {
            lines[5] = "  kubectl              export KUBECONFIG=$(sampan kubeconfig)"
        }
        return lines.joined(separator: "\n")
    }
}

/// Says on standard error what a start still waits for, each state once.
private struct Progress {
    private var last = ""

    mutating func show(_ status: PlatformStatus) {
        let waiting = status.components.filter { !$0.ready }.map { "\($0.name) (\($0.message))" }.joined(
            separator: ", "
        )
        guard waiting != last, !waiting.isEmpty else { return }
        last = waiting
        FileHandle.standardError.write(Data("waiting for \(waiting)\n".utf8))
    }
}

/// What long-lived programs are started with: nothing of the caller's shell but the search path.
enum ProcessEnvironment {
    static var server: [String: String] {
        [
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LC_ALL": "C.UTF-8",
        ]
    }
}
