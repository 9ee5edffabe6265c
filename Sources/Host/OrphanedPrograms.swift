import Foundation
import SystemPackage

/// Programs that a server started as its children and that outlived it, because it was killed: a git that takes a push, a build.
///
/// Nobody reads their output or waits for them any more, but they still write to files that the next server takes over. They are
/// recognized by a variable of the environment that only a server of this home gives its children.
package struct OrphanedPrograms: Sendable {
    /// `NAME=value`; a value that ends with a slash stands for everything below that folder.
    private let marks: [[UInt8]]

    package init(home: Home) {
        marks = [
            "GIT_CONFIG_GLOBAL=\(home.repositories.appending("gitconfig"))",
            "CONTAINERS_STORAGE_CONF=\(home.builder.appending("running"))/",
        ].map { Array($0.utf8) }
    }

    /// Asks them to end, which lets git remove its lock files, and ends by force what still runs after `grace`.
    package func end(grace: Duration = .seconds(2)) async {
        for signal in [SIGTERM, SIGKILL] {
            let deadline = ContinuousClock.now + grace
            var groups = find()
            for group in groups { kill(-group, signal) }
            while !groups.isEmpty, ContinuousClock.now < deadline {
                try? await Task.sleep(for: .milliseconds(10))
                groups = find()
            }
        }
    }

    /// The process groups; each child of a server leads one of its own.
    private func find() -> Set<pid_t> {
        let own = getpgrp()
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        let processes = names.compactMap { pid_t($0) }.filter { $0 != getpid() && isMarked($0) }
        return Set(processes.map { getpgid($0) }).filter { $0 > 1 && $0 != own }
    }

    private func isMarked(_ process: pid_t) -> Bool {
        guard let environment = FileManager.default.contents(atPath: "/proc/\(process)/environ") else { return false }
        return environment.split(separator: 0).contains { variable in
            marks.contains { $0.last == UInt8(ascii: "/") ? variable.starts(with: $0) : variable.elementsEqual($0) }
        }
    }
}
