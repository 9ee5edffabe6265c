/// What a row of a table carries of its object (`includeObject` of `meta.k8s.io/v1`).
package enum IncludeObject: String, Hashable, Sendable {
    case none = "None"
    case metadata = "Metadata"
    case object = "Object"
}

extension ResourceDefinition {
    /// The `meta.k8s.io/v1` Table that `kubectl get` shows for `objects`.
    ///
    /// - Parameter now: Seconds since 1970, for ages.
    package func table(of objects: [JSON], now: Int64, includeObject: IncludeObject = .metadata) -> JSON {
        let printer = TablePrinter.printer(for: self)
        let rows = objects.map { object -> JSON in
            var row: JSON = ["cells": .array(printer.cells(object, now))]
            row["object"] = TablePrinter.included(object, includeObject)
            return row
        }
        return [
            "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": [:],
            "columnDefinitions": .array(printer.columns.map(\.json)), "rows": .array(rows),
        ]
    }
}

/// How the objects of a kind become rows.
struct TablePrinter: Sendable {
    struct Column: Sendable {
        var name: String
        var type = "string"
        var format = ""
        /// Above zero only `-o wide` shows the column.
        var priority = 0

        init(_ name: String, type: String = "string", format: String = "", priority: Int = 0) {
            self.name = name
            self.type = type
            self.format = format
            self.priority = priority
        }

        static let name = Column("Name", format: "name")
        static let age = Column("Age")

        static func integer(_ name: String) -> Column { Column(name, type: "integer") }
        static func wide(_ name: String) -> Column { Column(name, priority: 1) }

        var json: JSON {
            [
                "name": .string(name), "type": .string(type), "format": .string(format), "description": "",
                "priority": JSON(priority),
            ]
        }
    }

    let columns: [Column]
    /// One cell for each column.
    let cells: @Sendable (_ object: JSON, _ now: Int64) -> [JSON]

    static func printer(for definition: ResourceDefinition) -> TablePrinter {
        if !definition.isCustom, let printer = builtin[definition.resource.qualifiedName] { return printer }
        if !definition.printerColumns.isEmpty { return custom(definition.printerColumns) }
        return definition.isCustom ? custom([ageColumn]) : plain
    }

    static func included(_ object: JSON, _ include: IncludeObject) -> JSON? {
        switch include {
        case .none: nil
        case .object: object
        case .metadata:
            [
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"] ?? [:],
            ]
        }
    }

    /// By the qualified name of the resource.
    private static let builtin: [String: TablePrinter] = podPrinters.merging(workloadPrinters) { printer, _ in printer }
        .merging(networkPrinters) { printer, _ in printer }
        .merging(clusterPrinters) { printer, _ in printer }

    private static let ageColumn = PrinterColumn(name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp")

    /// For built-in kinds without columns of their own.
    private static let plain = TablePrinter(columns: [.name, Column("Created At")]) { object, _ in
        [Cell.name(object), .string(object["metadata", "creationTimestamp"]?.string ?? "")]
    }

    /// The columns that a CustomResourceDefinition asks for.
    private static func custom(_ columns: [PrinterColumn]) -> TablePrinter {
        TablePrinter(
            columns: [.name] + columns.map { Column($0.name, type: $0.type, priority: $0.priority) }
        ) { object, now in
            [Cell.name(object)] + columns.map { Cell.value($0, object, now) }
        }
    }
}

/// Single cells.
enum Cell {
    static func name(_ object: JSON) -> JSON { object["metadata", "name"] ?? "" }

    static func age(_ object: JSON, _ now: Int64) -> JSON {
        .string(age(since: object["metadata", "creationTimestamp"]?.string, now))
    }

    static func age(since text: String?, _ now: Int64) -> String {
        guard let time = text.flatMap(Timestamp.init) else { return "<unknown>" }
        return HumanDuration.text(seconds: now - time.seconds)
    }

    static func text(_ object: JSON, _ path: String..., or absent: String = "<none>") -> JSON {
        let text = object[path: path]?.string ?? ""
        return .string(text.isEmpty ? absent : text)
    }

    static func count(_ object: JSON, _ path: String...) -> JSON { object[path: path] ?? 0 }

    static func joined(_ texts: [String], or absent: String = "<none>") -> JSON {
        .string(texts.isEmpty ? absent : texts.joined(separator: ","))
    }

    /// A selector in object form, or plain labels.
    static func selector(_ selector: JSON?) -> JSON {
        guard let selector, let fields = selector.object, !fields.isEmpty else { return "<none>" }
        let isPlain = fields["matchLabels"] == nil && fields["matchExpressions"] == nil
        let labels = isPlain ? selector.stringMap : selector["matchLabels"]?.stringMap ?? [:]
        let equal = labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        let expressions = isPlain ? [] : (selector["matchExpressions"]?.array ?? []).map(expression)
        return joined(equal + expressions)
    }

    /// The names and images of the containers of a pod specification.
    static func containers(_ pod: JSON?) -> [JSON] {
        let containers = pod?["containers"]?.array ?? []
        return ["name", "image"].map { field in joined(containers.compactMap { $0[field]?.string }) }
    }

    private static func expression(_ expression: JSON) -> String {
        let key = expression["key"]?.string ?? ""
        let values = (expression["values"]?.array ?? []).compactMap(\.string).sorted().joined(separator: ",")
        switch expression["operator"]?.string {
        case "In": return "\(key) in (\(values))"
        case "NotIn": return "\(key) notin (\(values))"
        case "DoesNotExist": return "!\(key)"
        default: return key
        }
    }

    static func value(_ column: PrinterColumn, _ object: JSON, _ now: Int64) -> JSON {
        let found = JSONPath.values(at: column.jsonPath, in: object)
        guard let first = found.first else { return .null }
        switch column.type {
        case "date": return .string(age(since: first.string, now))
        case "integer", "number": return first
        case "boolean": return first.bool.map { JSON($0 ? "true" : "false") } ?? first
        default: return .string(found.map { $0.string ?? $0.encodedString }.joined(separator: ","))
        }
    }
}
