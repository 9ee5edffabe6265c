import KubernetesModel
import Synchronization

/// A port that is open on every node for a service.
struct NodePort: Hashable, Sendable {
    let number: Int
    let transport: String
}

/// Hands out the cluster addresses and node ports of services.
///
/// What is taken is read from the stored services each time; only what a request holds until its service is stored is kept here. So
/// nothing leaks, and a restart needs no repair.
final class ServiceAddresses: Sendable {
    static let nodePorts = 30_000...32_767
    /// The place in the network of the address that cluster DNS asks for by name.
    static let nameServerIndex: UInt32 = 10

    fileprivate struct Held {
        var addresses: Set<UInt32> = []
        var nodePorts: Set<NodePort> = []
    }

    let network: IPv4Network
    private let store: ObjectStore
    private let held = Mutex(Held())

    init(network: IPv4Network, store: ObjectStore) {
        self.network = network
        self.store = store
    }

    /// The address of the `kubernetes` service.
    var first: IPv4Address { network.address(at: 1) }

    func begin() -> AddressReservation { AddressReservation(self) }

    // MARK: - Private

    /// Picks an address that is free, or takes the requested one.
    fileprivate func takeAddress(_ requested: IPv4Address?) -> IPv4Address? {
        held.withLock { held in
            let used = held.addresses.union(
                storedServices().flatMap(ServiceRules.addresses).compactMap { text in
                    IPv4Address(text)?.number
                }
            )
            let free: IPv4Address?
            if let requested {
                free = used.contains(requested.number) ? nil : requested
            } else {
                free = freeAddress(used)
            }
            if let free { held.addresses.insert(free.number) }
            return free
        }
    }

    /// Starts at a random place, so that an address is not given to another service right after its own is gone.
    private func freeAddress(_ used: Set<UInt32>) -> IPv4Address? {
        let firstIndex = min(Self.nameServerIndex + 1, network.size - 2)
        let count = network.size - 1 - firstIndex
        let start = UInt32.random(in: 0..<count)
        for step in 0..<count {
            let address = network.address(at: firstIndex + (start + step) % count)
            if !used.contains(address.number) { return address }
        }
        return nil
    }

    fileprivate func takeNodePort(_ requested: NodePort) -> Int? {
        held.withLock { held in
            let used = held.nodePorts.union(storedServices().flatMap(ServiceRules.nodePorts))
            let candidates: any Sequence<Int> =
                requested.number > 0
                ? CollectionOfOne(requested.number) : Self.nodePorts.shuffled()
            for number in candidates {
                let port = NodePort(number: number, transport: requested.transport)
                guard !used.contains(port) else { continue }
                held.nodePorts.insert(port)
                return number
            }
            return nil
        }
    }

    fileprivate func release(_ addresses: Set<UInt32>, _ ports: Set<NodePort>) {
        held.withLock { held in
            held.addresses.subtract(addresses)
            held.nodePorts.subtract(ports)
        }
    }

    private func storedServices() -> [JSON] {
        let services = try? store.objects(Resource.services.qualifiedName).objects
        return services?.compactMap { try? $0.json() } ?? []
    }
}

/// What one request holds until its service is stored or refused.
final class AddressReservation: Sendable {
    private let pool: ServiceAddresses
    private let held = Mutex((addresses: Set<UInt32>(), ports: Set<NodePort>()))

    fileprivate init(_ pool: ServiceAddresses) {
        self.pool = pool
    }

    /// The requested address, or a free one when nothing is requested.
    func address(_ requested: String, for service: String) throws -> String {
        guard let address = pool.takeAddress(try parsed(requested, service)) else {
            throw StatusError.invalid(.services, service, [addressError(requested)])
        }
        held.withLock { _ = $0.addresses.insert(address.number) }
        return address.description
    }

    /// The requested port, or a free one when its number is zero.
    func nodePort(_ requested: NodePort, for service: String, path: String) throws -> Int {
        guard requested.number == 0 || ServiceAddresses.nodePorts.contains(requested.number) else {
            let error = FieldError.invalid(
                path,
                JSON(requested.number),
                "provided port is not in the valid range. The range of valid ports is 30000-32767"
            )
            throw StatusError.invalid(.services, service, [error])
        }
        guard let number = pool.takeNodePort(requested) else {
            let error = FieldError.invalid(path, JSON(requested.number), "provided port is already allocated")
            throw StatusError.invalid(.services, service, [error])
        }
        let port = NodePort(number: number, transport: requested.transport)
        held.withLock { _ = $0.ports.insert(port) }
        return number
    }

    /// Gives up the hold: by now the store says what is taken.
    func release() {
        let released = held.withLock { held in
            defer { held = ([], []) }
            return held
        }
        pool.release(released.addresses, released.ports)
    }

    // MARK: - Private

    private func parsed(_ requested: String, _ service: String) throws -> IPv4Address? {
        guard !requested.isEmpty else { return nil }
        guard let address = IPv4Address(requested), pool.network.contains(address) else {
            let error = FieldError.invalid(
                "spec.clusterIPs[0]",
                .string(requested),
                "failed to allocate IP \(requested): the provided IP is not in the valid range \(pool.network)"
            )
            throw StatusError.invalid(.services, service, [error])
        }
        return address
    }

    private func addressError(_ requested: String) -> FieldError {
        guard requested.isEmpty else {
            return .invalid(
                "spec.clusterIPs[0]",
                .string(requested),
                "failed to allocate IP \(requested): provided IP is already allocated"
            )
        }
        return .invalid("spec.clusterIPs", [], "failed to allocate a cluster IP: the range \(pool.network) is full")
    }
}
