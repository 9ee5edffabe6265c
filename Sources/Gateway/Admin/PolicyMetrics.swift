import FlowControl

/// What the policies of the table in force have decided, in Prometheus' text format.
struct PolicyMetrics {
    private var text = ""

    static func write(_ policies: [PolicyState]) -> String {
        guard !policies.isEmpty else { return "" }
        var metrics = PolicyMetrics()
        metrics.writeDecisions(policies)
        metrics.writeBreakers(policies)
        metrics.writeShedding(policies)
        return metrics.text
    }

    // MARK: - Private

    private static let decisions: [(PolicyState.Count, String)] = [
        (.passed, "passed"), (.limited, "limited"), (.queued, "queued"), (.shed, "shed"),
        (.wouldRefuse, "would_refuse"), (.wouldQueue, "would_queue"),
    ]

    private mutating func writeDecisions(_ policies: [PolicyState]) {
        let name = "sampan_gateway_policy_requests_total"
        writeHeader(name, "counter", "Requests by policy and what it decided; would_… were let through by a dry run.")
        for policy in policies {
            for (count, decision) in Self.decisions {
                text += "\(name){\(Self.labels(policy)),decision=\"\(decision)\"} \(policy.value(of: count))\n"
            }
        }
    }

    private mutating func writeBreakers(_ policies: [PolicyState]) {
        let name = "sampan_gateway_policy_breaker_open"
        writeHeader(name, "gauge", "1 while the breaker is open, 0.5 while it probes or ramps, 0 while it is closed.")
        for policy in policies {
            guard case .circuitBreaker(let breaker) = policy.policy.kind else { continue }
            let value =
                switch CircuitBreakerState(breaker, words: policy.words).phase() {
                case .closed: "0"
                case .halfOpen, .ramping: "0.5"
                case .open: "1"
                }
            text += "\(name){\(Self.labels(policy))} \(value)\n"
        }
    }

    private mutating func writeShedding(_ policies: [PolicyState]) {
        writeHeader("sampan_gateway_policy_cap", "gauge", "Requests that load shedding lets be in flight.")
        for policy in policies {
            guard case .loadShedding(let shedding) = policy.policy.kind else { continue }
            let shedder = LoadShedder(shedding, words: policy.words)
            text += "sampan_gateway_policy_cap{\(Self.labels(policy))} \(shedder.cap)\n"
        }
    }

    private mutating func writeHeader(_ name: String, _ type: String, _ help: String) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
    }

    private static func labels(_ state: PolicyState) -> String {
        "policy=\"\(escaped(state.policy.name))\",kind=\"\(state.policy.kind.name)\""
    }

    /// As the text format has label values.
    private static func escaped(_ value: String) -> String {
        value.map { character in
            switch character {
            case "\\": "\\\\"
            case "\"": "\\\""
            case "\n": "\\n"
            default: String(character)
            }
        }.joined()
    }
}
