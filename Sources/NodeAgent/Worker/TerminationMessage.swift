import Foundation
import KubernetesModel

/// The last words of a container: what it wrote to its termination message path, or the end of its log.
enum TerminationMessage {
    /// The bounds of the API.
    static let maximumBytes = 4096
    static let maximumLogBytes = 2048
    static let maximumLogLines = 80

    static func path(podDirectory: String, container: String, attempt: Int) -> String {
        "\(podDirectory)/containers/\(container)/\(attempt)"
    }

    static func read(_ container: Container, podDirectory: String) -> String {
        let path = path(podDirectory: podDirectory, container: container.name, attempt: container.attempt)
        let written = head(of: path)
        guard written.isEmpty, container.exitCode != 0,
            container.annotations[Annotation.terminationMessagePolicy] == "FallbackToLogsOnError"
        else { return written }
        let lines = LogFile(path: container.logPath).lastLines(maximumLogLines)
        return String(decoding: lines.flatMap(\.content).suffix(maximumLogBytes), as: UTF8.self)
    }

    private static func head(of path: String) -> String {
        guard let file = FileHandle(forReadingAtPath: path) else { return "" }
        defer { try? file.close() }
        let bytes = (try? file.read(upToCount: maximumBytes)) ?? Data()
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension PodObservation {
    func addingTerminationMessages(in podDirectory: String) -> PodObservation {
        var result = self
        for index in result.containers.indices where result.containers[index].state == .exited {
            let text = TerminationMessage.read(result.containers[index], podDirectory: podDirectory)
            if !text.isEmpty { result.containers[index].message = text }
        }
        return result
    }
}
