import KubernetesModel
import Logging
import ServiceLifecycle

extension APIServer {
    package func run() async throws {
        try await prepare()
        try await withGracefulShutdownHandler {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await self.sweep() }
                try await group.next()
                group.cancelAll()
            }
        } onGracefulShutdown: {
            self.service.store.endWatches()
        }
        try await service.store.close()
    }

    func sweep() async throws {}
}
