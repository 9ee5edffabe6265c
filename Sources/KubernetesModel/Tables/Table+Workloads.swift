extension TablePrinter {
    static let workloadPrinters: [String: TablePrinter] = [
        "deployments.apps": deployments, "replicasets.apps": replicaSets, "statefulsets.apps": statefulSets,
        "daemonsets.apps": daemonSets, "jobs.batch": jobs, "cronjobs.batch": cronJobs,
        "horizontalpodautoscalers.autoscaling": autoscalers, "poddisruptionbudgets.policy": budgets,
        "controllerrevisions.apps": revisions,
    ]

    private static let templateColumns: [Column] = [.wide("Containers"), .wide("Images"), .wide("Selector")]

    private static func templateCells(_ object: JSON) -> [JSON] {
        Cell.containers(object["spec", "template", "spec"]) + [Cell.selector(object["spec", "selector"])]
    }

    private static let deployments = TablePrinter(
        columns: [.name, Column("Ready"), .integer("Up-to-date"), .integer("Available"), .age] + templateColumns
    ) { object, now in
        [
            Cell.name(object), readyOfDesired(object), Cell.count(object, "status", "updatedReplicas"),
            Cell.count(object, "status", "availableReplicas"), Cell.age(object, now),
        ] + templateCells(object)
    }

    private static func readyOfDesired(_ object: JSON) -> JSON {
        .string("\(object["status", "readyReplicas"]?.int ?? 0)/\(object["spec", "replicas"]?.int ?? 0)")
    }

    private static let replicaSets = TablePrinter(
        columns: [.name, .integer("Desired"), .integer("Current"), .integer("Ready"), .age] + templateColumns
    ) { object, now in
        [
            Cell.name(object), Cell.count(object, "spec", "replicas"), Cell.count(object, "status", "replicas"),
            Cell.count(object, "status", "readyReplicas"), Cell.age(object, now),
        ] + templateCells(object)
    }

    private static let statefulSets = TablePrinter(
        columns: [.name, Column("Ready"), .age, .wide("Containers"), .wide("Images")]
    ) { object, now in
        [Cell.name(object), readyOfDesired(object), Cell.age(object, now)]
            + Cell.containers(object["spec", "template", "spec"])
    }

    private static let daemonSets = TablePrinter(
        columns: [
            .name, .integer("Desired"), .integer("Current"), .integer("Ready"), .integer("Up-to-date"),
            .integer("Available"), Column("Node Selector"), .age,
        ] + templateColumns
    ) { object, now in
        [
            Cell.name(object), Cell.count(object, "status", "desiredNumberScheduled"),
            Cell.count(object, "status", "currentNumberScheduled"), Cell.count(object, "status", "numberReady"),
            Cell.count(object, "status", "updatedNumberScheduled"), Cell.count(object, "status", "numberAvailable"),
            Cell.selector(object["spec", "template", "spec"]?["nodeSelector"]), Cell.age(object, now),
        ] + templateCells(object)
    }

    // MARK: - Jobs

    private static let jobs = TablePrinter(
        columns: [.name, Column("Status"), Column("Completions"), Column("Duration"), .age] + templateColumns
    ) { object, now in
        [
            Cell.name(object), .string(jobStatus(object)), .string(jobCompletions(object)),
            .string(jobDuration(object, now)), Cell.age(object, now),
        ] + templateCells(object)
    }

    private static func jobStatus(_ job: JSON) -> String {
        func holds(_ condition: String) -> Bool {
            PodSummary.condition(condition, of: job)?["status"]?.string == "True"
        }
        if holds("Complete") { return "Complete" }
        if holds("Failed") { return "Failed" }
        if job["metadata", "deletionTimestamp"] != nil { return "Terminating" }
        return ["Suspended", "FailureTarget", "SuccessCriteriaMet"].first(where: holds) ?? "Running"
    }

    private static func jobCompletions(_ job: JSON) -> String {
        let succeeded = job["status", "succeeded"]?.int ?? 0
        if let completions = job["spec", "completions"]?.int { return "\(succeeded)/\(completions)" }
        let parallelism = job["spec", "parallelism"]?.int ?? 0
        return parallelism > 1 ? "\(succeeded)/1 of \(parallelism)" : "\(succeeded)/1"
    }

    private static func jobDuration(_ job: JSON, _ now: Int64) -> String {
        guard let start = job["status", "startTime"]?.string.flatMap(Timestamp.init) else { return "" }
        let end = job["status", "completionTime"]?.string.flatMap(Timestamp.init)?.seconds
        return HumanDuration.text(seconds: (end ?? now) - start.seconds)
    }

    private static let cronJobs = TablePrinter(
        columns: [
            .name, Column("Schedule"), Column("Timezone"), Column("Suspend"), .integer("Active"),
            Column("Last Schedule"), .age,
        ] + templateColumns
    ) { object, now in
        let last = object["status", "lastScheduleTime"]?.string
        return [
            Cell.name(object), Cell.text(object, "spec", "schedule"), Cell.text(object, "spec", "timeZone"),
            .string(object["spec", "suspend"]?.bool == true ? "True" : "False"),
            JSON(object["status", "active"]?.array?.count ?? 0),
            .string(last.map { Cell.age(since: $0, now) } ?? "<none>"), Cell.age(object, now),
        ] + Cell.containers(object["spec", "jobTemplate", "spec", "template", "spec"])
            + [Cell.selector(object["spec", "jobTemplate", "spec", "selector"])]
    }

    // MARK: - Autoscaling and budgets

    private static let autoscalers = TablePrinter(
        columns: [
            .name, Column("Reference"), Column("Targets"), Column("MinPods"), Column("MaxPods"), .integer("Replicas"),
            .age,
        ]
    ) { object, now in
        let isFirstVersion = object["apiVersion"]?.string == "autoscaling/v1"
        let object = isFirstVersion ? VersionConversion.autoscalerV1.stored(object) : object
        let target = object["spec", "scaleTargetRef"] ?? [:]
        let least = object["spec", "minReplicas"]?.int
        return [
            Cell.name(object), .string("\(target["kind"]?.string ?? "")/\(target["name"]?.string ?? "")"),
            metricTargets(object), .string(least.map { "\($0)" } ?? "<unset>"),
            .string("\(object["spec", "maxReplicas"]?.int ?? 0)"), Cell.count(object, "status", "currentReplicas"),
            Cell.age(object, now),
        ]
    }

    private static func metricTargets(_ object: JSON) -> JSON {
        let metrics = object["spec", "metrics"]?.array ?? []
        let current = object["status", "currentMetrics"]?.array ?? []
        guard !metrics.isEmpty else { return "<none>" }
        let shown = metrics.prefix(2).enumerated().map { index, metric in
            metricTarget(metric, current.indices.contains(index) ? current[index] : nil)
        }
        let more = metrics.count > 2 ? " + \(metrics.count - 2) more..." : ""
        return .string(shown.joined(separator: ", ") + more)
    }

    private static func metricTarget(_ metric: JSON, _ current: JSON?) -> String {
        let type = metric["type"]?.string ?? ""
        let field = type.prefix(1).lowercased() + type.dropFirst()
        let source = metric[field] ?? [:]
        let name = source["name"]?.string ?? source["metric", "name"]?.string ?? ""
        let now = current?[field]?["current"]
        func value(_ amounts: JSON?) -> String? {
            if let utilization = amounts?["averageUtilization"]?.int { return "\(utilization)%" }
            return amounts?["averageValue"]?.string ?? amounts?["value"]?.string
        }
        let prefix = type == "Resource" || type == "ContainerResource" ? "\(name): " : ""
        return "\(prefix)\(value(now) ?? "<unknown>")/\(value(source["target"]) ?? "<auto>")"
    }

    private static let budgets = TablePrinter(
        columns: [
            .name, Column("Min Available"), Column("Max Unavailable"), .integer("Allowed Disruptions"), .age,
        ]
    ) { object, now in
        func amount(_ field: String) -> JSON {
            .string(object["spec", field].map { $0.string ?? $0.encodedString } ?? "N/A")
        }
        return [
            Cell.name(object), amount("minAvailable"), amount("maxUnavailable"),
            Cell.count(object, "status", "disruptionsAllowed"), Cell.age(object, now),
        ]
    }

    private static let revisions = TablePrinter(
        columns: [.name, Column("Controller"), .integer("Revision"), .age]
    ) { object, now in
        let owner = AnyObjectView(object).controllerReference
        let controller = owner.map { "\($0.json["kind"]?.string?.lowercased() ?? "")/\($0.name)" } ?? "<none>"
        return [Cell.name(object), .string(controller), Cell.count(object, "revision"), Cell.age(object, now)]
    }
}
