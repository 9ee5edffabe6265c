/// The metrics of a data path in Prometheus' text format.
struct MetricsText {
    private let plane: DataPlane
    private var text = ""

    init(_ plane: DataPlane) { self.plane = plane }

    static func write(_ plane: DataPlane) -> String {
        var writer = MetricsText(plane)
        writer.writeRequests()
        writer.writeGauges()
        return writer.text + PolicyMetrics.write(plane.policies)
    }

    // MARK: - Private

    private mutating func writeRequests() {
        let rows = plane.series.enumerated().map { ($1, plane.words(ofSeries: $0)) }
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
        text += "\(name)_sum{\(labels)} \(Double(words[WorkerMetrics.wordsPerSeries - 1]) / 1_000_000)\n"
        text += "\(name)_count{\(labels)} \(sum)\n"
    }

    private mutating func writeGauges() {
        let rows: [(WorkerMetrics.Gauge, String, String, String)] = [
            (.clients, "client_connections", "gauge", "Open connections of clients."),
            (.inFlight, "requests_in_flight", "gauge", "Requests that are not answered completely."),
            (.held, "requests_held", "gauge", "Requests that wait for an endpoint."),
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
    }

    private mutating func writeHeader(_ name: String, _ type: String, _ help: String) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
    }

    private static func labels(_ series: MetricSeries) -> String {
        "route=\"\(series.route)\",backend=\"\(series.backend)\""
    }
}
