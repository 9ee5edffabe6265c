import Foundation
import KubernetesModel

/// Where a cluster's API is and who we are to it: the content of one kubeconfig context, or of a pod's own identity.
package struct ClusterAccess: Hashable, Sendable {
    /// How requests prove who sends them.
    package enum Identity: Hashable, Sendable {
        case anonymous
        case token(String)
        /// Read again from time to time, since the node renews it.
        case tokenFile(String)
        /// PEM
        case certificate(chain: [UInt8], key: [UInt8])
    }

    /// `https://host:port`, without a slash at the end.
    package var server: String
    /// PEM; the system's trust store when empty.
    package var certificateAuthority: [UInt8]
    package var verifiesServer: Bool
    package var identity: Identity
    /// The namespace of commands that name none.
    package var namespace: String

    package init(
        server: String,
        certificateAuthority: [UInt8] = [],
        verifiesServer: Bool = true,
        identity: Identity = .anonymous,
        namespace: String = "default"
    ) {
        var server = server
        while server.hasSuffix("/") { server.removeLast() }
        self.server = server
        self.certificateAuthority = certificateAuthority
        self.verifiesServer = verifiesServer
        self.identity = identity
        self.namespace = namespace
    }
}

/// Says which part of a kubeconfig or of a pod's identity cannot be used.
package struct ClusterAccessError: Error, Equatable, CustomStringConvertible {
    package let description: String

    init(_ description: String) {
        self.description = description
    }
}

extension ClusterAccess {
    private static let serviceAccountDirectory = "/var/run/secrets/kubernetes.io/serviceaccount"

    /// The identity that Kubernetes gives every pod; `nil` outside a pod.
    package static func inCluster(
        environment: [String: String] = ProcessInfo.processInfo.environment,
        directory: String? = nil
    ) throws -> ClusterAccess? {
        let directory = directory ?? serviceAccountDirectory
        guard let host = environment["KUBERNETES_SERVICE_HOST"], let port = environment["KUBERNETES_SERVICE_PORT"],
            FileManager.default.fileExists(atPath: "\(directory)/token")
        else { return nil }
        let namespace = try? String(contentsOfFile: "\(directory)/namespace", encoding: .utf8)
        return ClusterAccess(
            server: "https://\(host.contains(":") ? "[\(host)]" : host):\(port)",
            certificateAuthority: try readFile("\(directory)/ca.crt"),
            identity: .tokenFile("\(directory)/token"),
            namespace: namespace?.trimmingCharacters(in: .whitespacesAndNewlines) ?? "default"
        )
    }

    static func readFile(_ path: String) throws -> [UInt8] {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw ClusterAccessError("cannot read \(path)")
        }
        return [UInt8](data)
    }
}
