import ArgumentParser
import Host
import Subprocess

struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Inspect the machine; every finding says what to do."
    )

    @OptionGroup var home: HomeOption
    @OptionGroup var output: OutputOption

    func run() async throws {
        let settings = try Settings.load(from: home.value) ?? Settings()
        let isUp = DetachedProcess.find(pidFile: home.value.pidFile("server")) != nil
        let preflight = Preflight(home: home.value, settings: settings)
        let kubectl = Preflight.kubectl(version: await kubectlVersion())
        let findings = preflight.inspect(includingPorts: !isUp) + [kubectl, preflight.diskUse()]
        let rows = findings.map { [$0.severity.rawValue, $0.check, $0.message, $0.remedy] }
        try output.print(findings, text: tableText(["RESULT", "CHECK", "FOUND", "WHAT TO DO"], rows))
        if findings.contains(where: { $0.severity == .error }) { throw ExitCode.failure }
    }

    private func kubectlVersion() async -> String? {
        let arguments: Arguments = ["version", "--client"]
        return try? await Subprocess.run(
            .name("kubectl"),
            arguments: arguments,
            output: .string(limit: 4096),
            error: .discarded
        ).standardOutput
    }
}
