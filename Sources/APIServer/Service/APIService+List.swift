import Foundation
import KubernetesClient
import KubernetesModel

/// A page of a collection.
struct ListResult: Sendable {
    var objects: [StoredObject]
    var revision: Int64
    /// Empty when this is the last page.
    var continueToken = ""
    var remainingItemCount: Int?
}

extension APIService {
    func list(
        _ definition: ResourceDefinition,
        namespace: String?,
        options: ListOptions,
        isExact: Bool = false
    ) throws -> ListResult {
        let resource = definition.resource
        let filter = try filter(resource, namespace: namespace, options: options)
        let token = try ContinueToken(decoding: options.continueToken)
        let past = try token?.revision ?? (isExact ? revision(options.resourceVersion) : nil)
        let all = try present(resource, namespace: filter.namespace, at: past)
        let selected = try all.objects.filter { object in
            if let token, !token.isBefore(object.key) { return false }
            return try filter.matches(object, object.json())
        }
        var page = page(selected, revision: all.revision, limit: options.limit)
        page.objects = try page.objects.map { try $0.served(as: definition) }
        return page
    }

    func filter(_ resource: Resource, namespace: String?, options: ListOptions) throws -> ObjectFilter {
        do {
            var filter = ObjectFilter(collection: resource.qualifiedName)
            filter.namespace = resource.isNamespaced ? namespace.flatMap { $0.isEmpty ? nil : $0 } : nil
            filter.labels = try LabelSelector(parsing: options.labelSelector)
            let fields = try FieldSelector(parsing: options.fieldSelector)
            filter.name = fields.requiredValue(at: "metadata.name")
            filter.fields = fields.isEmpty ? nil : fields
            return filter
        } catch {
            throw StatusError.badRequest(error.description)
        }
    }

    /// A resource version of a request; zero and nothing mean any.
    func revision(_ text: String) throws -> Int64? {
        guard !text.isEmpty, text != "0" else { return nil }
        guard let revision = Int64(text), revision > 0 else {
            throw StatusError.badRequest("invalid resource version \"\(text)\": expected a whole number")
        }
        return revision
    }

    // MARK: - Private

    private func present(
        _ resource: Resource,
        namespace: String?,
        at past: Int64?
    ) throws
        -> (objects: [StoredObject], revision: Int64)
    {
        do {
            return try store.objects(resource.qualifiedName, namespace: namespace, at: past)
        } catch {
            guard case .expired = error else { throw StatusError(error, resource, "") }
            throw StatusError.expired(
                "The provided continue parameter is too old to display a consistent list result. You can start a new "
                    + "list without the continue parameter."
            )
        }
    }

    private func page(_ objects: [StoredObject], revision: Int64, limit: Int?) -> ListResult {
        guard let limit, limit > 0, objects.count > limit else {
            return ListResult(objects: objects, revision: revision)
        }
        let last = objects[limit - 1].key
        return ListResult(
            objects: Array(objects.prefix(limit)),
            revision: revision,
            continueToken: ContinueToken(revision: revision, namespace: last.namespace, name: last.name).encoded,
            remainingItemCount: objects.count - limit
        )
    }
}

/// Where the next page of a list starts: after an object, in the collection as it was at a revision.
struct ContinueToken: Hashable {
    let revision: Int64
    let namespace: String
    let name: String

    init(revision: Int64, namespace: String, name: String) {
        self.revision = revision
        self.namespace = namespace
        self.name = name
    }

    /// `nil` for the empty text.
    init?(decoding text: String) throws {
        guard !text.isEmpty else { return nil }
        guard let data = Data(base64Encoded: text), let token = try? JSON(parsing: Array(data)),
            let revision = token["rv"]?.int, let namespace = token["namespace"]?.string,
            let name = token["name"]?.string
        else { throw StatusError.badRequest("continue key is not valid") }
        self.init(revision: Int64(revision), namespace: namespace, name: name)
    }

    var encoded: String {
        let token: JSON = ["rv": .integer(revision), "namespace": .string(namespace), "name": .string(name)]
        return Data(token.encoded()).base64EncodedString()
    }

    func isBefore(_ key: StoreKey) -> Bool { (namespace, name) < (key.namespace, key.name) }
}
