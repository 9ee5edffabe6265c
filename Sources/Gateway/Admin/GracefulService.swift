import Logging
import ServiceLifecycle

extension Service {
    /// As ``run()``, but a cancellation shuts the service down gracefully, and cancels it only when it still runs after `patience`.
    ///
    /// Hummingbird's server ends the process when it is cancelled while it accepts a connection: the connection's writer is freed
    /// unfinished, which SwiftNIO takes for a programming error.
    func runUntilCancelled(patience: Duration = .seconds(2), logger: Logger) async throws {
        var configuration = ServiceGroupConfiguration(
            services: [
                .init(
                    service: self,
                    successTerminationBehavior: .gracefullyShutdownGroup,
                    failureTerminationBehavior: .cancelGroup
                )
            ],
            logger: logger
        )
        configuration.maximumGracefulShutdownDuration = patience
        let group = ServiceGroup(configuration: configuration)
        let running = Task { try await group.run() }
        try await withTaskCancellationHandler {
            try await running.value
        } onCancel: {
            Task { await group.triggerGracefulShutdown() }
        }
    }
}
