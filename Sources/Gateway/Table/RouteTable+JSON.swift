import FlowControl
import KubernetesModel

extension RouteTable {
    /// The table for people who look at it.
    var json: JSON {
        [
            "listeners": .array(listeners.map(\.json)), "rules": .array(rules.map(\.json)),
            "backends": .array(backends.map(\.json)),
        ]
    }
}

extension RouteTable.Listener {
    fileprivate var json: JSON {
        var json: JSON = ["name": .string(name), "port": JSON(port), "hostname": .string(hostname)]
        if !address.isEmpty { json["address"] = .string(address) }
        if let tls { json["certificates"] = .array(tls.certificates.map { .string($0.name) }) }
        return json
    }
}

extension RouteTable.Rule {
    fileprivate var json: JSON {
        var json: JSON = [
            "route": .string(route), "listeners": .array(listeners.map(JSON.string)),
            "hosts": .array(hosts.map(JSON.string)), "matches": .array(matches.map(\.json)),
            "targets": .array(
                targets.map { ["backend": $0.backend.map(JSON.string) ?? .null, "weight": JSON($0.weight)] }
            ),
        ]
        if let request = timeouts.request { json["requestTimeoutMilliseconds"] = JSON(request) }
        if let request = timeouts.backendRequest { json["backendTimeoutMilliseconds"] = JSON(request) }
        if let redirect = filters.redirect { json["redirectStatus"] = JSON(redirect.status) }
        if let response = filters.response { json["responseStatus"] = JSON(response.status) }
        if !filters.mirrors.isEmpty { json["mirrors"] = .array(filters.mirrors.map { .string($0.backend) }) }
        if !policies.isEmpty { json["policies"] = .array(policies.map { .string($0.name) }) }
        return json
    }
}

extension RouteTable.Match {
    fileprivate var json: JSON {
        var json: JSON = [:]
        switch path {
        case .exact(let path): json["path"] = ["type": "Exact", "value": .string(path)]
        case .prefix(let path): json["path"] = ["type": "PathPrefix", "value": .string(path)]
        case .regularExpression(let expression):
            json["path"] = ["type": "RegularExpression", "value": .string(expression.pattern)]
        }
        json["method"] = method.map(JSON.string)
        if !headers.isEmpty { json["headers"] = .array(headers.map(\.json)) }
        if !query.isEmpty { json["query"] = .array(query.map(\.json)) }
        return json
    }
}

extension RouteTable.FieldMatch {
    fileprivate var json: JSON {
        switch value {
        case .exact(let value): ["name": .string(name), "value": .string(value)]
        case .regularExpression(let expression):
            ["type": "RegularExpression", "name": .string(name), "value": .string(expression.pattern)]
        }
    }
}

extension RouteTable.Backend {
    fileprivate var json: JSON {
        [
            "name": .string(name),
            "endpoints": .array(
                endpoints.map { ["address": .string($0.address), "port": JSON($0.port), "uid": .string($0.uid)] }
            ),
        ]
    }
}
