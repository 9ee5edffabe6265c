import GRPCCore
import GRPCNIOTransportHTTP2
import GRPCProtobuf
import KubernetesModel
import Testing

@testable import NodeAgent

/// gRPC probes against a server of the standard health service.
struct GRPCProbeTests {
    /// Serves what its name says; everything else is unknown.
    private struct Health: RegistrableRPCService {
        func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
            router.registerHandler(
                forMethod: MethodDescriptor(fullyQualifiedService: "grpc.health.v1.Health", method: "Check"),
                deserializer: ProtobufDeserializer<Grpc_Health_V1_HealthCheckRequest>(),
                serializer: ProtobufSerializer<Grpc_Health_V1_HealthCheckResponse>()
            ) { request, _ in
                var service = ""
                for try await message in request.messages { service = message.service }
                var answer = Grpc_Health_V1_HealthCheckResponse()
                switch service {
                case "", "up": answer.status = .serving
                case "down": answer.status = .notServing
                default: throw RPCError(code: .notFound, message: "unknown service")
                }
                let response = answer
                return StreamingServerResponse { writer in
                    try await writer.write(response)
                    return [:]
                }
            }
        }
    }

    private func probe(_ service: String, port: Int) async -> ProbeOutcome {
        let prober = Prober(runtime: ScriptedRuntime())
        let target = Prober.Target(
            containerID: "c",
            definition: ContainerDefinition(["name": "main"], isInit: false),
            podAddress: "127.0.0.1"
        )
        return await prober.perform(
            ProbeAction(["grpc": ["port": JSON(port), "service": .string(service)]]),
            on: target,
            timeout: .seconds(5)
        )
    }

    @Test func asksTheHealthServiceOfTheContainer() async throws {
        let transport = HTTP2ServerTransport.Posix(
            address: .ipv4(host: "127.0.0.1", port: 0),
            transportSecurity: .plaintext
        )
        try await withGRPCServer(transport: transport, services: [Health()]) { server in
            let address = try await server.listeningAddress
            let port = try #require(address?.ipv4?.port)
            #expect(await probe("", port: port) == .success)
            #expect(await probe("up", port: port) == .success)
            let down = await probe("down", port: port)
            #expect(!down.isSuccess && down.message.hasPrefix("service unhealthy"))
            let unknown = await probe("other", port: port)
            #expect(unknown == .failure("error: health rpc probe failed: unknown service"))
        }
        #expect(await probe("", port: 1).isSuccess == false)
    }
}
