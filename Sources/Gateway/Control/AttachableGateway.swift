import KubernetesModel

/// A gateway of ours while routes attach to it.
struct AttachableGateway {
    let object: AnyObjectView
    var listeners: [Listener]

    struct Listener {
        var name: String
        var port: Int
        /// Empty for every host.
        var hostname: String
        var allowedNamespaces: JSON
        var isTLS: Bool
        /// The listener's `tls`, with its references.
        var tls: JSON
        /// Why the listener is not accepted.
        var problem: Problem?
        /// Another listener has the port for another protocol.
        var conflict: Problem?
        /// What is wrong with its references.
        var references: Problem?
        /// What routes of this listener are attached to in the table; see ``RouteTable/Listener/name``.
        var tableName = ""
        var attachedRoutes = 0

        var isOpen: Bool { problem == nil && conflict == nil }
        var isProgrammed: Bool { isOpen && references == nil }
    }

    struct Problem: Hashable {
        var reason: String
        var message: String
    }

    init(_ gateway: JSON) {
        object = AnyObjectView(gateway)
        listeners = (gateway["spec", "listeners"]?.array ?? []).map(Self.listener)
    }

    private static func listener(_ json: JSON) -> Listener {
        let proto = json["protocol"]?.string ?? "HTTP"
        return Listener(
            name: json["name"]?.string ?? "",
            port: json["port"]?.int ?? (proto == "HTTPS" ? 443 : 80),
            hostname: (json["hostname"]?.string ?? "").lowercased(),
            allowedNamespaces: json["allowedRoutes", "namespaces"] ?? ["from": "Same"],
            isTLS: proto == "HTTPS",
            tls: json["tls"] ?? [:],
            problem: problem(proto, json["tls"] ?? [:])
        )
    }

    private static func problem(_ proto: String, _ tls: JSON) -> Problem? {
        switch proto {
        case "HTTP": return nil
        case "HTTPS":
            let mode = tls["mode"]?.string ?? "Terminate"
            guard mode != "Terminate" else { return nil }
            return Problem(
                reason: "UnsupportedValue",
                message: "The TLS mode \(mode) is not supported with HTTPS; use Terminate."
            )
        default:
            return Problem(
                reason: "UnsupportedProtocol",
                message: "The protocol \(proto) is not supported; use HTTP or HTTPS."
            )
        }
    }
}
