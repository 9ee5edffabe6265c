/// The answer to a request that a policy has refused.
struct PolicyRefusal: BitwiseCopyable {
    let row: TableView.PolicyRow
    let view: TableView
    /// Nanoseconds until a request might pass.
    let retryAfter: UInt64
    let jitter: UInt64

    /// A fallback says itself what it is.
    var status: UInt16 {
        if row.fallback.status != 0 { return row.fallback.status }
        return row.mechanism.sheds ? 503 : 429
    }

    /// RFC 9209 §2.3
    var error: ProxyError { row.mechanism.sheds ? .destinationUnavailable : .httpRequestDenied }

    /// Everything up to the fields that concern the connection.
    func writeHead(to writer: inout HeadWriter) {
        writer.append("HTTP/1.1 ")
        writer.append(decimal: UInt64(status))
        writer.append(" ")
        writer.append(LocalResponse.reason(Int(status)))
        writer.append("\r\nContent-Type: ")
        if row.fallback.status != 0 {
            writer.append(view.text(row.fallback.contentType))
        } else {
            writer.append("text/plain; charset=utf-8")
        }
        writer.append("\r\nContent-Length: ")
        writer.append(decimal: UInt64(bodyLength))
        writer.append("\r\nRetry-After: ")
        writer.append(decimal: delaySeconds)
        writeRateLimit(to: &writer)
        writer.append("\r\nProxy-Status: sampan; error=")
        writer.append(error.token)
        writer.append("\r\n")
    }

    func writeBody(to writer: inout HeadWriter) {
        if row.fallback.status != 0 { return writer.append(view.text(row.fallback.body)) }
        writer.append(explanation)
        writer.append("\n")
    }

    // MARK: - Private

    private var bodyLength: Int {
        row.fallback.status != 0 ? Int(row.fallback.body.count) : explanation.utf8CodeUnitCount + 1
    }

    private var explanation: StaticString {
        switch row.mechanism {
        case .rate, .warmUp, .keyedRate, .meter: "Too many requests: the rate limit of this route is reached."
        case .concurrency, .keyedConcurrency:
            "Too many requests at once: the concurrency limit of this route is reached."
        case .related: "Too many requests: this route stands back while another one is busy."
        case .shedding: "The service is overloaded."
        case .breaker: "The service is failing and gets a rest."
        }
    }

    /// Whole seconds, at least one (RFC 9110 §10.2.3); up to half as much again where a backend is to recover.
    private var delaySeconds: UInt64 {
        let seconds = max(1, (retryAfter + 999_999_999) / 1_000_000_000)
        return row.mechanism.sheds ? seconds + jitter % (seconds / 2 + 2) : seconds
    }

    /// draft-ietf-httpapi-ratelimit-headers: nothing remains of the quota for so many seconds.
    private func writeRateLimit(to writer: inout HeadWriter) {
        guard row.requests > 0, !row.name.isEmpty, !row.mechanism.sheds else { return }
        writer.append("\r\nRateLimit-Policy: \"")
        writer.append(view.text(row.name))
        writer.append("\";q=")
        writer.append(decimal: row.requests)
        writer.append(";w=")
        writer.append(decimal: row.seconds)
        writer.append("\r\nRateLimit: \"")
        writer.append(view.text(row.name))
        writer.append("\";r=0;t=")
        writer.append(decimal: delaySeconds)
    }
}
