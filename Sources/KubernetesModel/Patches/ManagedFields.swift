/// `metadata.managedFields`: who owns which places of an object.
struct ManagedFields {
    struct Entry: Hashable {
        enum Operation: String { case apply = "Apply", update = "Update" }

        var manager: String
        var operation: Operation
        var apiVersion: String
        var subresource: String
        var time: String
        var fields: FieldSet

        func isSameManager(as other: Entry) -> Bool {
            manager == other.manager && operation == other.operation && subresource == other.subresource
                && apiVersion == other.apiVersion
        }
    }

    var entries: [Entry]

    init(of object: JSON?) {
        entries = (object?["metadata", "managedFields"]?.array ?? []).compactMap(Entry.init)
    }

    /// `object` with these entries; those that own nothing are left out.
    func written(to object: JSON) -> JSON {
        var object = object
        let owning = entries.filter { !$0.fields.isEmpty }
        object["metadata", "managedFields"] = owning.isEmpty ? nil : .array(owning.map(\.json))
        return object
    }

    mutating func removeFields(_ fields: FieldSet, except kept: Entry) {
        for place in entries.indices where !entries[place].isSameManager(as: kept) {
            entries[place].fields = entries[place].fields.subtracting(fields)
        }
    }

    /// Forgets places that the object no longer has.
    mutating func keepOnly(_ present: FieldSet) {
        for place in entries.indices { entries[place].fields = entries[place].fields.keeping(present) }
    }

    /// Puts `entry` in place of the one of the same manager; the time of an unchanged entry stays.
    mutating func set(_ entry: Entry) {
        guard let place = entries.firstIndex(where: entry.isSameManager) else {
            entries.append(entry)
            return
        }
        guard entries[place].fields != entry.fields else { return }
        entries[place] = entry
    }
}

extension ManagedFields.Entry {
    init?(_ json: JSON) {
        guard let manager = json["manager"]?.string,
            let operation = Operation(rawValue: json["operation"]?.string ?? "")
        else { return nil }
        self.init(
            manager: manager,
            operation: operation,
            apiVersion: json["apiVersion"]?.string ?? "",
            subresource: json["subresource"]?.string ?? "",
            time: json["time"]?.string ?? "",
            fields: FieldSet(fieldsV1: json["fieldsV1"] ?? [:])
        )
    }

    var json: JSON {
        var json: JSON = [
            "manager": .string(manager), "operation": .string(operation.rawValue), "apiVersion": .string(apiVersion),
            "time": .string(time), "fieldsType": "FieldsV1", "fieldsV1": fields.fieldsV1,
        ]
        if !subresource.isEmpty { json["subresource"] = .string(subresource) }
        return json
    }
}

extension FieldSet {
    /// Only the places that `present` has, as members or on the way to members.
    fileprivate func keeping(_ present: FieldSet) -> FieldSet {
        var result = FieldSet()
        result.members = members.filter { present.members.contains($0) || present.children[$0] != nil }
        for (element, set) in children {
            guard let below = present.children[element] else { continue }
            result.setChild(element, set.keeping(below))
        }
        return result
    }
}
