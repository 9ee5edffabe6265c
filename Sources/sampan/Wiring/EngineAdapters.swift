import APIServer
import Foundation
import Gateway
import KubernetesClient
import KubernetesModel
import NodeAgent
import ServiceNetwork
import Synchronization

/// Joins the API server to the node agent, which is made after it because it is the server's client.
final class NodeConnectionAdapter: NodeConnection {
    private let agent = Mutex<NodeAgent?>(nil)

    func connect(_ agent: NodeAgent) {
        self.agent.withLock { $0 = agent }
    }

    func logs(namespace: String, pod: String, options: LogOptions) async throws -> ByteStream {
        try await connected().logs(namespace: namespace, pod: pod, options: options)
    }

    func streamingURL(namespace: String, pod: String, request: StreamRequest) async throws -> StreamEndpoint {
        let (container, stream) = nodeStream(request)
        let url = try await connected().streamingURL(namespace: namespace, pod: pod, container: container, stream)
        guard let parts = URLComponents(string: url), let host = parts.host, let port = parts.port else {
            throw StatusError.internalError("the runtime offers its streams at \(url), which is no address")
        }
        let query = parts.percentEncodedQuery.map { "?\($0)" } ?? ""
        return StreamEndpoint(host: host, port: port, target: parts.percentEncodedPath + query)
    }

    // MARK: - Private

    private func nodeStream(_ request: StreamRequest) -> (container: String, NodeAgent.Stream) {
        switch request {
        case .exec(let exec):
            let stream = NodeAgent.Stream.execute(
                command: exec.command,
                isTerminal: exec.tty,
                stdin: exec.stdin,
                stdout: exec.stdout,
                stderr: exec.stderr
            )
            return (exec.container, stream)
        case .attach(let exec):
            let stream = NodeAgent.Stream.attach(
                isTerminal: exec.tty,
                stdin: exec.stdin,
                stdout: exec.stdout,
                stderr: exec.stderr
            )
            return (exec.container, stream)
        case .portForward(let ports): return ("", .portForward(ports: ports))
        }
    }

    private func connected() throws -> NodeAgent {
        guard let agent = agent.withLock({ $0 }) else { throw StatusError.unavailable("the node agent is starting") }
        return agent
    }
}

/// The service network's half of the drain barrier.
struct ServiceDrain: TrafficDrain {
    let drain: EastWestDrain

    func withdraw(podIP: String, deadline: ContinuousClock.Instant) async throws {
        _ = await drain.withdraw(podAddress: podIP, deadline: deadline)
    }
}

/// The gateway's half.
struct GatewayDrain: TrafficDrain {
    let client: GatewayDrainClient

    init(socketPath: String) { client = GatewayDrainClient(socketPath: socketPath) }

    func withdraw(podIP: String, deadline: ContinuousClock.Instant) async throws {
        _ = await client.withdraw(podIP: podIP, deadline: deadline - .now)
    }
}
