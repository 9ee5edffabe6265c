import Host
import Hummingbird
import Logging
import NIOCore
import ServiceLifecycle

/// The web port: REST API, git and registry on one router, served on this machine and on the bridge where jobs reach it.
struct WebServer: Service {
    let responder: any HTTPResponder<BasicRequestContext> & Sendable
    let addresses: [String]
    let port: Int
    let board: ReadinessBoard
    let logger: Logger

    func run() async throws {
        try await withThrowingDiscardingTaskGroup { group in
            for (index, address) in addresses.enumerated() {
                group.addTask { try await serve(address, isFirst: index == 0) }
            }
        }
    }

    private func serve(_ address: String, isFirst: Bool) async throws {
        let application = Application(
            responder: AnyResponder(responder: responder),
            configuration: ApplicationConfiguration(
                address: .hostname(address, port: port),
                serverName: "Sampan",
                backlog: 1024
            ),
            onServerRunning: { [board] _ in
                if isFirst { board.set("web", ready: true, "\(address):\(port)") }
            },
            logger: logger
        )
        try await application.run()
    }
}

private struct AnyResponder: HTTPResponder {
    let responder: any HTTPResponder<BasicRequestContext> & Sendable

    func respond(to request: Request, context: BasicRequestContext) async throws -> Response {
        try await responder.respond(to: request, context: context)
    }
}
