package import Synchronization

/// A word that all workers share.
package typealias SharedWord = UnsafeMutablePointer<Atomic<UInt64>>

/// What a policy says to one request.
package enum Verdict: Hashable, Sendable, BitwiseCopyable {
    case pass
    /// Passes after that many nanoseconds.
    case wait(UInt64)
    /// Does not pass; a request might, that many nanoseconds later.
    case refuse(UInt64)

    package var isRefusal: Bool {
        if case .refuse = self { true } else { false }
    }
}

/// What becomes of a shared word when a request asks for admission.
struct Step: BitwiseCopyable {
    var verdict: Verdict
    /// The word's next value, unless the request is refused.
    var next: UInt64
}
