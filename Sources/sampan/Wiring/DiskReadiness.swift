import Foundation
import Host
import ServiceLifecycle

/// Tells the board how much room the disk of the home has left.
struct DiskReadiness: Service {
    let home: Home
    let board: ReadinessBoard

    func run() async throws {
        try? await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                if let space = DiskSpace(at: home.path) { board.set("disk", ready: !space.isFull, text(space)) }
                try await Task.sleep(for: .seconds(2))
            }
        }
    }

    private func text(_ space: DiskSpace) -> String {
        let free = "\(space.free >> 20) of \(space.total >> 20) MiB free"
        guard space.isFull else { return free }
        return "full: \(free), pushes are refused below \(space.reserve >> 20) MiB"
    }
}
