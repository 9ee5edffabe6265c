import APIServer
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
        let agent = try connected()
        let endpoint =
            switch request {
            case .exec(let exec): try await agent.streamingEndpoint(namespace: namespace, pod: pod, exec: exec.asNodeRequest)
            case .attach(let exec): try await agent.streamingEndpoint(namespace: namespace, pod: pod, attach: exec.asNodeRequest)
            case .portForward(let ports): try await agent.streamingEndpoint(namespace: namespace, pod: pod, portForward: ports)
            }
        return StreamEndpoint(host: endpoint.host, port: endpoint.port, target: endpoint.target)
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
        _ = await client.withdraw(podIP: podIP, deadline: deadline)
    }
}
