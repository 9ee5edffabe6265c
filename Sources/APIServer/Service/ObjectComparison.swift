import KubernetesModel

extension JSON {
    /// The value without the fields that are null: to Kubernetes those are absent.
    var withoutNulls: JSON {
        switch self {
        case .object(let fields):
            var kept = fields
            for (key, value) in fields.elements {
                switch value {
                case .null: kept[key] = nil
                case .object, .array: kept[key] = value.withoutNulls
                default: continue
                }
            }
            return .object(kept)
        case .array(let elements): return .array(elements.map(\.withoutNulls))
        default: return self
        }
    }

    /// Whether both say the same, in whatever order their fields are.
    func isEquivalent(to other: JSON) -> Bool {
        switch (self, other) {
        case (.object(let left), .object(let right)):
            left.count == right.count
                && left.elements.allSatisfy { field in
                    right[field.key].map { field.value.isEquivalent(to: $0) } ?? false
                }
        case (.array(let left), .array(let right)):
            left.count == right.count && zip(left, right).allSatisfy { $0.isEquivalent(to: $1) }
        case (.integer, .number), (.number, .integer): double == other.double
        default: self == other
        }
    }

    /// Whether a write of `new` over this object would change anything but the time of its managers' last writes.
    func isUnchanged(by new: JSON) -> Bool {
        withoutManagerTimes.isEquivalent(to: new.withoutManagerTimes)
    }

    /// Whether the two objects ask for different things: everything beside metadata and status.
    func specificationDiffers(from other: JSON) -> Bool {
        !withoutObservations.isEquivalent(to: other.withoutObservations)
    }

    private var withoutManagerTimes: JSON {
        guard let managers = self["metadata", "managedFields"]?.array else { return self }
        var copy = self
        copy["metadata", "managedFields"] = .array(
            managers.map { manager in
                var manager = manager
                manager["time"] = nil
                return manager
            }
        )
        return copy
    }

    private var withoutObservations: JSON {
        var copy = self
        copy["metadata"] = nil
        copy["status"] = nil
        return copy
    }
}
