import ArgumentParser

struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "version", abstract: "Print the version.")
    static let current = "0.1.0"

    @OptionGroup var output: OutputOption

    func run() throws {
        try output.print(["version": Self.current], text: "sampan \(Self.current)")
    }
}
