import APIServer
import AsyncHTTPClient
import CLinux
import Foundation
import Host
import KubernetesClient
import KubernetesModel
import Logging
import NIOCore
import NIOHTTP1
import ServiceLifecycle
import SystemPackage

/// The gateway's process, seen from the server: kept running, and left running when the server goes.
struct GatewaySupervision: Sendable {
    let services: [any Service]

    init(home: Home, settings: Settings, engine: Engine, board: ReadinessBoard, logger: Logger) {
        let process = SupervisedProcess(
            name: "gateway",
            command: Self.command(home, settings),
            takeOver: ["--take-over"],
            home: home,
            logger: logger
        )
        services = [
            PlatformObjects(client: engine.client, gatewayPort: settings.gatewayPort, logger: logger),
            process,
            GatewayReadiness(home: home, port: settings.gatewayPort, board: board),
        ]
    }

    /// The ports stand among the arguments, so that a gateway with other ones is replaced.
    private static func command(_ home: Home, _ settings: Settings) -> DetachedProcess.Command {
        let program =
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
        return DetachedProcess.Command(
            program: FilePath(program),
            arguments: [
                "gateway", "--home", home.path.string, "--port", "\(settings.gatewayPort)", "--tls-port",
                "\(settings.gatewayTLSPort)",
            ],
            environment: ProcessEnvironment.server
        )
    }
}

/// The objects that every platform has: the class and the gateway that routes attach to when they name no other.
private struct PlatformObjects: Service {
    let client: InProcessClusterClient
    let gatewayPort: Int
    let logger: Logger

    func run() async throws {
        let options = WriteOptions(fieldManager: "sampan", force: true)
        for (resource, namespace, object) in objects {
            let name = object["metadata", "name"]?.string ?? ""
            _ = try await client.patch(
                resource,
                namespace: namespace,
                name: name,
                subresource: nil,
                .apply(object),
                options: options
            )
        }
        try? await gracefulShutdown()
    }

    private var objects: [(Resource, String?, JSON)] {
        [
            (
                .gatewayClasses, nil,
                [
                    "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass",
                    "metadata": ["name": "sampan"],
                    "spec": ["controllerName": "sampan.dev/gateway"],
                ]
            ),
            (
                .gateways, "sampan-system",
                [
                    "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
                    "metadata": ["name": "sampan", "namespace": "sampan-system"],
                    "spec": [
                        "gatewayClassName": "sampan",
                        "listeners": [
                            [
                                "name": "http", "port": JSON(gatewayPort), "protocol": "HTTP",
                                "allowedRoutes": ["namespaces": ["from": "All"]],
                            ]
                        ],
                    ],
                ]
            ),
        ]
    }
}

/// Asks the gateway whether it serves, quickly while the platform starts and now and then later.
private struct GatewayReadiness: Service {
    let home: Home
    let port: Int
    let board: ReadinessBoard

    func run() async throws {
        try? await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                let ready = await isReady()
                board.set(
                    "gateway",
                    ready: ready,
                    ready ? "port \(port)" : "not serving; see \(home.logFile("gateway"))"
                )
                try await Task.sleep(for: ready ? .seconds(2) : .milliseconds(50))
            }
        }
    }

    private func isReady() async -> Bool {
        // The client would wait longer before each try to connect.
        guard clinux_probe_unix_socket(home.gatewaySocket.string) == 0,
            let url = URL(httpURLWithSocketPath: home.gatewaySocket.string, uri: "/readyz")
        else { return false }
        let request = HTTPClientRequest(url: url.absoluteString)
        let response = try? await HTTPClient.shared.execute(request, timeout: .seconds(2))
        return response?.status == .ok
    }
}
