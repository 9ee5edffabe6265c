import ArgumentParser
import Foundation
import Host
import SystemPackage

struct HomeOption: ParsableArguments {
    @Option(help: "The folder with everything of this platform (SAMPAN_HOME).")
    var home: String = ProcessInfo.processInfo.environment["SAMPAN_HOME"] ?? Home.defaultPath

    var value: Home {
        Home(home.hasPrefix("/") ? FilePath(home) : FilePath(FileManager.default.currentDirectoryPath).appending(home))
    }

    /// The settings of a platform that was set up before.
    func settings() throws -> Settings {
        guard let settings = try Settings.load(from: value) else {
            throw HostError("there is no platform in \(value.path); start one with 'sampan up --home \(value.path)'")
        }
        return settings
    }
}

enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case text, json
}

struct OutputOption: ParsableArguments {
    @Option(name: [.customShort("o"), .customLong("output")], help: "How to print: text or json.")
    var format = OutputFormat.text

    /// Prints `value` as JSON, or `text` for people.
    func print(_ value: some Encodable, text: @autoclosure () -> String) throws {
        switch format {
        case .text: Swift.print(text())
        case .json:
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            Swift.print(String(decoding: try encoder.encode(value), as: UTF8.self))
        }
    }
}

/// Columns of equal width, as every table of this program.
func tableText(_ header: [String], _ rows: [[String]]) -> String {
    let widths = header.indices.map { column in ([header] + rows).map { $0[column].count }.max() ?? 0 }
    return ([header] + rows).map { row in
        zip(row, widths).map { $0.padding(toLength: $1, withPad: " ", startingAt: 0) }.joined(separator: "   ")
            .replacing(/\s+$/, with: "")
    }.joined(separator: "\n")
}
