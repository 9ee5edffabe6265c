/// Reads a load test from YAML.
///
/// ```yaml
/// target: http://127.0.0.1:8080
/// phases:
///   - {rate: 200, duration: 20s}                      # constant
///   - {rate: 200, to: 1000, duration: 10s}            # a ramp
///   - {rate: 1000, to: 4000, steps: 4, duration: 5s}  # four steps of 5 s each
/// classes:
///   - {name: shop, share: 3, path: /buy, method: POST, body: '{"item": 1}', deadline: 250ms}
///   - {name: search, share: 1, path: '/search?q={1..100}', connections: 50}
///   - {name: login, rate: 5, path: /login, new-connections: true}
/// slo: p99<100ms, shop:errors<0.1%
/// ```
package enum LoadScript {
    private static let fields: Set<String> = [
        "target", "model", "arrivals", "phases", "duration", "classes", "slo", "stop-on-miss", "timeout", "threads",
        "warmup",
        "insecure", "authorities",
    ]

    /// - Parameters:
    ///   - file: the name in complaints.
    ///   - target: in place of the one that the script names.
    package static func parse(_ text: String, file: String, target: String? = nil) throws -> LoadPlan {
        let script = try ScriptNode(file: file, text: text)
        let fields = try script.fields(fields)
        guard let url = try target ?? fields["target"]?.text() else {
            throw script.error("names no target; write 'target: http://host:port'")
        }
        let place = try fields["target"]?.value(LoadTarget.init) ?? LoadTarget(url)
        let resolved = target == nil ? place : try LoadTarget(url)
        var plan = LoadPlan(target: resolved, phases: [], classes: [])
        try readOptions(fields, into: &plan)
        plan.phases = try readPhases(fields, model: plan.model, script)
        plan.classes = try readClasses(fields["classes"], target: resolved)
        try check(plan, script)
        return plan
    }

    private static func readOptions(_ fields: [String: ScriptNode], into plan: inout LoadPlan) throws {
        plan.model = try fields["model"].map { try choice($0, LoadPlan.Model.self, "open or closed") } ?? .open
        plan.spacing =
            try fields["arrivals"].map { try choice($0, LoadPlan.Spacing.self, "constant or poisson") } ?? .constant
        plan.objectives = try fields["slo"]?.value(Objective.list) ?? []
        plan.stopsOnMiss = try fields["stop-on-miss"]?.flag() ?? false
        plan.timeout = try fields["timeout"]?.value(positiveDuration) ?? plan.timeout
        plan.warmup = try fields["warmup"]?.value(Quantities.wholeSeconds) ?? 0
        plan.trust = try readTrust(fields)
        plan.threads = try fields["threads"]?.count(1...LoadPlan.maximumThreads) ?? 1
    }

    private static func readTrust(_ fields: [String: ScriptNode]) throws -> LoadTrust {
        guard let file = fields["authorities"] else {
            return try fields["insecure"]?.flag() == true ? .anyone : .system
        }
        if let insecure = fields["insecure"] { throw insecure.error("does not go together with authorities") }
        return .authorities(file: try file.text())
    }

    private static func choice<Value: RawRepresentable<String>>(
        _ node: ScriptNode,
        _ type: Value.Type,
        _ names: String
    ) throws -> Value {
        guard let value = Value(rawValue: try node.text()) else { throw node.error("must be \(names)") }
        return value
    }

    private static func positiveDuration(_ text: String) throws -> Int {
        let duration = try Quantities.duration(text)
        guard duration > 0 else { throw LoadError("must be longer than zero") }
        return duration
    }

    // MARK: - Phases

    private static func readPhases(
        _ fields: [String: ScriptNode],
        model: LoadPlan.Model,
        _ script: ScriptNode
    ) throws -> [LoadPhase] {
        if model == .closed {
            guard let duration = fields["duration"] else { throw script.error("a closed test needs a 'duration'") }
            if let phases = fields["phases"] { throw phases.error("a closed test has no phases, only a duration") }
            return [LoadPhase(from: Rate(thousandths: 0), duration: try duration.value(positiveDuration))]
        }
        if let duration = fields["duration"] {
            throw duration.error("an open test has a duration in each of its phases")
        }
        guard let phases = fields["phases"] else { throw script.error("an open test needs 'phases'") }
        return try phases.items(atMost: 1000).flatMap(readPhase)
    }

    private static func readPhase(_ node: ScriptNode) throws -> [LoadPhase] {
        let fields = try node.fields(["name", "rate", "to", "steps", "duration"])
        guard let rate = fields["rate"] else { throw node.error("needs a 'rate'") }
        guard let length = fields["duration"] else { throw node.error("needs a 'duration'") }
        let start = try rate.value(Quantities.rate)
        let end = try fields["to"]?.value(Quantities.rate) ?? start
        let duration = try length.value(positiveDuration)
        let name = try fields["name"]?.text() ?? ""
        guard let steps = fields["steps"] else {
            return [LoadPhase(name: name, from: start, to: end, duration: duration)]
        }
        guard fields["to"] != nil else { throw steps.error("needs a 'to', the rate of the last step") }
        let count = try steps.count(2...100)
        return (0..<count).map { step in
            let rise = (end.thousandths - start.thousandths) * step / (count - 1)
            return LoadPhase(name: name, from: Rate(thousandths: start.thousandths + rise), duration: duration)
        }
    }

    // MARK: - Classes

    private static func readClasses(_ node: ScriptNode?, target: LoadTarget) throws -> [TrafficClass] {
        guard let node else { return [TrafficClass(name: "all", paths: [target.path])] }
        var names: Set<String> = []
        return try node.items(atMost: LoadPlan.maximumClasses).map { item in
            let description = try readClass(item, target: target)
            guard names.insert(description.name).inserted else {
                throw item.error("another class has the name '\(description.name)' already")
            }
            return description
        }
    }

    private static func readClass(_ node: ScriptNode, target: LoadTarget) throws -> TrafficClass {
        let fields = try node.fields([
            "name", "share", "rate", "method", "path", "paths", "headers", "body", "deadline", "new-connections",
            "connections",
        ])
        guard let name = fields["name"] else { throw node.error("needs a 'name'") }
        var result = TrafficClass(name: try name.value(className), paths: try readPaths(fields, target: target))
        result.share = try fields["share"]?.count(1...1_000_000) ?? 1
        result.rate = try fields["rate"]?.value(Quantities.rate)
        if let share = fields["share"], result.rate != nil {
            throw share.error("a class has a share or a rate, not both")
        }
        result.method = try fields["method"]?.value(RequestSyntax.method) ?? "GET"
        result.headers =
            try fields["headers"]?.pairs().map { name, value in
                try value.value { try RequestSyntax.header(name, $0) }
            } ?? []
        result.body = try fields["body"].map { Array(try $0.text().utf8) } ?? []
        result.deadline = try fields["deadline"]?.value(positiveDuration)
        result.opensNewConnections = try fields["new-connections"]?.flag() ?? false
        result.connections = try fields["connections"]?.count(1...100_000) ?? 256
        return result
    }

    private static func className(_ text: String) throws -> String {
        guard text.wholeMatch(of: /[A-Za-z0-9_][A-Za-z0-9_ .\/-]{0,62}/) != nil else {
            throw LoadError("must be of letters, digits, spaces, '_', '.', '/' and '-', at most 63")
        }
        return text
    }

    private static func readPaths(_ fields: [String: ScriptNode], target: LoadTarget) throws -> [String] {
        if let path = fields["path"] {
            if let paths = fields["paths"] { throw paths.error("a class has a path or paths, not both") }
            return try path.value(RequestSyntax.paths)
        }
        guard let list = fields["paths"] else { return [target.path] }
        let paths = try list.items(atMost: TrafficClass.maximumPaths).flatMap { try $0.value(RequestSyntax.paths) }
        guard paths.count <= TrafficClass.maximumPaths else {
            throw list.error("makes \(paths.count) paths; at most \(TrafficClass.maximumPaths) are allowed")
        }
        return paths
    }

    // MARK: - The whole

    private static func check(_ plan: LoadPlan, _ script: ScriptNode) throws {
        for objective in plan.objectives {
            guard let name = objective.className, !plan.classes.contains(where: { $0.name == name }) else { continue }
            throw script.error("slo: there is no class '\(name)' in the objective '\(objective.text)'")
        }
        if plan.stopsOnMiss, plan.objectives.isEmpty { throw script.error("stop-on-miss needs an 'slo'") }
        guard plan.warmup * 1_000_000_000 < plan.duration else {
            throw script.error("the warm-up takes the whole test")
        }
        guard plan.duration <= 7 * 86_400_000_000_000 else { throw script.error("the phases last longer than a week") }
    }
}
