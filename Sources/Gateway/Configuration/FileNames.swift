import FlowControl
import Yams

/// What the parts of a file may refer to by name.
struct FileNames {
    /// Also those that are wrong in themselves: one mistake should not look like two.
    let backends: Set<String>
    let listeners: Set<String>
    let policyNames: Set<String>
    let policies: [String: TrafficPolicy]

    func backend(_ node: ConfigurationNode) -> String? { reference(node, to: "backend", among: backends) }

    func listener(_ node: ConfigurationNode) -> String? { reference(node, to: "listener", among: listeners) }

    func policy(_ node: ConfigurationNode) -> TrafficPolicy? {
        reference(node, to: "policy", among: policyNames).flatMap { policies[$0] }
    }

    private func reference(_ node: ConfigurationNode, to noun: String, among names: Set<String>) -> String? {
        guard let name = node.text("the name of a \(noun)") else { return nil }
        guard names.contains(name) else {
            node.fail("there is no \(noun) \"\(name)\"\(Suggestion.hint(for: name, among: names))")
            return nil
        }
        return name
    }
}

extension ConfigurationNode {
    /// The keys of a mapping; none of anything else.
    var keys: Set<String> {
        guard case .mapping(let mapping) = node else { return [] }
        return Set(mapping.keys.compactMap { $0.string })
    }

    func hasField(_ key: String) -> Bool { keys.contains(key) }
}
