import Foundation
import KubernetesModel

/// Writes what `kubectl` needs to reach the cluster. JSON, which every reader of YAML reads.
enum Kubeconfig {
    static func text(server: String, authority: String, user: String, token: String) -> String {
        let config: JSON = [
            "apiVersion": "v1", "kind": "Config", "current-context": "sampan",
            "clusters": [
                [
                    "name": "sampan",
                    "cluster": [
                        "server": .string(server),
                        "certificate-authority-data": .string(Data(authority.utf8).base64EncodedString()),
                    ],
                ]
            ],
            "contexts": [["name": "sampan", "context": ["cluster": "sampan", "user": .string(user)]]],
            "users": [["name": .string(user), "user": ["token": .string(token)]]],
        ]
        return config.prettyString + "\n"
    }
}
