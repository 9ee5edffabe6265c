/// An answer that the gateway itself gives, with the error named as RFC 9209 has it.
struct LocalResponse: BitwiseCopyable {
    var status: Int
    var explanation: StaticString
    /// The `error` parameter of `Proxy-Status`.
    var error: StaticString = "http_request_error"

    init(status: Int, explanation: StaticString, error: StaticString = "http_request_error") {
        self.status = status
        self.explanation = explanation
        self.error = error
    }

    init(_ fault: HeadFault) { self.init(status: fault.status, explanation: fault.explanation) }

    static let noRoute = LocalResponse(
        status: 404,
        explanation: "No route matches this host and path.",
        error: "destination_not_found"
    )
    /// RFC 9110 §15.5.20: another listener answers for that host.
    static let misdirected = LocalResponse(
        status: 421,
        explanation: "This connection was opened for another host; open one for this host."
    )
    static let noEndpoint = LocalResponse(
        status: 503,
        explanation: "No endpoint of the service is ready.",
        error: "destination_unavailable"
    )
    static let connectionTerminated = LocalResponse(
        status: 502,
        explanation: "The endpoint closed the connection before it answered.",
        error: "connection_terminated"
    )
    static let protocolError = LocalResponse(
        status: 502,
        explanation: "The endpoint's answer is not valid HTTP.",
        error: "http_protocol_error"
    )
    static let responseTimeout = LocalResponse(
        status: 504,
        explanation: "The endpoint did not answer in time.",
        error: "http_response_timeout"
    )
    static let wrongReference = LocalResponse(
        status: 500,
        explanation: "The route refers to a backend that does not exist.",
        error: "proxy_configuration_error"
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
