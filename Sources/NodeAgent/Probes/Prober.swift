import AsyncHTTPClient
import Foundation
import GRPCCore
import GRPCNIOTransportHTTP2
import GRPCProtobuf
import KubernetesModel
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import SwiftProtobuf

/// Performs probes and lifecycle hooks against a container. Every try is bounded by its timeout.
final class Prober: Sendable {
    /// Whom a probe is aimed at.
    struct Target: Sendable {
        var containerID: String
        var definition: ContainerDefinition
        var podAddress: String
    }

    private let runtime: any ContainerRuntime

    /// One for the process, never shut down: it keeps no connection after a probe.
    private static let http: HTTPClient = {
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.certificateVerification = .none  // the certificate is the pod's own affair, as the API says
        var configuration = HTTPClient.Configuration(tlsConfiguration: tls, redirectConfiguration: .disallow)
        configuration.httpVersion = .http1Only
        configuration.connectionPool.idleTimeout = .milliseconds(1)
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }()

    init(runtime: any ContainerRuntime) {
        self.runtime = runtime
    }

    /// Does what `action` says; the outcome of a hook is that of a probe.
    func perform(_ action: ProbeAction, on target: Target, timeout: Duration) async -> ProbeOutcome {
        do {
            switch action {
            case .execute(let command): return try await execute(command, target, timeout)
            case .http(let request): return try await get(request, target, timeout)
            case .connect(let host, let port): return try await connect(host, port, target, timeout)
            case .grpc(let port, let service): return try await checkHealth(port, service, target, timeout)
            case .sleep(let duration):
                try await Task.sleep(for: duration)
                return .success
            case .none: return .success
            }
        } catch {
            return .failure("\(error)")
        }
    }

    // MARK: - Actions

    private func execute(_ command: [String], _ target: Target, _ timeout: Duration) async throws -> ProbeOutcome {
        let result = try await runtime.execute(command, in: target.containerID, timeout: timeout)
        let text = String(decoding: (result.output + result.errorOutput).prefix(1024), as: UTF8.self)
        return result.exitCode == 0 ? .success : .failure(text.trimmingCharacters(in: .newlines))
    }

    private func get(_ get: ProbeAction.HTTP, _ target: Target, _ timeout: Duration) async throws -> ProbeOutcome {
        guard let port = target.definition.port(get.port) else { return unknownPort(get.port) }
        let host = get.host ?? target.podAddress
        let scheme = get.isSecure ? "https" : "http"
        let url = "\(scheme)://\(bracketed(host)):\(port)\(get.path)"
        var request = HTTPClientRequest(url: url)
        request.headers.add(name: "User-Agent", value: "kube-probe/1.36")
        request.headers.add(name: "Accept", value: "*/*")
        request.headers.add(name: "Connection", value: "close")
        for header in get.headers { request.headers.replaceOrAdd(name: header.name, value: header.value) }
        do {
            let response = try await Self.http.execute(request, timeout: TimeAmount(timeout))
            let code = Int(response.status.code)
            return (200..<400).contains(code) ? .success : .failure("HTTP probe failed with statuscode: \(code)")
        } catch let error as HTTPClientError where error == .deadlineExceeded || error == .connectTimeout {
            return .failure(
                "Get \"\(url)\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
            )
        } catch {
            return .failure("Get \"\(url)\": \(error)")
        }
    }

    private func connect(
        _ host: String?,
        _ port: JSON,
        _ target: Target,
        _ timeout: Duration
    ) async throws -> ProbeOutcome {
        guard let number = target.definition.port(port) else { return unknownPort(port) }
        let address = host ?? target.podAddress
        do {
            let channel = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
                .connectTimeout(TimeAmount(timeout))
                .connect(host: address, port: number)
                .get()
            try? await channel.close()
            return .success
        } catch {
            return .failure("dial tcp \(bracketed(address)):\(number): \(error)")
        }
    }

    /// The standard health service of gRPC.
    private func checkHealth(
        _ port: JSON,
        _ service: String,
        _ target: Target,
        _ timeout: Duration
    ) async throws -> ProbeOutcome {
        guard let number = target.definition.port(port) else { return unknownPort(port) }
        let transport = try HTTP2ClientTransport.Posix(
            target: .ipv4(address: target.podAddress, port: number),
            transportSecurity: .plaintext
        )
        var options = CallOptions.defaults
        options.timeout = timeout
        let callOptions = options
        return try await withGRPCClient(transport: transport) { client in
            let health = Grpc_Health_V1_Health.Client(wrapping: client)
            do {
                let answer = try await health.check(.with { $0.service = service }, options: callOptions)
                return answer.status == .serving
                    ? .success : .failure("service unhealthy (responded with \"\(answer.status)\")")
            } catch let error as RPCError {
                return .failure("error: health rpc probe failed: \(error.message)")
            }
        }
    }

    // MARK: - Private

    private func unknownPort(_ port: JSON) -> ProbeOutcome {
        .failure("the port \(port.encodedString) is no port of the container")
    }

    private func bracketed(_ host: String) -> String { host.contains(":") ? "[\(host)]" : host }
}
