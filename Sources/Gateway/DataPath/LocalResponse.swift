/// An answer that the gateway itself gives, with the error named as RFC 9209 has it.
struct LocalResponse: BitwiseCopyable {
    var status: Int
    var explanation: StaticString
    /// The `error` parameter of `Proxy-Status`.
    var error: ProxyError = .httpRequestError

    init(status: Int, explanation: StaticString, error: ProxyError = .httpRequestError) {
        self.status = status
        self.explanation = explanation
        self.error = error
    }

    init(_ fault: HeadFault) { self.init(status: fault.status, explanation: fault.explanation) }

    static let noRoute = LocalResponse(
        status: 404,
        explanation: "No route matches this host and path.",
        error: .destinationNotFound
    )
    /// RFC 9110 §15.5.20: another listener answers for that host.
    static let misdirected = LocalResponse(
        status: 421,
        explanation: "This connection was opened for another host; open one for this host."
    )
    static let noEndpoint = LocalResponse(
        status: 503,
        explanation: "No endpoint of the service is ready.",
        error: .destinationUnavailable
    )
    static let noConnection = LocalResponse(
        status: 503,
        explanation: "All connections to the service are in use.",
        error: .connectionLimitReached
    )
    static let noMemory = LocalResponse(
        status: 503,
        explanation: "The gateway holds as many requests as it may.",
        error: .connectionLimitReached
    )
    static let connectionRefused = LocalResponse(
        status: 502,
        explanation: "The endpoint refuses connections.",
        error: .connectionRefused
    )
    static let connectionTimeout = LocalResponse(
        status: 504,
        explanation: "The endpoint did not accept a connection in time.",
        error: .connectionTimeout
    )
    static let unroutable = LocalResponse(
        status: 502,
        explanation: "The endpoint's address cannot be reached.",
        error: .destinationUnroutable
    )
    static let connectionTerminated = LocalResponse(
        status: 502,
        explanation: "The endpoint closed the connection before it answered.",
        error: .connectionTerminated
    )
    static let protocolError = LocalResponse(
        status: 502,
        explanation: "The endpoint's answer is not valid HTTP.",
        error: .httpProtocolError
    )
    static let responseTimeout = LocalResponse(
        status: 504,
        explanation: "The endpoint did not answer in time.",
        error: .httpResponseTimeout
    )
    static let slowBody = LocalResponse(status: 408, explanation: "The request's body came too slowly.")
    static let bodyTooLarge = LocalResponse(
        status: 413,
        explanation: "The request's body is larger than this gateway takes.",
        error: .httpRequestDenied
    )
    static let wrongReference = LocalResponse(
        status: 500,
        explanation: "The route refers to a backend that does not exist.",
        error: .proxyConfigurationError
    )

    static func reason(_ status: Int) -> StaticString {
        switch status {
        case 301: "Moved Permanently"
        case 302: "Found"
        case 303: "See Other"
        case 307: "Temporary Redirect"
        case 308: "Permanent Redirect"
        case 400: "Bad Request"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 421: "Misdirected Request"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        default: "Unknown"
        }
    }
}

/// Why the gateway itself answered, or cut an answer off (RFC 9209 §2.3).
enum ProxyError: UInt8 {
    case none
    case destinationNotFound, destinationUnavailable, destinationUnroutable
    case connectionRefused, connectionTerminated, connectionTimeout, connectionLimitReached
    case httpRequestError, httpRequestDenied, httpResponseIncomplete, httpResponseTimeout, httpProtocolError
    case proxyInternalResponse, proxyConfigurationError

    var token: StaticString {
        switch self {
        case .none: ""
        case .destinationNotFound: "destination_not_found"
        case .destinationUnavailable: "destination_unavailable"
        case .destinationUnroutable: "destination_ip_unroutable"
        case .connectionRefused: "connection_refused"
        case .connectionTerminated: "connection_terminated"
        case .connectionTimeout: "connection_timeout"
        case .connectionLimitReached: "connection_limit_reached"
        case .httpRequestError: "http_request_error"
        case .httpRequestDenied: "http_request_denied"
        case .httpResponseIncomplete: "http_response_incomplete"
        case .httpResponseTimeout: "http_response_timeout"
        case .httpProtocolError: "http_protocol_error"
        case .proxyInternalResponse: "proxy_internal_response"
        case .proxyConfigurationError: "proxy_configuration_error"
        }
    }
}
