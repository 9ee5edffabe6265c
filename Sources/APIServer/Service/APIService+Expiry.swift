import KubernetesClient
import KubernetesModel

extension APIService {
    /// How long events are kept after they happened last, in seconds.
    static let eventLifetime: Int64 = 3600

    /// Removes events that are older than their lifetime.
    func expireEvents() async throws {
        let limit = now().seconds - Self.eventLifetime
        for definition in catalog.definitions where definition.resource.kind == "Event" && definition.isStored {
            for stored in try store.objects(definition.resource.qualifiedName).objects {
                guard let happened = try Self.lastOccurrence(stored.json()), happened.seconds < limit else { continue }
                do {
                    let last = try stored.json()
                    _ = try await store.commit(.delete(stored, last: last))
                } catch StoreError.modified {
                    continue  // It happened again meanwhile.
                }
            }
        }
    }

    private static func lastOccurrence(_ event: JSON) -> Timestamp? {
        let candidates = [
            event["series", "lastObservedTime"], event["lastTimestamp"], event["eventTime"],
            event["metadata", "creationTimestamp"],
        ]
        return candidates.lazy.compactMap { $0?.string.flatMap { Timestamp($0) } }.first
    }
}
