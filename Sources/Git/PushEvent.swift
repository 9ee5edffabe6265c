import Synchronization

/// One reference that a push or an API commit moved.
package struct PushEvent: Sendable, Hashable {
    package let projectID: Int
    /// The full name, for example `refs/heads/main`.
    package let ref: String
    /// The commit before; forty zeros when the reference is new.
    package let before: String
    /// The commit after; forty zeros when the reference was deleted.
    package let after: String
    package let userID: Int
    package let username: String
    /// What the user gave with `git push -o`.
    package let options: [String]

    package init(
        projectID: Int,
        ref: String,
        before: String,
        after: String,
        userID: Int,
        username: String,
        options: [String] = []
    ) {
        self.projectID = projectID
        self.ref = ref
        self.before = before
        self.after = after
        self.userID = userID
        self.username = username
        self.options = options
    }

    /// The object name that stands for "nothing".
    package static let nothing = String(repeating: "0", count: 40)

    package var isDeletion: Bool { after == Self.nothing }
    package var isCreation: Bool { before == Self.nothing }
    /// The branch's name, or nil when the reference is no branch.
    package var branch: String? { ref.hasPrefix("refs/heads/") ? String(ref.dropFirst(11)) : nil }
    /// The tag's name, or nil when the reference is no tag.
    package var tag: String? { ref.hasPrefix("refs/tags/") ? String(ref.dropFirst(10)) : nil }
}

/// Hears of moved references.
///
/// Delivery is at most once: a crash between moving the reference and the call loses the call. An observer that must not
/// miss one compares `Repository.branches()` with what it saw last when it starts.
package protocol PushObserver: Sendable {
    func pushed(_ event: PushEvent) async
}

/// The observers of all repositories. The wiring adds them before requests are served.
package final class PushObservers: PushObserver {
    private let observers = Mutex<[any PushObserver]>([])

    package init() {}

    package func add(_ observer: any PushObserver) {
        observers.withLock { $0.append(observer) }
    }

    package func pushed(_ event: PushEvent) async {
        for observer in observers.withLock({ $0 }) {
            await observer.pushed(event)
        }
    }
}

/// References that somebody wants to move, before anything moved.
package struct ProposedPush: Sendable {
    package struct Update: Sendable, Hashable {
        package let ref: String
        package let before: String
        package let after: String

        package init(ref: String, before: String, after: String) {
            self.ref = ref
            self.before = before
            self.after = after
        }
    }

    package let projectID: Int
    package let userID: Int
    package let updates: [Update]
    package let options: [String]

    package init(projectID: Int, userID: Int, updates: [Update], options: [String] = []) {
        self.projectID = projectID
        self.userID = userID
        self.updates = updates
        self.options = options
    }
}

/// The answer to a proposed push.
package enum PushVerdict: Sendable, Equatable {
    /// The push may go on; the references named here may only move forward.
    case accept(fastForwardOnly: Set<String> = [])
    /// Nothing moves. The user's terminal shows the message as `remote: GitLab: …`.
    case reject(message: String)
}

/// Rules that a push must pass before a reference moves.
package protocol PushPolicy: Sendable {
    func verdict(on push: ProposedPush) async throws -> PushVerdict
}

/// Lets everything pass that authorization let pass.
package struct AcceptEveryPush: PushPolicy {
    package init() {}

    package func verdict(on push: ProposedPush) async -> PushVerdict { .accept() }
}
