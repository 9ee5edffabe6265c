import KubernetesModel

/// What holds for the objects of one kind beyond what the schema says.
///
/// All are called on objects with defaults, before validation.
protocol KindRules: Sendable {
    /// Completes an object that is about to be made.
    static func admitCreation(_ object: inout JSON, in service: APIService) throws -> Admitted
    /// Completes an object that is about to replace `old`.
    static func admitUpdate(_ object: inout JSON, from old: JSON, in service: APIService) throws -> Admitted
}

/// What a kind's rules hold for the object until it is stored.
struct Admitted {
    var reservation: AddressReservation?
}

extension KindRules {
    static func admitCreation(_ object: inout JSON, in service: APIService) throws -> Admitted { Admitted() }
    static func admitUpdate(_ object: inout JSON, from old: JSON, in service: APIService) throws -> Admitted {
        Admitted()
    }
}

extension APIService {
    private static let kindRules: [Resource: any KindRules.Type] = [
        .namespaces: NamespaceRules.self,
        .pods: PodRules.self,
        .services: ServiceRules.self,
        .secrets: SecretRules.self,
        .jobs: JobRules.self,
        .customResourceDefinitions: CustomResourceRules.self,
    ]

    /// Default → rules of the kind → validate.
    func admitCreation(
        _ object: inout JSON,
        _ definition: ResourceDefinition,
        _ context: RequestContext
    ) throws -> Admitted {
        let resource = definition.resource
        object = definition.withDefaults(object)
        let admitted = try Self.kindRules[resource]?.admitCreation(&object, in: self) ?? Admitted()
        try releasing(admitted) {
            let errors = definition.validate(object)
            guard errors.isEmpty else { throw StatusError.invalid(resource, AnyObjectView(object).name, errors) }
        }
        return admitted
    }

    func admitUpdate(_ object: inout JSON, from old: JSON, _ modification: Modification) throws -> Admitted {
        let (definition, resource) = (modification.definition, modification.definition.resource)
        guard modification.subresource == nil else {
            let errors = definition.validate(object)
            guard errors.isEmpty else { throw StatusError.invalid(resource, modification.name, errors) }
            return Admitted()
        }
        object = definition.withDefaults(object)
        let admitted = try Self.kindRules[resource]?.admitUpdate(&object, from: old, in: self) ?? Admitted()
        try releasing(admitted) {
            let errors =
                definition.validate(object) + definition.validateUpdate(object, from: old)
                + finalizerErrors(object, from: old)
            guard errors.isEmpty else { throw StatusError.invalid(resource, modification.name, errors) }
        }
        return admitted
    }

    // MARK: - Private

    private func releasing(_ admitted: Admitted, _ check: () throws -> Void) throws {
        do {
            try check()
        } catch {
            admitted.reservation?.release()
            throw error
        }
    }

    /// An object that is going may lose finalizers but not gain any.
    private func finalizerErrors(_ object: JSON, from old: JSON) -> [FieldError] {
        let (new, old) = (AnyObjectView(object), AnyObjectView(old))
        guard old.isBeingDeleted else { return [] }
        let added = Set(new.finalizers).subtracting(old.finalizers)
        guard !added.isEmpty else { return [] }
        return [
            .forbidden(
                "metadata.finalizers",
                "no new finalizers can be added if the object is being deleted, found new finalizers \(added.sorted())"
            )
        ]
    }
}
