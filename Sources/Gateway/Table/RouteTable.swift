package import FlowControl

/// What the gateway serves, as a plain value: rules that match requests, and the backends that answer them.
///
/// Control code computes it, tests compare it, ``CompiledTable`` makes it fast. Rules of equal precedence are tried in their order.
package struct RouteTable: Hashable, Sendable {
    package var rules: [Rule]
    package var backends: [Backend]
    /// None means that every rule holds on every port.
    package var listeners: [Listener]

    package init(rules: [Rule] = [], backends: [Backend] = [], listeners: [Listener] = []) {
        self.rules = rules
        self.backends = backends
        self.listeners = listeners
    }

    /// One rule of a route: any of its matches on any of its hosts selects it.
    package struct Rule: Hashable, Sendable {
        /// The route's `namespace/name`, as metrics and the table dump show it.
        package var route: String
        /// `*` for every host, `*.example.org` for every name below a domain, else one name; in lower case.
        package var hosts: [String]
        package var matches: [Match]
        package var filters: Filters
        package var targets: [Target]
        package var timeouts: Timeouts
        /// What protects the backends from this rule's requests; at most ``TrafficPolicy/maximumPerRule``.
        package var policies: [TrafficPolicy]
        /// Names of the listeners that the rule is attached to; empty for all.
        package var listeners: [String]
        /// `nil` is the gateway's default: what cannot do anything twice is sent again.
        package var retry: RetryPolicy?

        package init(
            route: String,
            hosts: [String] = ["*"],
            matches: [Match] = [Match()],
            filters: Filters = Filters(),
            targets: [Target] = [],
            timeouts: Timeouts = Timeouts(),
            policies: [TrafficPolicy] = [],
            listeners: [String] = [],
            retry: RetryPolicy? = nil
        ) {
            self.route = route
            self.hosts = hosts
            self.matches = matches
            self.filters = filters
            self.targets = targets
            self.timeouts = timeouts
            self.policies = policies
            self.listeners = listeners
            self.retry = retry
        }
    }

    /// All conditions of a match must hold.
    package struct Match: Hashable, Sendable {
        package var path: Path
        /// Any method when `nil`.
        package var method: String?
        package var headers: [FieldMatch]
        /// Parameters as they were sent, not decoded.
        package var query: [FieldMatch]

        package init(
            path: Path = .prefix("/"),
            method: String? = nil,
            headers: [FieldMatch] = [],
            query: [FieldMatch] = []
        ) {
            self.path = path
            self.method = method
            self.headers = headers
            self.query = query
        }
    }

    package enum Path: Hashable, Sendable {
        case exact(String)
        /// Whole segments: `/shop` matches `/shop` and `/shop/cart`, not `/shopping`.
        case prefix(String)
        /// The whole path. Comes after exact paths and before prefixes; of several that match, the first one given counts.
        case regularExpression(RegularExpression)

        var isPrefix: Bool { if case .prefix = self { true } else { false } }
    }

    /// A condition on a header field or a query parameter.
    package struct FieldMatch: Hashable, Sendable {
        package var name: String
        package var value: Value

        package enum Value: Hashable, Sendable {
            case exact(String)
            /// The whole value.
            case regularExpression(RegularExpression)
        }

        package init(_ name: String, _ value: String) { self.init(name, .exact(value)) }

        package init(_ name: String, _ value: Value) {
            self.name = name
            self.value = value
        }
    }

    package struct Pair: Hashable, Sendable {
        package var name: String
        package var value: String

        package init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// What happens to a request before it is sent on and to its answer.
    package struct Filters: Hashable, Sendable {
        package var requestHeaders = HeaderChanges()
        package var responseHeaders = HeaderChanges()
        package var rewriteHost: String?
        package var rewritePath: PathChange?
        /// Answers the request instead of sending it on.
        package var redirect: Redirect?
        /// Answers the request instead of sending it on.
        package var response: DirectResponse?
        package var crossOrigin: CrossOrigin?
        /// Backends that get a copy; at most ``RequestMirror/maximum``.
        package var mirrors: [RequestMirror] = []

        package init() {}
    }

    /// A fixed answer.
    package struct DirectResponse: Hashable, Sendable {
        package static let maximumBody = 65_536

        package var status: Int
        package var contentType: String
        /// At most ``maximumBody`` bytes.
        package var body: String

        package init(status: Int = 200, contentType: String = "text/plain; charset=utf-8", body: String = "") {
            self.status = status
            self.contentType = contentType
            self.body = body
        }
    }

    /// Sends a copy of requests to another backend and drops its answers. The request itself neither waits for the copy nor fails with
    /// it. Requests whose head and body are larger than ``maximumBytes`` are not copied.
    package struct RequestMirror: Hashable, Sendable {
        package static let maximum = 4
        package static let maximumBytes = 65_536
        /// Parts of ``share``.
        package static let whole = 1_000_000

        /// The name of a ``Backend``.
        package var backend: String
        /// How many of a million requests are copied.
        package var share: Int

        package init(backend: String, share: Int = RequestMirror.whole) {
            self.backend = backend
            self.share = share
        }
    }

    package struct HeaderChanges: Hashable, Sendable {
        package var set: [Pair]
        package var add: [Pair]
        package var remove: [String]

        package init(set: [Pair] = [], add: [Pair] = [], remove: [String] = []) {
            self.set = set
            self.add = add
            self.remove = remove
        }

        package var isEmpty: Bool { self.set.isEmpty && add.isEmpty && remove.isEmpty }
    }

    package enum PathChange: Hashable, Sendable {
        case full(String)
        /// Replaces the prefix that the match names.
        case prefix(String)
    }

    package struct Redirect: Hashable, Sendable {
        package var scheme: String?
        package var host: String?
        package var port: Int?
        package var path: PathChange?
        package var status: Int

        package init(
            scheme: String? = nil,
            host: String? = nil,
            port: Int? = nil,
            path: PathChange? = nil,
            status: Int = 302
        ) {
            self.scheme = scheme
            self.host = host
            self.port = port
            self.path = path
            self.status = status
        }
    }

    /// Limits in milliseconds; `nil` is the gateway's default.
    package struct Timeouts: Hashable, Sendable {
        /// From the request's head to the end of its answer.
        package var request: Int?
        /// From choosing an endpoint to the end of its answer.
        package var backendRequest: Int?

        package init(request: Int? = nil, backendRequest: Int? = nil) {
            self.request = request
            self.backendRequest = backendRequest
        }
    }

    package struct Target: Hashable, Sendable {
        /// The name of a ``Backend``; `nil` stands for a wrong reference, which answers its share of requests with 500.
        package var backend: String?
        package var weight: Int

        package init(backend: String?, weight: Int = 1) {
            self.backend = backend
            self.weight = weight
        }
    }

    /// A port of a service and the endpoints that are ready to answer.
    package struct Backend: Hashable, Sendable {
        /// `namespace/service:port`; stays the same from table to table.
        package var name: String
        package var endpoints: [Endpoint]
        package var policy: BackendPolicy

        package init(name: String, endpoints: [Endpoint] = [], policy: BackendPolicy = BackendPolicy()) {
            self.name = name
            self.endpoints = endpoints
            self.policy = policy
        }
    }

    package struct Endpoint: Hashable, Sendable {
        /// A numeric IPv4 or IPv6 address.
        package var address: String
        package var port: Int
        /// The pod's uid where known; addresses are used again, uids are not.
        package var uid: String
        /// Its share of the backend's requests against the other endpoints, 1 to 1000.
        package var weight: Int

        package init(address: String, port: Int, uid: String = "", weight: Int = 1) {
            self.address = address
            self.port = port
            self.uid = uid
            self.weight = weight
        }
    }
}
