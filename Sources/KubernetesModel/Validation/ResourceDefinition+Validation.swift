extension ResourceDefinition {
    /// Everything that is wrong with `object` by itself; empty when it may be stored. Expects defaults to be set.
    package func validate(_ object: JSON) -> [FieldError] {
        var structural = StructuralValidation(requiresStatusFields: isCustom)
        structural.check(object, schema, "")
        guard structural.errors.isEmpty else { return structural.errors }
        return MetadataValidation.errors(in: object, of: resource) + SemanticValidation.errors(in: object, schema)
    }

    /// Everything that `new` may not change of `old`, the stored object; empty when the update may happen.
    package func validateUpdate(_ new: JSON, from old: JSON) -> [FieldError] {
        UpdateValidation.errors(in: new, from: old, of: resource)
    }
}
