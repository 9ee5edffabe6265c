/// The metrics of a data path in Prometheus' text format.
struct MetricsText {
    private let plane: DataPlane
    private var text = ""

    init(_ plane: DataPlane) { self.plane = plane }

    static func write(_ plane: DataPlane) -> String {
        var writer = MetricsText(plane)
        writer.writeRequests()
        writer.writeCounters()
        writer.writeEndpoints()
        writer.writeGauges()
        return writer.text + PolicyMetrics.write(plane.policies)
    }

    // MARK: - Private

    private mutating func writeRequests() {
        let rows = plane.series.map { ($0.series, plane.words(ofSeries: $0.number)) }
            .filter { $0.1.contains { $0 > 0 } }
        writeHeader(
            "sampan_gateway_requests_total",
            "counter",
            "Answered requests by route, backend and class of status."
        )
        for (series, words) in rows {
            for (number, count) in words.prefix(WorkerMetrics.classes).enumerated() where count > 0 {
                let code = number == 0 ? "aborted" : "\(number)xx"
                text += "sampan_gateway_requests_total{\(Self.labels(series)),code=\"\(code)\"} \(count)\n"
            }
        }
        let name = "sampan_gateway_request_duration_seconds"
        writeHeader(name, "histogram", "From the request's head to the end of its answer.")
        for (series, words) in rows { writeHistogram(name, Self.labels(series), words) }
    }

    private mutating func writeHistogram(_ name: String, _ labels: String, _ words: [UInt64]) {
        let buckets = words[WorkerMetrics.classes..<WorkerMetrics.classes + WorkerMetrics.buckets]
        var sum: UInt64 = 0
        for (bucket, bound) in zip(buckets, WorkerMetrics.bounds) {
            sum += bucket
            text += "\(name)_bucket{\(labels),le=\"\(Double(bound) / 1_000_000)\"} \(sum)\n"
        }
        sum += buckets.last ?? 0
        text += "\(name)_bucket{\(labels),le=\"+Inf\"} \(sum)\n"
        text += "\(name)_sum{\(labels)} \(Double(words[WorkerMetrics.classes + WorkerMetrics.buckets]) / 1_000_000)\n"
        text += "\(name)_count{\(labels)} \(sum)\n"
    }

    private mutating func writeCounters() {
        let rows = plane.series.map { ($0.series, plane.words(ofSeries: $0.number)) }
            .filter { $0.1.contains { $0 > 0 } }
        let counters: [(WorkerMetrics.Counter, String, String)] = [
            (.requestBytes, "request_body_bytes_total", "Bytes of requests' bodies."),
            (.responseBytes, "response_body_bytes_total", "Bytes of answers' bodies."),
            (.retries, "upstream_retries_total", "Requests sent once more."),
            (.retriesOverBudget, "upstream_retries_over_budget_total", "Retries beyond the budget."),
            (.connectFailures, "upstream_connect_failures_total", "Connections to endpoints that failed."),
        ]
        for (counter, name, help) in counters {
            writeHeader("sampan_gateway_\(name)", "counter", help)
            for (series, words) in rows {
                text += "sampan_gateway_\(name){\(Self.labels(series))} \(words[counter.word])\n"
            }
        }
        writeHeader(
            "sampan_gateway_backend_requests_in_flight",
            "gauge",
            "Requests that have a backend and no end yet."
        )
        for (series, words) in rows where !series.backend.isEmpty {
            let count = Int64(
                bitPattern: words[WorkerMetrics.Counter.started.word] &- words[WorkerMetrics.Counter.ended.word]
            )
            text += "sampan_gateway_backend_requests_in_flight{\(Self.labels(series))} \(max(0, count))\n"
        }
    }

    private mutating func writeEndpoints() {
        let endpoints = plane.backends.flatMap(\.endpoints)
        let rows: [(String, String, String, (EndpointRecord) -> UInt64)] = [
            ("healthy", "gauge", "Active checks let the endpoint be used.", { $0.isHealthy ? 1 : 0 }),
            ("ejected", "gauge", "The endpoint is left out as an outlier.", { $0.isEjected ? 1 : 0 }),
            ("ejections_total", "counter", "How often it was ejected.", { $0.words.load(.ejections) }),
            ("would_eject_total", "counter", "Ejections that a dry run only counts.", { $0.words.load(.wouldEject) }),
            ("checks_total", "counter", "Active checks.", { $0.words.load(.checks) }),
            ("failed_checks_total", "counter", "Active checks that failed.", { $0.words.load(.failedChecks) }),
            ("requests_total", "counter", "Attempts, retries included.", { $0.sum(.requests) }),
            ("successes_total", "counter", "Attempts answered below 500.", { $0.sum(.successes) }),
            ("connect_failures_total", "counter", "Connections that failed.", { $0.sum(.connectFailures) }),
            ("resets_total", "counter", "Connections that ended without a proper answer.", { $0.sum(.resets) }),
            ("timeouts_total", "counter", "Attempts whose time was over.", { $0.sum(.timeouts) }),
            ("requests_in_flight", "gauge", "Attempts under way.", { $0.sum(.inFlight) }),
        ]
        for (name, type, help, value) in rows {
            writeHeader("sampan_gateway_endpoint_\(name)", type, help)
            for endpoint in endpoints {
                let address = endpoint.key.address
                let host = address.contains(":") ? "[\(address)]" : address
                let labels =
                    "backend=\"\(Self.escaped(endpoint.key.backend))\",endpoint=\"\(host):\(endpoint.key.port)\""
                text += "sampan_gateway_endpoint_\(name){\(labels)} \(value(endpoint))\n"
            }
        }
    }

    private mutating func writeGauges() {
        let rows: [(WorkerMetrics.Gauge, String, String, String)] = [
            (.clients, "client_connections", "gauge", "Open connections of clients."),
            (.inFlight, "requests_in_flight", "gauge", "Requests that are not answered completely."),
            (.held, "requests_held", "gauge", "Requests that wait for an endpoint."),
            (.pending, "requests_pending", "gauge", "Requests that wait for a connection."),
            (.idleUpstreams, "idle_upstream_connections", "gauge", "Connections to endpoints that wait for requests."),
            (.bufferBytes, "buffer_bytes", "gauge", "Memory of buffers."),
            (.accepted, "client_connections_total", "counter", "Connections accepted."),
            (.handshakes, "tls_handshakes_total", "counter", "TLS handshakes completed."),
            (.resumptions, "tls_resumptions_total", "counter", "TLS handshakes that went on with an earlier session."),
            (.handshakeFailures, "tls_handshake_failures_total", "counter", "TLS handshakes that failed."),
            (.connects, "upstream_connects_total", "counter", "Connections opened to endpoints."),
            (.retries, "retries_total", "counter", "Requests sent once more."),
            (
                .upstreamFailures, "upstream_failures_total", "counter",
                "Endpoints that refused, broke off or spoke wrongly."
            ),
            (
                .copiesDropped, "mirror_requests_dropped_total", "counter",
                "Copies of requests that were too many, too large or incomplete."
            ),
            (.receiveCalls, "receive_calls_total", "counter", "Calls that receive from sockets."),
            (.sendCalls, "send_calls_total", "counter", "Calls that send to sockets."),
        ]
        for (gauge, name, type, help) in rows {
            writeHeader("sampan_gateway_\(name)", type, help)
            text += "sampan_gateway_\(name) \(plane.value(of: gauge))\n"
        }
        guard let accessLog = plane.accessLog else { return }
        writeHeader("sampan_gateway_access_log_dropped_total", "counter", "Lines that could not be written.")
        text += "sampan_gateway_access_log_dropped_total \(accessLog.dropped)\n"
    }

    private mutating func writeHeader(_ name: String, _ type: String, _ help: String) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
    }

    private static func labels(_ series: MetricSeries) -> String {
        "route=\"\(escaped(series.route))\",backend=\"\(escaped(series.backend))\""
    }

    /// As the text format has label values: backslash, quote and line feed are escaped.
    static func escaped(_ value: String) -> String {
        guard value.contains(where: { $0 == "\\" || $0 == "\"" || $0.isNewline }) else { return value }
        return value.unicodeScalars.map { scalar in
            switch scalar {
            case "\\": "\\\\"
            case "\"": "\\\""
            case "\n": "\\n"
            default: String(scalar)
            }
        }.joined()
    }
}
