import Host
import Synchronization

/// Which parts of the platform are ready, as each part says of itself.
final class ReadinessBoard: Sendable {
    private let state: Mutex<[PlatformStatus.Component]>

    /// All of `names` start as not ready.
    init(_ names: [String]) {
        state = Mutex(names.map { PlatformStatus.Component(name: $0, ready: false, message: "starting") })
    }

    func set(_ name: String, ready: Bool, _ message: String) {
        state.withLock { components in
            guard let index = components.firstIndex(where: { $0.name == name }) else {
                preconditionFailure("The part \(name) was not announced to the board.")
            }
            components[index] = PlatformStatus.Component(name: name, ready: ready, message: message)
        }
    }

    var components: [PlatformStatus.Component] { state.withLock { $0 } }
}
