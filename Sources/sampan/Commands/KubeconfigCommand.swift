import ArgumentParser
import Foundation
import Host
import SystemPackage

struct KubeconfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kubeconfig",
        abstract: "Print the path of the administrator's kubeconfig."
    )

    @OptionGroup var home: HomeOption
    @OptionGroup var output: OutputOption

    func run() throws {
        _ = try home.settings()
        let path = ServerProcess.adminKubeconfig(home.value).string
        guard FileManager.default.fileExists(atPath: path) else {
            throw HostError("\(path) is not there yet; 'sampan up' makes it")
        }
        try output.print(["path": path], text: path)
    }
}
