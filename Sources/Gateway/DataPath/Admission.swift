import FlowControl

/// What the policies of a rule have said to a request, and what has to be given back when it is over.
struct Admission: BitwiseCopyable {
    /// Nanoseconds: when the request's turn comes; zero where it need not wait.
    var turn: UInt64 = 0
    /// Nanoseconds: when the policies of the turn let the request pass.
    var startedAt: UInt64 = 0
    /// Of the key of a concurrency limit, taken from the head while that is at hand.
    var concurrencyHash: UInt64 = 0
    /// Decides whether the request is among those of its class that pass.
    var draw: UInt64 = 0
    /// One bit for each of the rule's policies that counts the request as being in flight.
    var holds: UInt32 = 0
    /// One bit for each of the rule's rates that has counted the request.
    var consumed: UInt32 = 0
    var concurrencyTicket: UInt32 = 0
    var breakers = InlineArray<4, CircuitBreakerState.Ticket>(repeating: CircuitBreakerState.Ticket())
    var level: UInt8 = 0

    /// Row of the policy that refused the request.
    var refusedBy: UInt32 = 0
    /// Nanoseconds until a request might pass.
    var retryAfter: UInt64 = 0
}
