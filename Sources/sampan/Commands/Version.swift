import ArgumentParser

struct Version: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Print the version.")
    static let current = "0.1.0"

    @OptionGroup var output: OutputOption

    func run() throws {
        try output.print(["version": Self.current], text: "sampan \(Self.current)")
    }
}
