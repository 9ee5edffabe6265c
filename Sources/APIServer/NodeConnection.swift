package import KubernetesClient

/// What the API server needs of the node agent: the logs of containers, and where their streams are.
package protocol NodeConnection: Sendable {
    func logs(namespace: String, pod: String, options: LogOptions) async throws -> ByteStream

    /// Where the container runtime serves the stream that is asked for; the request is passed on to it as it came.
    func streamingURL(namespace: String, pod: String, request: StreamRequest) async throws -> StreamEndpoint
}

/// A stream into a pod that a client asks for.
package enum StreamRequest: Hashable, Sendable {
    case exec(ExecRequest)
    case attach(ExecRequest)
    /// The ports of the first protocol version; newer clients name the port per stream, so it may be empty.
    case portForward(ports: [Int])
}

/// Which container, and which of its streams.
package struct ExecRequest: Hashable, Sendable {
    /// May be empty for pods with one container.
    package var container: String
    /// Empty to attach.
    package var command: [String]
    package var stdin: Bool
    package var stdout: Bool
    package var stderr: Bool
    package var tty: Bool

    package init(
        container: String = "",
        command: [String] = [],
        stdin: Bool = false,
        stdout: Bool = false,
        stderr: Bool = false,
        tty: Bool = false
    ) {
        self.container = container
        self.command = command
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.tty = tty
    }
}

/// A place on a streaming server; plain HTTP on this machine.
package struct StreamEndpoint: Hashable, Sendable {
    package var host: String
    package var port: Int
    /// Path and query.
    package var target: String

    package init(host: String, port: Int, target: String) {
        self.host = host
        self.port = port
        self.target = target
    }
}
