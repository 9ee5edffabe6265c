import Foundation
import TestKit

/// A program that runs beside the test until the test has seen enough of what it writes.
struct FollowedProgram: Sendable {
    private let command: String
    private let file: String

    /// What it wrote until now, errors included.
    var output: String { (try? String(contentsOfFile: file, encoding: .utf8)) ?? "" }

    /// Runs `arguments` while `body` runs, then ends the program.
    static func with(_ arguments: [String], _ body: (FollowedProgram) async throws -> Void) async throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "followed-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: file) }
        let program = FollowedProgram(command: arguments.joined(separator: " "), file: file)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                // Cancelled in the end, which kills it.
                _ = try? await Shell.attempt("sh", ["-c", #"exec "$@" >"$0" 2>&1"#, file] + arguments)
            }
            defer { group.cancelAll() }
            try await body(program)
        }
    }

    func waitFor(_ text: String, within deadline: Duration = .seconds(30)) async throws {
        do {
            try await waitUntil("\(command) to write \(text)", within: deadline) { output.contains(text) }
        } catch {
            throw JourneyTimeout(description: "\(error)\nit wrote:\n\(output.suffix(4000))")
        }
    }
}
