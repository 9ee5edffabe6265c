extension TablePrinter {
    static let clusterPrinters: [String: TablePrinter] = [
        "namespaces": namespaces, "nodes": nodes, "configmaps": configMaps, "secrets": secrets,
        "serviceaccounts": serviceAccounts, "events": events, "events.events.k8s.io": events,
        "leases.coordination.k8s.io": leases,
        "persistentvolumeclaims": claims, "persistentvolumes": volumes,
        "rolebindings.rbac.authorization.k8s.io": bindings,
        "clusterrolebindings.rbac.authorization.k8s.io": bindings,
        "priorityclasses.scheduling.k8s.io": priorityClasses, "storageclasses.storage.k8s.io": storageClasses,
    ]

    private static let namespaces = TablePrinter(columns: [.name, Column("Status"), .age]) { object, now in
        [Cell.name(object), Cell.text(object, "status", "phase", or: "Active"), Cell.age(object, now)]
    }

    // MARK: - Nodes

    private static let nodes = TablePrinter(
        columns: [
            .name, Column("Status"), Column("Roles"), .age, Column("Version"), .wide("Internal-IP"),
            .wide("External-IP"), .wide("OS-Image"), .wide("Kernel-Version"), .wide("Container-Runtime"),
        ]
    ) { object, now in
        [
            Cell.name(object), .string(nodeStatus(object)), Cell.joined(nodeRoles(object)), Cell.age(object, now),
            Cell.text(object, "status", "nodeInfo", "kubeletVersion", or: ""), nodeAddress(object, "InternalIP"),
            nodeAddress(object, "ExternalIP"),
            Cell.text(object, "status", "nodeInfo", "osImage", or: "<unknown>"),
            Cell.text(object, "status", "nodeInfo", "kernelVersion", or: "<unknown>"),
            Cell.text(object, "status", "nodeInfo", "containerRuntimeVersion", or: "<unknown>"),
        ]
    }

    private static func nodeStatus(_ node: JSON) -> String {
        let ready: String
        switch PodSummary.condition("Ready", of: node)?["status"]?.string {
        case "True"?: ready = "Ready"
        case nil: ready = "Unknown"
        default: ready = "NotReady"
        }
        return node["spec", "unschedulable"]?.bool == true ? "\(ready),SchedulingDisabled" : ready
    }

    private static func nodeRoles(_ node: JSON) -> [String] {
        let prefix = "node-role.kubernetes.io/"
        return AnyObjectView(node).labels.compactMap { label, value in
            if label.hasPrefix(prefix) { return String(label.dropFirst(prefix.count)) }
            return label == "kubernetes.io/role" && !value.isEmpty ? value : nil
        }.sorted()
    }

    private static func nodeAddress(_ node: JSON, _ type: String) -> JSON {
        let addresses = node["status", "addresses"]?.array ?? []
        return addresses.first { $0["type"]?.string == type }?["address"] ?? "<none>"
    }

    // MARK: - Configuration

    private static let configMaps = TablePrinter(columns: [.name, .integer("Data"), .age]) { object, now in
        let count = (object["data"]?.object?.count ?? 0) + (object["binaryData"]?.object?.count ?? 0)
        return [Cell.name(object), JSON(count), Cell.age(object, now)]
    }

    private static let secrets = TablePrinter(columns: [.name, Column("Type"), .integer("Data"), .age]) { object, now in
        [
            Cell.name(object), Cell.text(object, "type", or: ""), JSON(object["data"]?.object?.count ?? 0),
            Cell.age(object, now),
        ]
    }

    private static let serviceAccounts = TablePrinter(columns: [.name, .integer("Secrets"), .age]) { object, now in
        [Cell.name(object), JSON(object["secrets"]?.array?.count ?? 0), Cell.age(object, now)]
    }

    private static let leases = TablePrinter(columns: [.name, Column("Holder"), .age]) { object, now in
        [Cell.name(object), Cell.text(object, "spec", "holderIdentity", or: ""), Cell.age(object, now)]
    }

    private static let bindings = TablePrinter(
        columns: [.name, Column("Role"), .age, .wide("Users"), .wide("Groups"), .wide("ServiceAccounts")]
    ) { object, now in
        let role = "\(object["roleRef", "kind"]?.string ?? "")/\(object["roleRef", "name"]?.string ?? "")"
        let subjects = object["subjects"]?.array ?? []
        func names(_ kind: String) -> JSON {
            let chosen = subjects.filter { $0["kind"]?.string == kind }
            return .string(
                chosen.map { subject in
                    let namespace = subject["namespace"]?.string.map { "\($0)/" } ?? ""
                    return namespace + (subject["name"]?.string ?? "")
                }.joined(separator: ", ")
            )
        }
        return [
            Cell.name(object), .string(role), Cell.age(object, now), names("User"), names("Group"),
            names("ServiceAccount"),
        ]
    }

    private static let priorityClasses = TablePrinter(
        columns: [
            .name, .integer("Value"), Column("Global-Default", type: "boolean"), .age, Column("PreemptionPolicy"),
        ]
    ) { object, now in
        [
            Cell.name(object), Cell.count(object, "value"), object["globalDefault"] ?? false, Cell.age(object, now),
            Cell.text(object, "preemptionPolicy", or: ""),
        ]
    }

    // MARK: - Events

    private static let events = TablePrinter(
        columns: [
            Column("Last Seen"), Column("Type"), Column("Reason"), Column("Object"), .wide("Subobject"),
            .wide("Source"), Column("Message"), .wide("First Seen"), Column("Count", type: "integer", priority: 1),
            Column("Name", format: "name", priority: 1),
        ]
    ) { event, now in
        let object = event["involvedObject"] ?? event["regarding"] ?? [:]
        let kind = object["kind"]?.string?.lowercased() ?? ""
        return [
            .string(Cell.age(since: lastSeen(event), now)), Cell.text(event, "type", or: ""),
            Cell.text(event, "reason", or: ""), .string("\(kind)/\(object["name"]?.string ?? "")"),
            .string(object["fieldPath"]?.string ?? ""), .string(eventSource(event)),
            .string((event["message"]?.string ?? event["note"]?.string ?? "").trimmingNewlines),
            .string(Cell.age(since: event["firstTimestamp"]?.string ?? event["eventTime"]?.string, now)),
            event["series", "count"] ?? event["count"] ?? 1, Cell.name(event),
        ]
    }

    private static func lastSeen(_ event: JSON) -> String? {
        event["series", "lastObservedTime"]?.string ?? event["lastTimestamp"]?.string ?? event["eventTime"]?.string
    }

    private static func eventSource(_ event: JSON) -> String {
        let component = event["source", "component"]?.string ?? event["reportingComponent"]?.string ?? ""
        let host = event["source", "host"]?.string ?? event["reportingInstance"]?.string ?? ""
        return [component, host].filter { !$0.isEmpty }.joined(separator: ", ")
    }

    // MARK: - Storage

    private static let claims = TablePrinter(
        columns: [
            .name, Column("Status"), Column("Volume"), Column("Capacity"), Column("Access Modes"),
            Column("StorageClass"), Column("VolumeAttributesClass"), .age, .wide("VolumeMode"),
        ]
    ) { object, now in
        let isBound = !(object["spec", "volumeName"]?.string ?? "").isEmpty
        let isLeaving = object["metadata", "deletionTimestamp"] != nil
        return [
            Cell.name(object), isLeaving ? "Terminating" : Cell.text(object, "status", "phase", or: ""),
            Cell.text(object, "spec", "volumeName", or: ""),
            isBound ? Cell.text(object, "status", "capacity", "storage", or: "") : "",
            isBound ? accessModes(object["status", "accessModes"]) : "",
            Cell.text(object, "spec", "storageClassName", or: ""),
            Cell.text(object, "spec", "volumeAttributesClassName", or: "<unset>"), Cell.age(object, now),
            Cell.text(object, "spec", "volumeMode", or: "<unset>"),
        ]
    }

    private static let volumes = TablePrinter(
        columns: [
            .name, Column("Capacity"), Column("Access Modes"), Column("Reclaim Policy"), Column("Status"),
            Column("Claim"), Column("StorageClass"), Column("VolumeAttributesClass"), Column("Reason"), .age,
            .wide("VolumeMode"),
        ]
    ) { object, now in
        let claim = object["spec", "claimRef"]
        let claimName = claim.map { "\($0["namespace"]?.string ?? "")/\($0["name"]?.string ?? "")" }
        let isLeaving = object["metadata", "deletionTimestamp"] != nil
        return [
            Cell.name(object), Cell.text(object, "spec", "capacity", "storage", or: ""),
            accessModes(object["spec", "accessModes"]),
            Cell.text(object, "spec", "persistentVolumeReclaimPolicy", or: ""),
            isLeaving ? "Terminating" : Cell.text(object, "status", "phase", or: ""), .string(claimName ?? ""),
            Cell.text(object, "spec", "storageClassName", or: ""),
            Cell.text(object, "spec", "volumeAttributesClassName", or: "<unset>"),
            Cell.text(object, "status", "reason", or: ""), Cell.age(object, now),
            Cell.text(object, "spec", "volumeMode", or: "<unset>"),
        ]
    }

    private static func accessModes(_ modes: JSON?) -> JSON {
        let short = [
            "ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP",
        ]
        return Cell.joined((modes?.array ?? []).compactMap { $0.string.flatMap { short[$0] } }, or: "")
    }

    private static let storageClasses = TablePrinter(
        columns: [
            .name, Column("Provisioner"), Column("ReclaimPolicy"), Column("VolumeBindingMode"),
            Column("AllowVolumeExpansion"), .age,
        ]
    ) { object, now in
        let annotation = AnyObjectView(object).json["metadata", "annotations"]?[
            "storageclass.kubernetes.io/is-default-class"
        ]
        let mark = annotation?.string == "true" ? " (default)" : ""
        return [
            .string("\(object["metadata", "name"]?.string ?? "")\(mark)"), Cell.text(object, "provisioner", or: ""),
            Cell.text(object, "reclaimPolicy", or: ""), Cell.text(object, "volumeBindingMode", or: ""),
            .string(object["allowVolumeExpansion"]?.bool == true ? "true" : "false"), Cell.age(object, now),
        ]
    }
}

extension String {
    fileprivate var trimmingNewlines: String {
        var rest = self[...]
        while rest.last?.isNewline == true { rest.removeLast() }
        return String(rest)
    }
}
