/// Compiles the listeners of one table after the other, keeping what stays the same: the numbers by which connections remember their
/// listener, and contexts of certificates that did not change.
struct ListenerRegistry {
    private var current = CompiledListeners.none
    private var numbers: [String: UInt32] = [:]
    private var nextNumber: UInt32 = 1
    private var contexts: [ContextKey: TLSContext] = [:]
    /// Of the listeners compiled last: certificates that cannot be used.
    private(set) var problems: [String] = []

    private struct ContextKey: Hashable {
        var certificates: [RouteTable.Certificate]
        var minimumVersion: RouteTable.TLS.Version
    }

    mutating func compile(_ listeners: [RouteTable.Listener]) -> CompiledListeners {
        guard listeners != current.source else { return current }
        problems = []
        let known = contexts
        contexts = [:]
        let names = Set(listeners.map(\.name))
        numbers = numbers.filter { names.contains($0.key) }
        current = CompiledListeners(
            listeners,
            number: { number(of: $0) },
            contexts: { tls in
                Self.groups(tls.certificates).compactMap { context(for: $0, tls.minimumVersion, known) }
            }
        )
        return current
    }

    // MARK: - Private

    private mutating func number(of name: String) -> UInt32 {
        if let number = numbers[name] { return number }
        numbers[name] = nextNumber
        nextNumber += 1
        return nextNumber - 1
    }

    private mutating func context(
        for certificates: [RouteTable.Certificate],
        _ minimumVersion: RouteTable.TLS.Version,
        _ known: [ContextKey: TLSContext]
    ) -> TLSContext? {
        let key = ContextKey(certificates: certificates, minimumVersion: minimumVersion)
        if let context = contexts[key] ?? known[key] {
            contexts[key] = context
            return context
        }
        do {
            let context = try TLSContext(certificates, minimumVersion: minimumVersion)
            contexts[key] = context
            return context
        } catch {
            problems.append("\(error)")
            return nil
        }
    }

    /// Certificates for the same names with other kinds of keys share a context, where OpenSSL chooses by what the client can verify.
    private static func groups(_ certificates: [RouteTable.Certificate]) -> [[RouteTable.Certificate]] {
        var groups: [[RouteTable.Certificate]] = []
        for certificate in certificates {
            let match = groups.firstIndex { group in group.allSatisfy { TLSContext.complement($0, certificate) } }
            if let match { groups[match].append(certificate) } else { groups.append([certificate]) }
        }
        return groups
    }
}
