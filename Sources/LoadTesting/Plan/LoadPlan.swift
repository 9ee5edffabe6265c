/// A whole load test: where to, how much, when, and what is good enough.
package struct LoadPlan: Sendable {
    package enum Model: String, Sendable, Codable {
        /// Requests are sent when the schedule says so, whether or not earlier ones were answered: as the public does.
        case open
        /// Each connection sends its next request when the last one was answered: as a fixed number of patient users does.
        case closed
    }

    package enum Spacing: String, Sendable, Codable {
        /// Equal distances.
        case constant
        /// Independent arrivals (a Poisson process) with the same mean.
        case poisson
    }

    package static let maximumClasses = 64
    package static let maximumThreads = 64
    /// Arrivals of a class and thread that may wait for a connection; what comes beyond counts as ``Outcome/unsent``.
    package static let maximumWaiting = 1 << 18

    package var target: LoadTarget
    package var model = Model.open
    package var spacing = Spacing.constant
    package var phases: [LoadPhase]
    package var classes: [TrafficClass]
    package var objectives: [Objective] = []
    /// Nanoseconds from the intended send time until a request is given up.
    package var timeout = 10_000_000_000
    package var trust = LoadTrust.system
    package var threads = 1
    /// Seconds at the start that are shown but count neither in the sums nor for the objectives.
    package var warmup = 0
    /// Ends the test early once the objectives were missed in ``secondsUntilStop`` seconds in a row.
    package var stopsOnMiss = false
    package var secondsUntilStop = 5

    package init(target: LoadTarget, phases: [LoadPhase], classes: [TrafficClass]) {
        self.target = target
        self.phases = phases
        self.classes = classes
    }

    /// Nanoseconds during which requests are offered.
    package var duration: Int { phases.reduce(0) { $0 + $1.duration } }
}

/// A stretch of time in which the rate stays or changes evenly.
package struct LoadPhase: Sendable, Hashable {
    package var name: String
    package var start: Rate
    package var end: Rate
    /// Nanoseconds.
    package var duration: Int

    package init(name: String = "", from start: Rate, to end: Rate? = nil, duration: Int) {
        self.name = name
        self.start = start
        self.end = end ?? start
        self.duration = duration
    }
}

/// Requests per second, exact to a thousandth, so that shares of it add up.
package struct Rate: Sendable, Hashable, Comparable {
    package static let maximum = Rate(thousandths: 10_000_000_000)

    package var thousandths: Int

    package init(thousandths: Int) { self.thousandths = thousandths }

    package init(perSecond: Double) { thousandths = Int((perSecond * 1000).rounded()) }

    package var perSecond: Double { Double(thousandths) / 1000 }

    package static func < (left: Rate, right: Rate) -> Bool { left.thousandths < right.thousandths }
}

/// One kind of request, with its own part of the traffic, its own connections and its own idea of "in time".
package struct TrafficClass: Sendable {
    package static let maximumPaths = 10_000

    package var name: String
    /// Its part of each phase's rate, relative to the shares of the other classes.
    package var share = 1
    /// A constant rate of its own during the whole test, outside of the phases.
    package var rate: Rate?
    package var method = "GET"
    /// Requested in turn.
    package var paths: [String]
    package var headers: [(name: String, value: String)] = []
    package var body: [UInt8] = []
    /// Nanoseconds from the intended send time within which an answer is of use; later ones count as ``Outcome/late``.
    package var deadline: Int?
    /// Every request gets a connection of its own.
    package var opensNewConnections = false
    /// Connections open at the same time, at most (open model) or always (closed model); over all threads.
    package var connections = 256

    package init(name: String, paths: [String]) {
        self.name = name
        self.paths = paths
    }
}
