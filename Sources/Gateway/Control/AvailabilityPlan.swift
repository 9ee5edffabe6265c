/// Decides which endpoints a table may use when pods come, go and are withdrawn. Pure: time is an argument, in milliseconds.
///
/// - A withdrawn endpoint gets no new requests, although the cluster may still name it.
/// - The last endpoints of a backend stay in use until others appear, for at most the grace time: a deployment deletes an old pod when
///   the new one is ready, which may be before that news has arrived here.
/// - While the cluster cannot be heard the grace time stands still: no news can come, and most often what is away also stops no pods.
/// - A withdrawal holds for the pod that it was meant for. Addresses are used again; another pod of the same address is free to serve.
struct AvailabilityPlan {
    private let grace: UInt64
    /// How long a withdrawal of an address that no table has named is remembered: the news of that pod may be on its way.
    private let memory: UInt64 = 10_000

    private(set) var desired = RouteTable()
    private var withdrawals: [String: Withdrawal] = [:]
    private var serving: [String: [RouteTable.Endpoint]] = [:]
    private var emptySince: [String: UInt64] = [:]
    private var hearsCluster = true

    private struct Withdrawal {
        /// Empty while unknown: then it holds for whatever has the address.
        var uid: String
        var since: UInt64
        var wasNamed: Bool
    }

    struct Outcome {
        var table: RouteTable
        /// When the plan must be asked again although nothing has happened.
        var nextChange: UInt64?
    }

    init(grace: UInt64 = 2000) { self.grace = grace }

    /// The cluster now wants `table`.
    mutating func change(to table: RouteTable, now: UInt64) {
        desired = table
        for (address, withdrawal) in withdrawals {
            let named = table.backends.flatMap(\.endpoints).filter { $0.address == address }
            if named.contains(where: { Self.holds(withdrawal, for: $0) }) {
                if withdrawal.uid.isEmpty { withdrawals[address]?.uid = named.first?.uid ?? "" }
                withdrawals[address]?.wasNamed = true
            } else if withdrawal.wasNamed || now >= withdrawal.since + memory {
                withdrawals[address] = nil
            }
        }
    }

    /// The grace time begins anew when the cluster is heard again.
    mutating func hear(cluster: Bool, now: UInt64) {
        if cluster, !hearsCluster { emptySince = emptySince.mapValues { _ in now } }
        hearsCluster = cluster
    }

    /// The pod at `address` is about to stop.
    /// - Parameter uid: the pod's; looked up among the endpoints when it is not given.
    mutating func withdraw(_ address: String, uid: String = "", now: UInt64) {
        let named = desired.backends.flatMap(\.endpoints).first { $0.address == address }
        let known = uid.isEmpty ? named?.uid ?? "" : uid
        withdrawals[address] = Withdrawal(uid: known, since: now, wasNamed: named.map { $0.uid == known } ?? false)
    }

    /// All withdrawals that hold.
    var standing: [HandOverLetter.Withdrawal] {
        withdrawals.map { HandOverLetter.Withdrawal(address: $0.key, uid: $0.value.uid) }
    }

    /// What to publish now.
    mutating func outcome(now: UInt64) -> Outcome {
        var table = desired
        var nextChange: UInt64?
        for index in table.backends.indices {
            let backend = table.backends[index]
            let open = backend.endpoints.filter { !isWithdrawn($0) }
            guard open.isEmpty, let last = serving[backend.name], !last.isEmpty else {
                serving[backend.name] = open
                emptySince[backend.name] = nil
                table.backends[index].endpoints = open
                continue
            }
            let since = emptySince[backend.name] ?? now
            emptySince[backend.name] = since
            if !hearsCluster || now < since + grace {
                table.backends[index].endpoints = last
                if hearsCluster { nextChange = min(nextChange ?? .max, since + grace) }
            } else {
                serving[backend.name] = []
                emptySince[backend.name] = nil
                table.backends[index].endpoints = []
            }
        }
        forgetBackends(except: table)
        return Outcome(table: table, nextChange: nextChange)
    }

    // MARK: - Private

    private func isWithdrawn(_ endpoint: RouteTable.Endpoint) -> Bool {
        withdrawals[endpoint.address].map { Self.holds($0, for: endpoint) } ?? false
    }

    private static func holds(_ withdrawal: Withdrawal, for endpoint: RouteTable.Endpoint) -> Bool {
        withdrawal.uid.isEmpty || endpoint.uid.isEmpty || withdrawal.uid == endpoint.uid
    }

    private mutating func forgetBackends(except table: RouteTable) {
        guard serving.count > table.backends.count else { return }
        let names = Set(table.backends.map(\.name))
        serving = serving.filter { names.contains($0.key) }
        emptySince = emptySince.filter { names.contains($0.key) }
    }
}
